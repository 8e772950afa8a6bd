"""Schedulers that pick on some nodes. They delay nothing else; together with `random` the rest is out of order too."""

import random
from collections.abc import Collection
from typing import Self

from honeybadger.protocols.wire import Message
from honeybadger.simulation.schedulers.scheduler import Scheduler, View, steps


class Starve(Scheduler):
    """Whatever the NODES send or receive is late by 20,000 steps."""

    arguments = "NODES"

    def __init__(
        self, targets: Collection[int], kinds: tuple[type[Message], ...] = (Message,), patience: int = 20_000
    ) -> None:
        """`kinds`: the messages that are late; `patience`: by how many steps."""
        self._targets = frozenset(targets)
        self._kinds = kinds
        self._patience = patience

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        names = argument.split(",")
        known = {str(node): node for node in range(nodes)}
        for number, name in enumerate(names):
            if name not in known:
                raise ValueError(f"{name[:60] or 'nothing'} is no node; they are 0 to {nodes - 1}, as in starve:0,2")
            if name in names[:number]:
                raise ValueError(f"node {name} is named twice")
        return cls([known[name] for name in names])

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        starved = (sender in self._targets or recipient in self._targets) and isinstance(message, self._kinds)
        return step + self._patience if starved else step


class Leader(Scheduler):
    """Whatever the present leader sends or receives is late by STEPS (20,000).

    The leaders are the nodes that correct nodes wait for when a message is sent. Who takes over is late at once.
    """

    arguments = "[STEPS]"
    needs = "a protocol with a leader, such as pbft; without one, messages arrive in order of sending"

    def __init__(self, patience: int = 20_000) -> None:
        self._patience = patience

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        return cls(steps(argument)) if argument else cls()

    def begin(self, view: View) -> None:
        self._leaders = view.leaders

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        leaders = self._leaders()
        return step + self._patience if sender in leaders or recipient in leaders else step
