"""What the process uses, once a second, for measurement."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO


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
