"""What the process uses, once a second, for measurement."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import gevent

#: how often the event loop is asked whether it is on time, seconds
LAG_PERIOD_S = 0.05


class ProcessUsage:
    """CPU and memory of this process."""

    def __init__(self) -> None:
        # Opened once: measuring must not fail because descriptors ran out, and must never end a node.
        self._statm: BinaryIO | None = None
        with contextlib.suppress(OSError):
            self._statm = Path("/proc/self/statm").open("rb", buffering=0)  # noqa: SIM115

    def read(self) -> dict[str, Any]:
        """`cpu_s`; `rss_bytes`, resident now, None where the system does not tell; `peak_rss_bytes`."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "rss_bytes": self._resident(),
            "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }

    def close(self) -> None:
        """Give the descriptor back."""
        if self._statm is not None:
            self._statm.close()
            self._statm = None

    def _resident(self) -> int | None:
        if self._statm is None:
            return None
        try:
            self._statm.seek(0)
            return int(self._statm.read().split()[1]) * resource.getpagesize()
        except (OSError, IndexError, ValueError):
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
        """Stop."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _served(self) -> None:
        now = time.monotonic()
        self._worst_s = max(self._worst_s, now - self._due)
        # As the loop has it: periods that were missed are not made up for.
        self._due = max(self._due + LAG_PERIOD_S, now)
