"""The faulty nodes of a search, by name: the strategies of real nodes, and two that only a simulation can have."""

import random
from collections.abc import Mapping

from honeybadger.adversary.catalogue import everywhere, find_strategy, only_with
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import Strategy
from honeybadger.simulation.conspiracy import Conspirator, Plot
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.twins import Twins

#: liars that are in league; they know the messages of Honey Badger
CONSPIRATOR = "conspirator"
TWINS = "twins"


def names(protocol: str) -> list[str]:
    """The liars that fit the protocol, sorted."""
    own = [CONSPIRATOR] if protocol == "honeybadger" else []
    return sorted([*everywhere(), *only_with(protocol), TWINS, *own])


def check(protocol: str, name: str) -> None:
    """LookupError, in one line, if the protocol cannot have this liar."""
    if name == CONSPIRATOR and protocol != "honeybadger":
        raise LookupError(f"{CONSPIRATOR} speaks honeybadger only; {protocol} has {', '.join(names(protocol))}")
    if name not in (CONSPIRATOR, TWINS):
        find_strategy(protocol, name)


def make(protocol: str, liars: Mapping[int, str], quorums: Quorums, seed: int) -> dict[int, Strategy]:
    """Node → its behaviour, drawn from `seed`; LookupError as `check`."""
    correct = [node for node in range(quorums.nodes) if node not in liars]
    plot = Plot(random.Random(f"plot {seed}"), correct, max(0, quorums.quorum - len(liars)))
    made: dict[int, Strategy] = {}
    for node, name in sorted(liars.items()):
        if name == CONSPIRATOR:
            made[node] = Conspirator(plot)
        elif name == TWINS:
            made[node] = Twins(seed)
        else:
            made[node] = Simulated(find_strategy(protocol, name))
    return made
