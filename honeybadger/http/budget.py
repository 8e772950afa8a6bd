"""How much of the node's thread all HTTP clients together may take: a share of it, whoever they are.

Measured in processor time and not in requests, so that a thousand cheap requests and ten dear ones cost consensus the
same. Who comes when the share is used up waits, first come, first served.
"""

from __future__ import annotations

import time

import gevent
from gevent.lock import BoundedSemaphore


class CpuShare:
    """A share of one processor: `share` seconds for each second, and `burst_s` seconds that an idle time saves up."""

    def __init__(self, share: float, burst_s: float) -> None:
        if not 0 < share <= 1 or burst_s <= 0:
            raise ValueError(f"a share of {share} with bursts of {burst_s} s is none")
        self._share = share
        self._burst_s = burst_s
        self._balance_s = burst_s
        self._at = time.monotonic()
        self._turn = BoundedSemaphore(1)
        #: seconds charged in all
        self.used_s = 0.0

    def wait(self) -> None:
        """Wait for one's turn; at once if there is time left."""
        with self._turn:
            while (debt := -self._balance()) >= 0:
                gevent.sleep(max(0.001, debt / self._share))

    def charge(self, cpu_s: float) -> None:
        """So much processor time was, or will be, used."""
        self._balance_s = self._balance() - cpu_s
        self.used_s += cpu_s

    def _balance(self) -> float:
        now = time.monotonic()
        self._balance_s = min(self._burst_s, self._balance_s + (now - self._at) * self._share)
        self._at = now
        return self._balance_s
