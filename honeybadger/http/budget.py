"""How much of the node's thread all HTTP clients together may take: a share of it, whoever they are.

Measured in processor time and not in requests, so that a thousand cheap requests and ten dear ones cost consensus the
same. While consensus is at work, they earn a share of the processor time that this thread gets: of the clock's time it
would be too much on a machine where others are at work as well. Who comes when the share is used up waits. Addresses
take turns, and of one address who came first: a scraper is answered soon, however many ask from elsewhere.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
from gevent.event import Event

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
    """See the module. `busy()`: whether consensus is at work; `part`: of the share, the rest is another's.

    For use in one thread.
    """

    def __init__(self, busy: Callable[[], bool], part: float = 1.0) -> None:
        self._busy = busy
        self._part = part
        self._balance_s = BURST_S
        self._at = time.monotonic()
        self._cpu_at = time.thread_time()
        self._turns = Turns()
        #: seconds charged in all
        self.used_s = 0.0

    def wait(self, address: str) -> None:
        """Wait for one's turn; at once if there is time left and nobody else waits."""
        with self._turns.turn(address):
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
        self._balance_s = min(BURST_S, self._balance_s + self._part * earned_s)
        return self._balance_s


class Turns:
    """One at a time. Addresses that wait take turns; of one address, first come, first served."""

    def __init__(self) -> None:
        self._taken = False
        #: the next address is the first one; no line is empty
        self._lines: dict[str, deque[Event]] = {}

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """Wait for one's turn and have it until the end of the block."""
        if self._taken:
            mine = Event()
            self._lines.setdefault(address, deque()).append(mine)
            try:
                mine.wait()
            except BaseException:
                self._leave(address, mine)
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _leave(self, address: str, mine: Event) -> None:
        """Whoever waited was told to stop waiting."""
        if mine.is_set():
            self._pass_on()
            return
        self._lines[address].remove(mine)
        if not self._lines[address]:
            del self._lines[address]

    def _pass_on(self) -> None:
        address = next(iter(self._lines), None)
        self._taken = address is not None
        if address is not None:
            line = self._lines.pop(address)
            line.popleft().set()
            if line:
                # Behind the others.
                self._lines[address] = line
