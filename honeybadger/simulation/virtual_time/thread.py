"""A thread of a simulated node beside its main loop, such as ZeroMQ's, which sends and receives."""

from collections import deque
from collections.abc import Callable
from functools import partial

from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.processors import Processors


class Thread:
    """Does one thing after the other on a processor of `host`, what waits meanwhile all at once; `meter` counts it."""

    def __init__(self, host: Processors, meter: Meter) -> None:
        self._host = host
        self._meter = meter
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._busy = False

    def run(self, cost_s: float, done: Callable[[], None]) -> None:
        """Call `done()` when this has had its processor time."""
        self._waiting.append((cost_s, done))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = True
        waiting, self._waiting = self._waiting, deque()
        cost_s = sum(cost for cost, _ in waiting)
        self._meter.total += cost_s
        self._host.run(lambda: cost_s, partial(self._done, [done for _, done in waiting]))

    def _done(self, calls: list[Callable[[], None]]) -> None:
        for done in calls:
            done()
        self._busy = False
        if self._waiting:
            self._next()
