"""Click options: those that are derived from a record of settings, and helpers for the others.

Options of fields, and those made with `option`, are also environment variables HONEYBADGER_….
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from bench.plan.fields import Field, Given
from honeybadger.cluster.secret_file import closed
from honeybadger.wording import closest

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """`IntRange`, with another name in help texts."""

    name = "integer"


class FiniteFloat(click.FloatRange):
    """A number from `min` to a thousand million: neither nan nor infinite, nor too long for a clock."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number) or number > 1e9:
            self.fail(f"{value} is not a number up to 1e9.", param, ctx)
        return number


class Directory(click.Path):
    """A directory that need not exist; "" is not one."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "":
            self.fail("the name is empty.", param, ctx)
        return super().convert(value, param, ctx)


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that shows its default and its environment variable."""
    long = next(name for name in names if name.startswith("--")).split("/")[0].lstrip("-")
    settings.setdefault("envvar", "HONEYBADGER_" + long.upper().replace("-", "_"))
    settings.setdefault("show_envvar", True)
    settings.setdefault("show_default", settings.get("default") is not None)
    return click.option(*names, **settings)


class FileIn(click.Path):
    """A file. Whoever gives a directory instead is told which of `names`, perhaps with *, is in it (or near it)."""

    def __init__(self, *names: str) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if why := closed(Path(value)):
            self.fail(why, param, ctx)
        if Path(value).is_dir():
            paths = (Path(os.path.normpath(path)) for name in self._names for path in _paths(Path(value), name))
            there = next(filter(Path.is_file, paths), None)
            self.fail(f"{value} is a directory; " + (f"try {there}" if there else "name a file"), param, ctx)
        return super().convert(value, param, ctx)


def _paths(directory: Path, name: str) -> list[Path]:
    return sorted(directory.glob(name)) if "*" in name else [directory / name]


class Results(click.Path):
    """The directory of an experiment's results, or of one of its runs; if `local`, of a run of `honeybadger local`."""

    def __init__(self, *, local: bool = False) -> None:
        super().__init__(path_type=Path)
        self._local = local

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        if path.is_file():
            home = Path("runs", path.stem)
            meant = f"try {home}" if home.is_dir() else f"`honeybadger bench run {path}` makes it"
            self.fail(f"{path} is a file, but a directory of results is meant; {meant}", param, ctx)
        if not path.is_dir():
            like = closest(path.name, (home.name for home in sorted(Path("runs").glob("*/"))))
            meant = (
                f"did you mean runs/{like}?" if like else "`honeybadger bench run` makes such directories below runs/"
            )
            self.fail(f"{path} does not exist; {meant}", param, ctx)
        if not any(path.glob("runs/*/summary.json")) and (near := _results_near(path)):
            self.fail(f"{path} is not the directory of one experiment or run; try {near}", param, ctx)
        summary = path / "summary.json"
        if (path / "cluster.toml").is_file() and not (self._local and summary.is_file()):
            what = "is a cluster's directory"
            if summary.is_file():
                what = f"holds a run of `honeybadger local`, whose figures are in {summary}"
            self.fail(f"{path} {what}; here the results of `honeybadger bench run` are meant", param, ctx)
        return path


def _results_near(path: Path) -> Path | None:
    """Of a run, if `path` is its folder raw/; of an experiment, if `path` is its folder runs/ or holds some."""
    if path.name == "raw" and (path.parent / "summary.json").is_file():
        return path.parent
    if path.name == "runs" and any(path.glob("*/summary.json")):
        return path.parent
    inside = (home for pattern in ("*", "runs/*") for home in sorted(path.glob(pattern)))
    return next((home for home in inside if any(home.glob("runs/*/summary.json"))), None)


