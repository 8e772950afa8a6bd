"""What a node reports: structured events, one JSON object a line, with the node's monotonic clock.

Nothing parses log text.
"""

from __future__ import annotations

import time
from typing import Any, BinaryIO

import msgspec


class EventLog:
    """Appends events to a file; `None` drops them. Lines are written through at once."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def emit(self, event: str, **details: Any) -> None:
        """Write {"t": monotonic seconds, "event": …, details}."""
        if self._file is not None:
            self._file.write(self._encoder.encode({"t": time.monotonic(), "event": event, **details}) + b"\n")
            self._file.flush()
