"""A network that treats links and kinds of messages differently, and always in the same way."""

import random
from typing import Self

from honeybadger.protocols.wire import Message
from honeybadger.simulation.schedulers.scheduler import Scheduler, steps

#: how likely a kind of message is late on a link
LATE = 0.3


class Biased(Scheduler):
    """From one node to another, each kind of message is always quick, or always late by STEPS (900)."""

    arguments = "[STEPS]"

    def __init__(self, patience: int = 900) -> None:
        self._patience = patience
        self._late: dict[tuple[int, int, type[Message]], bool] = {}

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        return cls(steps(argument)) if argument else cls()

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        kind = sender, recipient, type(message)
        if kind not in self._late:
            self._late[kind] = rng.random() < LATE
        return step + rng.random() * 20 + self._late[kind] * self._patience
