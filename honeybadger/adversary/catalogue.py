"""The strategies by name: what packages declare through entry points, and classes in files of your own.

An entry point of the group `honeybadger.strategies` fits every protocol; one of `honeybadger.strategies.pbft` fits the
protocol pbft. Those of this package are declared in the same way, in `pyproject.toml`.
"""

import re
from importlib.metadata import EntryPoint, entry_points

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.strategy_class import classes_here, load_strategy, look_in_this_directory
from honeybadger.wording import nearest

GROUP = "honeybadger.strategies"
#: how to name a class of one's own, for people
YOURS = "my_module:ClassName"


def group_of(protocol: str) -> str:
    """The group of strategies that fit this protocol only. Groups have no "-" in their names."""
    return f"{GROUP}.{re.sub(r'[^a-zA-Z0-9_]', '_', protocol)}"


def everywhere() -> list[str]:
    """Names of the strategies that fit every protocol, sorted."""
    return sorted(_declared(GROUP))


def only_with(protocol: str) -> list[str]:
    """Names of those that fit this protocol and not every other one, sorted."""
    return sorted(_declared(group_of(protocol)))


def find_strategy(protocol: str, name: str) -> type[Adversary]:
    """The strategy `name`, or the class `MODULE:CLASS`; LookupError, in one line, if the protocol cannot have it."""
    if ":" in name:
        look_in_this_directory()
        module, _, attribute = name.rpartition(":")
        return load_strategy(module, attribute)
    fit = {**_declared(GROUP), **_declared(group_of(protocol))}
    if name not in fit:
        if own := classes_here(name):
            raise LookupError(f"{name:.60} is no strategy of {protocol}; did you mean {' or '.join(own)}?")
        names = ", ".join([*sorted(fit), YOURS])
        raise LookupError(f"{protocol} knows no strategy {name:.60}; it has {names}{nearest(name, fit)}")
    return load_strategy(fit[name].module, fit[name].attr)


def _declared(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
