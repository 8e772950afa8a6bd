"""What a scheduler is: the adversary that decides the order of messages.

A scheduler is asked about each message when it is sent, and answers with the message's key: the step at which it is
due. Of the messages under way, the one with the smallest key comes next. A step is a millisecond of virtual time, and
each message sent takes one. A message whose key is the present step would come in order of sending; one that is late by
k steps is overtaken by what is sent, and due, before; one with a smaller key overtakes others.

Every scheduler delivers everything in the end, as the protocols' liveness demands: a key is a number below
`step + LATEST`, and time goes on.

Schedulers order messages of protocol objects (`InMemoryNetwork`) and delay the frames of whole nodes (`FrameDelays`).
"""

import random
from collections.abc import Callable, Collection
from math import inf
from typing import ClassVar, Protocol, Self

from honeybadger.protocols.wire import Message

#: virtual time that a step stands for, seconds
STEP_S = 0.001
#: no message may be later than by so many steps (almost three hours)
LATEST = 10_000_000

#: (step of sending, sender, recipient, message, seeded random source) → key. A function will do as a scheduler
Order = Callable[[float, int, int, Message, random.Random], float]


class UnfairScheduler(Exception):
    """A scheduler's answer is no key: that message would never be delivered."""


class View(Protocol):
    """What a scheduler may learn from the network, in addition to the messages."""

    nodes: int

    def leaders(self) -> Collection[int]:
        """The nodes that some correct node takes for the leader now; none in a protocol without a leader."""

    def reschedule(self) -> None:
        """Ask for new keys of all that is under way, as if sent when it was: the scheduler has learned something."""


class Scheduler:
    """The base of schedulers with a name. The first line of a subclass's docstring describes it to people.

    `arguments`: how to write what follows the name and a colon, in brackets if it may be left out; "": nothing does.
    `needs`: what must be true of a run, in words. `whole_nodes`: whether it makes sense for frames of whole nodes,
    which it can only delay.
    """

    arguments: ClassVar[str] = ""
    needs: ClassVar[str] = ""
    whole_nodes: bool = True

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        """For `nodes` nodes, what `argument` asks for ("": there is none); ValueError, in one line, for nonsense."""
        if argument:
            raise ValueError(f"takes no argument, not {argument:.60}")
        return cls()

    def begin(self, view: View) -> None:
        """Called once, before the first message."""

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        """The key of a message that is sent now. Take randomness from `rng` alone: then a run can be repeated."""
        raise NotImplementedError


def checked(key: float, step: float, scheduler: Order) -> float:
    """The key; UnfairScheduler if it is none."""
    try:
        # NaN compares with nothing; what is no number raises TypeError.
        if -inf < key < step + LATEST:
            return key
    except TypeError:
        pass
    name = getattr(scheduler, "__name__", type(scheduler).__name__)
    raise UnfairScheduler(f"{name} gave a message the key {key!r:.60} at step {step:.0f}: it would never arrive")


def steps(argument: str) -> int:
    """How many steps `argument` says; ValueError, in one line, unless 1 to 1,000,000."""
    most = LATEST // 10
    if argument.isascii() and argument.isdigit() and 1 <= int(argument[:20]) <= most:
        return int(argument)
    raise ValueError(f"{argument:.60} is no number of steps from 1 to {most:,}")
