"""The ZeroMQ context of a node's sockets, with the handler that admits connections (ZAP)."""

from collections.abc import Callable
from typing import Any

import zmq

from honeybadger.network.security import Credentials, ZapHandler
from honeybadger.network.watcher import Watcher


class Gate:
    """Build it before the first socket of its `context` listens. `ready()` asks the owner to call `serve` soon."""

    def __init__(self, credentials: Credentials, nodes: int, ready: Callable[[], None]) -> None:
        self.context: Any = zmq.Context()
        self.context.max_sockets = max(1023, 8 * nodes)
        self._zap = ZapHandler(self.context, credentials)
        self._watcher = Watcher(self._zap.socket, ready)

    def serve(self) -> list[str]:
        """Answer all waiting requests; returns the refused addresses."""
        self._zap.serve()
        refused, self._zap.refused = self._zap.refused, []
        return refused

    def close(self) -> None:
        """End the context; close all its sockets first."""
        self._watcher.close()
        self._zap.socket.close(0)
        self.context.term()
