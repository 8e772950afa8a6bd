"""What the process uses, once a second, for measurement."""

import os
import resource
import sys
import time
from contextlib import suppress
from typing import Any

import gevent

#: how often the event loop is asked whether it is on time, seconds
LAG_PERIOD_S = 0.05


class ProcessUsage:
    def __init__(self) -> None:
        # Opened once: measuring must not fail because descriptors ran out, and must never end a node.
        self._statm = -1
        with suppress(OSError):
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)

    def read(self) -> dict[str, Any]:
        """`cpu_s`; `rss_bytes`, resident now, None where the system does not tell; `peak_rss_bytes`."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "rss_bytes": self._resident(),
            "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }

    def close(self) -> None:
        if self._statm >= 0:
            os.close(self._statm)
            self._statm = -1

    def _resident(self) -> int | None:
        with suppress(OSError, IndexError, ValueError):
            return int(os.pread(self._statm, 1000, 0).split()[1]) * resource.getpagesize()
        return None


class HubLag:
    """How late gevent's event loop is: a timer notes how long after its time it is served."""

    def __init__(self) -> None:
        self._due = 0.0
        self._worst_s = 0.0
        self._timer: Any = None

    def start(self) -> None:
        """Begin; in the thread of the hub that is looked at."""
        self._due = time.monotonic() + LAG_PERIOD_S
        self._timer = gevent.get_hub().loop.timer(LAG_PERIOD_S, LAG_PERIOD_S)
        self._timer.start(self._served)

    def take(self) -> float | None:
        """The longest delay since the last call, seconds; None if it was not started."""
        if self._timer is None:
            return None
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s

    def close(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _served(self) -> None:
        now = time.monotonic()
        self._worst_s = max(self._worst_s, now - self._due)
        # As the loop has it: periods that were missed are not made up for.
        self._due = max(self._due + LAG_PERIOD_S, now)
