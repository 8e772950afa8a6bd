"""When an open loop sends: scheduled times that depend on nothing but rate, seed and clock.

A client that is late sends what has become due meanwhile; latency counts from the scheduled time.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

KINDS = ("fixed", "poisson")
#: times of a Poisson process that are drawn at once
_DRAWN_AT_ONCE = 4096


class Arrivals(Protocol):
    """Scheduled times in seconds from the start of the load, ascending."""

    def due(self, now: float) -> Any:
        """The times up to `now` that were not handed out before, as an array."""


class FixedArrivals:
    """Evenly spaced: of K clients together, transaction i is due at i / rate, and belongs to client i mod K."""

    def __init__(self, rate: float, client: int, clients: int) -> None:
        self._spacing = clients / rate
        self._first = client / rate
        self._count = 0

    def due(self, now: float) -> Any:
        """See `Arrivals`."""
        end = max(self._count, int((now - self._first) / self._spacing) + 1 if now >= self._first else 0)
        times = self._first + np.arange(self._count, end) * self._spacing
        self._count = end
        return times


class PoissonArrivals:
    """A Poisson process: independent, exponential gaps. K independent ones of rate/K make one of `rate`."""

    def __init__(self, rate: float, client: int, clients: int, seed: int) -> None:
        self._generator = np.random.default_rng([seed, client])
        self._gap = clients / rate
        self._times: Any = np.empty(0)
        self._last = 0.0

    def due(self, now: float) -> Any:
        """See `Arrivals`."""
        while self._last <= now:
            more = self._last + np.cumsum(self._generator.exponential(self._gap, _DRAWN_AT_ONCE))
            self._last = float(more[-1])
            self._times = np.concatenate([self._times, more])
        count = int(np.searchsorted(self._times, now, side="right"))
        times, self._times = self._times[:count], self._times[count:]
        return times


def make_arrivals(kind: str, rate: float, client: int, clients: int, seed: int) -> Arrivals:
    """The schedule of one of `clients` clients that offer `rate` transactions per second together."""
    if kind == "poisson":
        return PoissonArrivals(rate, client, clients, seed)
    return FixedArrivals(rate, client, clients)
