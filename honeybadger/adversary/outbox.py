"""An outbox on which every message may be changed on its way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from honeybadger.protocols.base import FaultKind, Outbox
from honeybadger.protocols.messages import Message


class FilteredOutbox:
    """An `Outbox` in front of `inner` that lets `change(recipient, message)` alter, drop or multiply each message.

    `nodes`: how many nodes a broadcast goes to, the sender included.
    """

    def __init__(self, inner: Outbox, nodes: int, change: Callable[[int, Message], Sequence[Message]]) -> None:
        self._inner = inner
        self._nodes = nodes
        self._change = change

    def broadcast(self, message: Message) -> None:
        """To every node, each through the change."""
        for node in range(self._nodes):
            self.send(node, message)

    def send(self, node: int, message: Message) -> None:
        """To one node, through the change."""
        for changed in self._change(node, message):
            self._inner.send(node, changed)

    def fault(self, node: int, kind: FaultKind, detail: str) -> None:
        """A faulty node's accusations are worth nothing."""
