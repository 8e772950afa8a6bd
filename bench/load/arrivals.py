"""When an open loop sends: scheduled times that depend on nothing but rate, seed and clock.

A client that is late sends what has become due meanwhile; latency counts from the scheduled time.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

#: times that are made at once
_AT_ONCE = 4096


class Arrivals:
    """Scheduled times in seconds from the start of the load, ascending. `times`: all of them, some at a time."""

    def __init__(self, times: Iterator[Any]) -> None:
        self._more = times
        self._times: Any = np.empty(0)
        self._last = 0.0

    def due(self, now: float) -> Any:
        """The times up to `now` that were not handed out before, as an array."""
        while self._last <= now:
            more = next(self._more)
            self._last = float(more[-1])
            self._times = np.concatenate([self._times, more])
        count = int(np.searchsorted(self._times, now, side="right"))
        times, self._times = self._times[:count], self._times[count:]
        return times


def make_arrivals(kind: str, rate: float, client: int, clients: int, seed: int) -> Arrivals:
    """The schedule of one of `clients` clients that offer `rate` transactions per second together."""
    return Arrivals(_poisson(rate, client, clients, seed) if kind == "poisson" else _fixed(rate, client, clients))


def _fixed(rate: float, client: int, clients: int) -> Iterator[Any]:
    """Evenly spaced: of K clients together, transaction i is due at i / rate, and belongs to client i mod K."""
    for begin in count(0, _AT_ONCE):
        yield client / rate + np.arange(begin, begin + _AT_ONCE) * (clients / rate)


def _poisson(rate: float, client: int, clients: int, seed: int) -> Iterator[Any]:
    """A Poisson process: independent, exponential gaps. K independent ones of rate/K make one of `rate`."""
    generator = np.random.default_rng([seed, client])
    last = 0.0
    while True:
        times = last + np.cumsum(generator.exponential(clients / rate, _AT_ONCE))
        last = float(times[-1])
        yield times
