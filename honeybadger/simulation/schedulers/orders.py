"""Orders that look neither at who speaks nor at what is said."""

import random
from typing import Self

from honeybadger.protocols.wire import Message
from honeybadger.simulation.schedulers.scheduler import Scheduler, steps

#: messages, within which `Lifo` turns the order round
BLOCK = 5_000


class Fifo(Scheduler):
    """Messages arrive in the order in which they were sent."""

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return step


class Lifo(Scheduler):
    """The newest message arrives first; after 5,000 steps the old ones have their turn."""

    whole_nodes = False

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return step - 2 * (step % BLOCK)


class Late(Scheduler):
    """Each message is late by up to STEPS, as likely by 1 to 10 steps as by 10 to 100.

    So most come soon, and a few are overtaken by many rounds of the others, whatever the number of nodes: delays that
    are uniform would let a message be late by hardly more than the next round, for all of a round wait for each other.
    """

    arguments = "STEPS"

    def __init__(self, longest: int = 10_000) -> None:
        self._longest = longest

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        return cls(steps(argument))

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        late: float = self._longest ** rng.random()
        return step + late


class Random(Late):
    """Messages overtake each other at random: each is late by up to 400 steps, half of them by less than 20."""

    arguments = ""

    def __init__(self) -> None:
        super().__init__(400)

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        return super(Late, cls).of(argument, nodes)


fifo, lifo, shuffled = Fifo(), Lifo(), Random()
