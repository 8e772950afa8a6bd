"""Wakes the main loop when a ZeroMQ socket may have something to read."""

from collections.abc import Callable
from typing import Any

import gevent


class Watcher:
    """Calls `ready` when a ZeroMQ socket may have something to read."""

    def __init__(self, socket: Any, ready: Callable[[], None]) -> None:
        self._io = gevent.get_hub().loop.io(socket.fd, 1)
        self._io.start(ready)

    def close(self) -> None:
        """Stop watching; call it before the socket is closed."""
        self._io.stop()
        self._io.close()
