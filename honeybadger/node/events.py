"""What a node reports: structured events, one JSON object a line, with the node's monotonic clock.

Nothing parses log text.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec


class EventLog:
    """Appends events to a file (not with `None`) and tells subscribers. Lines are written through at once."""

    def __init__(
        self,
        file: BinaryIO | None,
        say: Callable[[str], None] = lambda line: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._now = now
        self._say = say
        self._encoder = msgspec.json.Encoder()
        self._subscribers: list[Callable[[str, dict[str, Any]], None]] = []

    def subscribe(self, subscriber: Callable[[str, dict[str, Any]], None]) -> None:
        """Call `subscriber(event, details)` for every event from now on."""
        self._subscribers.append(subscriber)

    def emit(self, event: str, **details: Any) -> None:
        """Write {"t": monotonic seconds, "event": …, details}."""
        for subscriber in self._subscribers:
            subscriber(event, details)
        if self._file is not None:
            try:
                self._file.write(self._encoder.encode({"t": self._now(), "event": event, **details}) + b"\n")
                self._file.flush()
            except OSError as error:
                # A node is worth more than what it reports.
                self._say(f"events are no longer written: {error}")
                file, self._file = self._file, None
                with suppress(OSError):
                    file.close()
