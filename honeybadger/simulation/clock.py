"""Virtual time, for both levels of simulation: events on a heap, run in order of time, and timers.

Of equal times, the event that was planned first comes first, so the same plan gives the same run.
"""

import heapq
from collections.abc import Callable
from functools import partial
from math import inf


class Clock:
    """`now`: it moves from event to event. `next`: when the next one is due, or infinity. `events`: how many were run.

    Its unit is its owner's: seconds for whole nodes, steps for protocol objects alone.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.next = inf
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Run `event()` at `time`, or now if that has passed."""
        self._planned += 1
        heapq.heappush(self._heap, (max(time, self.now), self._planned, event))
        self.next = self._heap[0][0]

    def after(self, delay: float, event: Callable[[], None]) -> None:
        """Run `event()` when `delay` has passed."""
        self.at(self.now + delay, event)

    def step(self) -> bool:
        """Run the next event; False if there is none."""
        if not self._heap:
            return False
        time, _, event = heapq.heappop(self._heap)
        self.next = self._heap[0][0] if self._heap else inf
        self.now = max(self.now, time)
        self.events += 1
        event()
        return True


class Timers:
    """The `Timers` of one node. `expired(name)` is called when one has expired; `second`: in the clock's unit."""

    def __init__(self, clock: Clock, second: float = 1.0) -> None:
        self.expired: Callable[[str], None] = lambda name: None
        self._clock = clock
        self._second = second
        self._due: dict[str, float] = {}

    def set(self, name: str, delay_s: float) -> None:
        self._due[name] = due = self._clock.now + delay_s * self._second
        self._clock.at(due, partial(self._expire, name, due))

    def cancel(self, name: str) -> None:
        self._due.pop(name, None)

    def clear(self) -> None:
        """Cancel all."""
        self._due.clear()

    def _expire(self, name: str, due: float) -> None:
        # It may have been cancelled, or set again.
        if self._due.get(name) == due:
            del self._due[name]
            self.expired(name)
