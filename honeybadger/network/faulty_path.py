"""The path to one peer under a schedule of faults: the messages that are held back, and until when."""

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from honeybadger.network.fault_schedule import CLEAR, Conditions


@dataclass(slots=True)
class FaultyPath:
    """The messages that wait on the path to one peer, and whether the path is open."""

    peer: int
    conditions: Conditions = CLEAR
    #: whether the real connection is up, and whether the layer above believes so
    really_up: bool = False
    up: bool = False
    #: after a drop the connection stays down until this time
    reopen_at: float = 0.0
    #: second of the schedule at which the connection is reset next
    reset_s: float = math.inf
    #: (delayed until, parts, bytes), in order; none leaves before those ahead of it
    held: deque[tuple[float, Sequence[bytes], int]] = field(default_factory=deque)
    #: when the last message finished leaving
    free_at: float = 0.0

    def leaves_at(self) -> float:
        """When the oldest held message has left through the limited bandwidth; infinite if there is none."""
        if not self.held:
            return math.inf
        delayed_until, _, size = self.held[0]
        return max(delayed_until, self.free_at) + size / self.conditions.bytes_per_s

    def hold(self, parts: Sequence[bytes], size: int, now: float, rng: random.Random) -> None:
        """Queue a message of `size` bytes behind those that are held."""
        conditions = self.conditions
        until = now + conditions.delay_s
        if conditions.jitter_s:
            until += rng.uniform(-conditions.jitter_s, conditions.jitter_s)
        self.held.append((until, parts, size))

    def opens_at(self) -> float:
        """When it can be opened; infinite if it is open or something else prevents it."""
        return self.reopen_at if self.really_up and not self.up and not self.conditions.cut else math.inf
