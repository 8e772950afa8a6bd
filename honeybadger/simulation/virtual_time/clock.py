"""Virtual time: events on a heap, run in order of time; of equal times, in the order in which they were planned."""

from collections.abc import Callable
from heapq import heappop, heappush


class Clock:
    """`now`: seconds since the start of the simulation; it moves from event to event. `events`: how many were run."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Run `event()` at `time`, or now if that has passed."""
        self._planned = number = self._planned + 1
        heappush(self._heap, (time if time > self.now else self.now, number, event))

    def after(self, delay_s: float, event: Callable[[], None]) -> None:
        """Run `event()` in `delay_s` seconds."""
        self.at(self.now + delay_s, event)

    def step(self) -> bool:
        """Run the next event; False if there is none."""
        if not self._heap:
            return False
        self.now, _, event = heappop(self._heap)
        self.events += 1
        event()
        return True


class ClockTimer:
    """Calls `fired()` in `seconds` of virtual time, unless it is stopped before."""

    def __init__(self, clock: Clock, seconds: float, fired: Callable[[], None]) -> None:
        self._fired: Callable[[], None] | None = fired
        clock.after(seconds, self._fire)

    def stop(self) -> None:
        self._fired = None

    def _fire(self) -> None:
        if self._fired is not None:
            self._fired()
