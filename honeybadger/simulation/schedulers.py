"""Orders in which an asynchronous network may deliver messages.

A scheduler gives each message a key when it is sent; the pending message with the smallest key is delivered next.
Keys are in steps (messages sent so far), so a message that is late by k is overtaken by at most the next k
messages: every scheduler is unfair for a while and delivers everything in the end, as the protocols' liveness
demands.

A scheduler may be adaptive: an object that learns from what it is asked about and from what faulty nodes tell it, and
calls `InMemoryNetwork.reschedule` for new keys (`coin_attack`).
"""

import random
from collections.abc import Callable, Collection

from honeybadger.protocols.wire import Message

#: (step of sending, sender, recipient, message, seeded random source) → key in steps
Scheduler = Callable[[int, int, int, Message, random.Random], float]


def fifo(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
    """In order of sending."""
    return step


def lifo(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
    """The newest first, within blocks of 5,000 messages."""
    return step - 2 * (step % 5_000)


def shuffled(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
    """Overtaking within a few hundred messages, at random."""
    return step + rng.random() * 400


def delayed(longest: int = 10_000) -> Scheduler:
    """Each message is late by a random number of steps up to `longest`."""

    def schedule(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return step + rng.random() * longest

    return schedule


def starve(
    targets: Collection[int], kinds: tuple[type[Message], ...] = (Message,), patience: int = 20_000
) -> Scheduler:
    """Messages from and to `targets` (of the given kinds) are late by `patience` steps; the rest is shuffled."""

    def schedule(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        starved = (sender in targets or recipient in targets) and isinstance(message, kinds)
        return shuffled(step, sender, recipient, message, rng) + (patience if starved else 0)

    return schedule
