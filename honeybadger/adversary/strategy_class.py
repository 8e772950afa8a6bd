"""Loads a class of a person's own, as of a strategy, by module and name, and says in one line what is wrong with it."""

import ast
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeVar

from honeybadger.adversary.base import Adversary
from honeybadger.wording import nearest

T = TypeVar("T")
#: what a strategy may override
HOOKS = ("__init__", "change", "lie", "witness", "tick")


def look_in_this_directory() -> None:
    """Modules in the current directory, which nodes on this machine inherit, can be imported. It comes last: a file
    `random.py` there must not stand in for another module."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def load_strategy(module: str, name: str) -> type[Adversary]:
    """The class `name` in `module`; LookupError, in one line, if there is none or a node could not follow it."""
    return load_class(module, name, Adversary, HOOKS)


def load_class(module: str, name: str, base: type[T], hooks: Sequence[str]) -> type[T]:
    """The subclass `name` of `base` in `module`, whose `hooks` can be called as those of `base`; else LookupError, in
    one line. `base` is known to people by the package that it is in."""
    home = _import(module)
    where = f"{module} ({getattr(home, '__file__', 'built in')})"
    if not hasattr(home, name):
        fit = [each for each, value in vars(home).items() if _is_a(base, value) and value is not base]
        like = nearest(name, fit) or (f"; it has {', '.join(fit)}" if fit else "")
        raise LookupError(f"{where} has no class {name}{like}")
    found = getattr(home, name)
    if not _is_a(base, found):
        package = base.__module__.rpartition(".")[0]
        raise LookupError(f"{module}:{name} is no subclass of {package}.{base.__name__}")
    for hook in hooks:
        _check_parameters(found, base, hook)
    return found  # type: ignore[no-any-return]


def classes_here(module: str) -> list[str]:
    """MODULE:CLASS of each class with a base in the file of that name in the current directory. It is not run: a person
    may have meant another one."""
    module = module.removesuffix(".py")
    try:
        tree = ast.parse(Path(f"{module}.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    return [f"{module}:{each.name}" for each in tree.body if isinstance(each, ast.ClassDef) and each.bases]


def _is_a(base: type, value: object) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _import(module: str) -> ModuleType:
    name = module.removesuffix(".py").strip("./").replace("/", ".")
    if name != module:
        raise LookupError(f"write {name}, not {module}: a module is named as in an import")
    try:
        return importlib.import_module(module)
    # All that the code of a person may raise; exit() is among it.
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and missing and f"{module}.".startswith(f"{missing}."):
            like = nearest(module, [file.stem for file in Path.cwd().glob("*.py")])
            raise LookupError(f"there is no module {module} in {Path.cwd()} or on the Python path{like}") from None
        # A syntax error names its place itself.
        place = "" if isinstance(error, SyntaxError) else place_of(error)
        raise LookupError(f"{module} cannot be imported: {type(error).__name__}: {error}{place}") from None


def own_files(strategy: type[Adversary]) -> set[str]:
    """The files in which a strategy's code is."""
    return {_code(getattr(strategy, hook)).co_filename for hook in HOOKS} - {_code(Adversary.lie).co_filename}


def place_of(error: BaseException, files: Container[str] = ()) -> str:
    """Where an error comes from, as " (vote_zero.py, line 9)": the last of its places in `files`, if one is there."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = ([frame for frame in frames if frame.filename in files] or frames)[-1]
    return f" ({Path(frame.filename).name}, line {frame.lineno})"


def place_of_code(method: Callable[..., object]) -> str:
    """Where a method begins, in the same form."""
    code = _code(method)
    return f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _code(method: Callable[..., object]) -> CodeType:
    code: CodeType = inspect.unwrap(method).__code__
    return code


def _check_parameters(found: type, base: type, hook: str) -> None:
    """The runtime must be able to call it as it calls the method of `base`."""
    method: Callable[..., object] = getattr(found, hook)
    needed = list(inspect.signature(getattr(base, hook)).parameters)
    try:
        inspect.signature(method).bind(*needed)
    except TypeError:
        wrong = f"{hook}({', '.join(inspect.signature(method).parameters)})"
        raise LookupError(
            f"{found.__name__} has {wrong}{place_of_code(method)}, but it must be {hook}({', '.join(needed)})"
        ) from None
