"""Two halves that cannot talk to each other, then can, again and again."""

import random
from typing import Self

from honeybadger.protocols.wire import Message
from honeybadger.simulation.schedulers.scheduler import Scheduler, View, steps


class Split(Scheduler):
    """Two halves cannot talk to each other for STEPS (5,000), then can for as long; then there are two other halves."""

    arguments = "[STEPS]"

    def __init__(self, lasts: int = 5_000) -> None:
        self._lasts = lasts
        self._period, self._half = -1, frozenset[int]()

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        return cls(steps(argument)) if argument else cls()

    def begin(self, view: View) -> None:
        self._nodes = view.nodes

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        period, into = divmod(step, 2 * self._lasts)
        if period != self._period:
            self._period = int(period)
            self._half = frozenset(rng.sample(range(self._nodes), self._nodes // 2))
        parted = into < self._lasts and (sender in self._half) != (recipient in self._half)
        return step - into + self._lasts if parted else step
