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
        self._statm = _opened("/proc/self/statm")
        self._status = _opened("/proc/self/status")
        self._io = _opened("/proc/self/io")

    def read(self) -> dict[str, Any]:
        """`cpu_s`; `rss_bytes`, resident now; `peak_rss_bytes`; `written_bytes`, to the disk since the start.

        None where the system does not tell.
        """
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "rss_bytes": self._resident(),
            "peak_rss_bytes": self._peak() or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "written_bytes": self._written(),
        }

    def close(self) -> None:
        for descriptor in (self._statm, self._status, self._io):
            if descriptor >= 0:
                os.close(descriptor)
        self._statm = self._status = self._io = -1

    def _resident(self) -> int | None:
        with suppress(OSError, IndexError, ValueError):
            return int(os.pread(self._statm, 1000, 0).split()[1]) * resource.getpagesize()
        return None

    def _peak(self) -> int | None:
        """Linux begins `ru_maxrss` of a program with what the process that started it held, so not that."""
        with suppress(OSError, ValueError):
            kib = _field(self._status, b"VmHWM")
            return None if kib is None else 1024 * int(kib.split()[0])
        return None

    def _written(self) -> int | None:
        """Whole pages that all threads dirtied in files, a page again after each sync: what the disk gets.

        Not `wchar`, which counts what was passed to write(): it has pipes and memory file systems too, and of a small
        append that is synced only its own few bytes.
        """
        with suppress(OSError, ValueError):
            pages = _field(self._io, b"write_bytes")
            return None if pages is None else int(pages)
        return None


def _opened(path: str) -> int:
    """A descriptor, or -1 where the system has no such file or does not let us read it."""
    with suppress(OSError):
        return os.open(path, os.O_RDONLY)
    return -1


def _field(descriptor: int, wanted: bytes) -> bytes | None:
    """The value in the line `wanted: value` of a file of /proc."""
    for line in os.pread(descriptor, 4096, 0).splitlines():
        name, _, value = line.partition(b":")
        if name == wanted:
            return value
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
