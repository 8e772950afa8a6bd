"""Several schedulers at once."""

import random

from honeybadger.protocols.wire import Message
from honeybadger.simulation.schedulers.scheduler import Order, Scheduler, View


class Together(Scheduler):
    """Each message is late by the sum of what the parts make it late by."""

    def __init__(self, *parts: Order) -> None:
        self._parts = parts
        self.whole_nodes = all(part.whole_nodes for part in parts if isinstance(part, Scheduler))

    def begin(self, view: View) -> None:
        for part in self._parts:
            if isinstance(part, Scheduler):
                part.begin(view)

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return step + sum(part(step, sender, recipient, message, rng) - step for part in self._parts)
