"""A host: processors that several nodes may share. Work that finds none free waits its turn, first come first served.

A real system would slice time between more nodes than processors; a tick is short, so here it is not interrupted.
"""

from collections import deque
from collections.abc import Callable

from honeybadger.simulation.clock import Clock

#: does the work and returns its processor time, seconds
Work = Callable[[], float]


class Processors:
    """`cores` of them. `busy_s`: their processor time so far, added up."""

    def __init__(self, clock: Clock, cores: int) -> None:
        if cores < 1:
            raise ValueError(f"{cores} processors are too few")
        self._clock = clock
        self._free = cores
        self._waiting: deque[tuple[Work, Callable[[], None]]] = deque()
        self.busy_s = 0.0

    def run(self, work: Work, done: Callable[[], None]) -> None:
        """Call `work()` when a processor is free, and `done()` after the processor time that it returned."""
        self._waiting.append((work, done))
        self._start()

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            work, done = self._waiting.popleft()
            used_s = work()
            self.busy_s += used_s
            self._clock.after(used_s, lambda done=done: self._ended(done))  # type: ignore[misc]

    def _ended(self, done: Callable[[], None]) -> None:
        self._free += 1
        done()
        self._start()
