"""The schedulers by name, and classes in files of your own."""

from typing import NamedTuple

from honeybadger.adversary.strategy_class import classes_here, load_class, look_in_this_directory, place_of
from honeybadger.simulation.coin_attack import CoinAttack
from honeybadger.simulation.schedulers.biased import Biased
from honeybadger.simulation.schedulers.orders import Fifo, Late, Lifo, Random
from honeybadger.simulation.schedulers.scheduler import Scheduler
from honeybadger.simulation.schedulers.split import Split
from honeybadger.simulation.schedulers.together import Together
from honeybadger.simulation.schedulers.victims import Leader, Starve
from honeybadger.wording import nearest

SCHEDULERS: dict[str, type[Scheduler]] = {
    "fifo": Fifo,
    "lifo": Lifo,
    "random": Random,
    "late": Late,
    "starve": Starve,
    "leader": Leader,
    "split": Split,
    "biased": Biased,
    "coin-attack": CoinAttack,
}
#: how to name a class of one's own, for people
YOURS = "my_module:ClassName"
#: what the runtime calls
HOOKS = ("of", "begin", "__call__")


class Described(NamedTuple):
    """A scheduler for people. `usage`: how to write it, as in "late:STEPS"; `needs`: see `Scheduler`."""

    name: str
    usage: str
    summary: str
    needs: str


def describe_schedulers() -> list[Described]:
    """All that have a name."""
    return [_described(name, scheduler) for name, scheduler in SCHEDULERS.items()]


def find_scheduler(text: str, nodes: int) -> Scheduler:
    """The scheduler that `text` names, new, for `nodes` nodes; ValueError, in one line, if there is none.

    NAME, NAME:ARGUMENT, MODULE:CLASS, MODULE:CLASS:ARGUMENT, or several of them joined by "+".
    """
    parts = [_find(part, nodes) for part in text.split("+")]
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(part, CoinAttack) for part in parts):
        raise ValueError(f"{text:.60}: coin-attack decides about all messages; nothing can be added to it")
    return Together(*parts)


def _find(text: str, nodes: int) -> Scheduler:
    name, _, argument = text.partition(":")
    if name in SCHEDULERS:
        scheduler = SCHEDULERS[name]
    elif argument:
        attribute, _, argument = argument.partition(":")
        scheduler = _load(name, attribute)
    else:
        yours = classes_here(name)
        like = f"; did you mean {' or '.join(yours)}?" if yours else nearest(name, SCHEDULERS)
        raise ValueError(
            f"there is no scheduler {name[:60] or '(empty)'}; there are {', '.join([*SCHEDULERS, YOURS])}{like}"
        )
    if scheduler.arguments and not scheduler.arguments.startswith("[") and not argument:
        raise ValueError(f"{name:.60} says too little: write {_usage(text.rstrip(':'), scheduler)}")
    try:
        return scheduler.of(argument, nodes)
    except ValueError as error:
        raise ValueError(f"{text:.60}: {error}") from None
    # All that the code of a person may raise.
    except Exception as error:
        raise ValueError(f"{text:.60}: {type(error).__name__}: {error}{place_of(error)}") from None


def _load(module: str, name: str) -> type[Scheduler]:
    look_in_this_directory()
    try:
        return load_class(module, name, Scheduler, HOOKS)
    except LookupError as error:
        raise ValueError(str(error)) from None


def _usage(name: str, scheduler: type[Scheduler]) -> str:
    if scheduler.arguments.startswith("["):
        return f"{name}[:{scheduler.arguments[1:]}"
    return f"{name}:{scheduler.arguments}" if scheduler.arguments else name


def _described(name: str, scheduler: type[Scheduler]) -> Described:
    return Described(name, _usage(name, scheduler), (scheduler.__doc__ or "").splitlines()[0], scheduler.needs)
