"""What a node reports: structured events, one JSON object a line, with the node's monotonic clock.

Nothing parses log text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec


class EventLog:
    """Appends events to a file; `None` drops them. Lines are written through at once."""

    def __init__(self, file: BinaryIO | None, say: Callable[[str], None] = lambda line: None) -> None:
        self._file = file
        self._say = say
        self._encoder = msgspec.json.Encoder()

    def emit(self, event: str, **details: Any) -> None:
        """Write {"t": monotonic seconds, "event": …, details}."""
        if self._file is not None:
            try:
                self._file.write(self._encoder.encode({"t": time.monotonic(), "event": event, **details}) + b"\n")
                self._file.flush()
            except OSError as error:
                # A node is worth more than what it reports.
                self._say(f"events are no longer written: {error}")
                file, self._file = self._file, None
                with suppress(OSError):
                    file.close()
