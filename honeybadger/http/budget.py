"""How much of the node's thread all HTTP clients together may take: a share of it, whoever they are.

Measured in processor time and not in requests, so that a thousand cheap requests and ten dear ones cost consensus the
same. While consensus is at work, they earn a share of the processor time that this thread gets: of the clock's time it
would be too much on a machine where others are at work as well. Who comes when the share is used up waits, first come,
first served.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
from gevent.lock import BoundedSemaphore

#: of the processor time of this thread, while consensus is at work
BUSY_SHARE = 0.03
#: and of the clock's time then (for a scrape or two in any case), and while there is nothing else to do
BUSY_FLOOR = 0.003
IDLE_FLOOR = 0.1
#: what a quiet time saves up, seconds of processor time
BURST_S = 0.1
#: how often who waits looks whether it is its turn, seconds
LOOK_S = 0.02


class CpuShare:
    """See the module. `busy()`: whether consensus is at work. For use in one thread."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._balance_s = BURST_S
        self._at = time.monotonic()
        self._cpu_at = time.thread_time()
        self._turn = BoundedSemaphore(1)
        #: seconds charged in all
        self.used_s = 0.0

    def wait(self) -> None:
        """Wait for one's turn; at once if there is time left."""
        with self._turn:
            while self._earn() <= 0:
                gevent.sleep(LOOK_S)

    def charge(self, cpu_s: float) -> None:
        """So much processor time was, or will be, used."""
        self._balance_s -= cpu_s
        self.used_s += cpu_s

    def _earn(self) -> float:
        """What is left, seconds, with what was earned since the last look."""
        now, cpu = time.monotonic(), time.thread_time()
        clock_s, cpu_s = now - self._at, cpu - self._cpu_at
        self._at, self._cpu_at = now, cpu
        earned_s = BUSY_FLOOR * clock_s + BUSY_SHARE * cpu_s if self._busy() else IDLE_FLOOR * clock_s
        self._balance_s = min(BURST_S, self._balance_s + earned_s)
        return self._balance_s