FILE = FileIn()
#: also for a person who gives the cluster's directory, that of a node, or that of a run which was kept
CLUSTER_FILE = FileIn("cluster.toml", "../cluster.toml", "raw/cluster.toml")
cluster_option = option(
    "--cluster", type=CLUSTER_FILE, required=True, help="The cluster's manifest: the cluster.toml of keygen."
)
curve_option = option("--curve/--no-curve", default=None, help="Instead of the manifest's.")


class _Text(click.ParamType[str]):
    """Text that is read later, when the whole record is known."""

    def __init__(self, field: Field) -> None:
        self.name = {int: "integer", float: "number", Path: "path"}.get(field.base, "text")
        self._separator = field.extra.get("separator")

    def split_envvar_value(self, rv: str) -> list[str]:
        """One environment variable may hold several pieces."""
        return rv.split(self._separator)


class FieldOption(click.Option):
    """The option of one field of a record; `default`: None unless a command has another one than the record."""

    def __init__(self, field: Field, default: Any = None, protocols: int = 0) -> None:
        self.field = field
        self._default = default
        self._usual = field.default if default is None else default
        self._protocols = protocols
        is_flag = field.base is bool
        flags = f"--{field.key}/--no-{field.key}" if is_flag and self._usual else f"--{field.key}"
        short = [f"-{field.extra['short']}"] if "short" in field.extra else []
        settings: dict[str, Any] = {"is_flag": True} if is_flag else {"type": _Text(field)}
        settings |= {"multiple": True} if "separator" in field.extra else {"default": default}
        super().__init__(
            [*short, flags, field.key.replace("-", "_")],
            envvar=field.variable,
            metavar=field.extra.get("metavar") or (f"[{'|'.join(field.choices)}]" if field.choices else None),
            **settings,
        )

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Made when it is wanted: it lists what is installed."""
        self.help = self.field.help(self._usual, self._protocols)
        return super().get_help_record(ctx)

    def given(self, context: click.Context) -> Given | None:
        value, source = context.params[self.name or ""], context.get_parameter_source(self.name or "")
        if source in (None, ParameterSource.DEFAULT) and self._default is None:
            return None
        off = "no-" if value is False else ""
        written = self.field.variable if source is ParameterSource.ENVIRONMENT else f"--{off}{self.field.key}"
        if isinstance(value, tuple):
            if not all(value):
                raise click.BadParameter("the text is empty", context, self)
            value = self.field.extra["separator"].join(value)
        return Given(value, written, is_text=True)


def field_options(
    fields: Mapping[str, Field], *keys: str, defaults: Mapping[str, Any] | None = None
) -> list[FieldOption]:
    """Options of these fields, or of those with these keys. `defaults`: where the command differs from the record."""
    protocols = len({name for field in fields.values() for name in field.owners})
    return [FieldOption(fields[key], (defaults or {}).get(key), protocols) for key in keys or fields]


def given(context: click.Context) -> dict[str, Given]:
    """What a person chose with options of fields, by key; defaults of the command count as chosen."""
    pairs = ((p.field.key, p.given(context)) for p in context.command.params if isinstance(p, FieldOption))
    return {key: one for key, one in pairs if one is not None}


class GroupedCommand(click.Command):
    """Shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            group = parameter.field.group if isinstance(parameter, FieldOption) else "Options"
            if record := parameter.get_help_record(ctx):
                groups.setdefault(group, []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text(self._variables())

    def _variables(self) -> str:
        """Which options are environment variables too: those of fields, at least."""
        options = [one for one in self.params if isinstance(one, click.Option)]
        names = {max(one.opts, key=len): one.envvar for one in options}
        flags_only = [flag for flag, variable in names.items() if not variable]
        # A name of two words shows how they are joined.
        flag = max((flag for flag, variable in names.items() if variable), key=lambda flag: "-" in flag[2:])
        but = f" but {' and '.join(flags_only).replace(' and ', ', ', len(flags_only) - 2)}" if flags_only else ""
        return f"Every option{but} is also an environment variable: {flag} is {names[flag]}. A flag wins over it."
