"""An outbox on which every message may be changed on its way out."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from honeybadger.protocols.context import Outbox
from honeybadger.protocols.wire import Message


class FilteredOutbox:
    """An `Outbox` in front of `inner` that lets `change(recipient, message)` alter, drop or multiply each message.

    `nodes`: how many nodes a broadcast goes to, the sender included.
    """

    def __init__(self, inner: Outbox, nodes: int, change: Callable[[int, Message], Sequence[Message]]) -> None:
        self._inner = inner
        self._nodes = nodes
        self._change = change

    def broadcast(self, message: Message) -> None:
        for node in range(self._nodes):
            self.send(node, message)

    def send(self, node: int, message: Message) -> None:
        for changed in self._change(node, message):
            self._inner.send(node, changed)

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        """A faulty node's accusations are worth nothing."""


class CountingOutbox:
    """An `Outbox` in front of `inner` that counts in `sent` the messages to other nodes than `me`.

    It has `send_now`, which a real node's outbox has, if `inner` has it.
    """

    def __init__(self, inner: Outbox, me: int, nodes: int) -> None:
        self._inner = inner
        self._me = me
        self._nodes = nodes
        self.sent = 0

    def broadcast(self, message: Message) -> None:
        self.sent += self._nodes - 1
        self._inner.broadcast(message)

    def send(self, node: int, message: Message) -> None:
        self.sent += node != self._me
        self._inner.send(node, message)

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self._inner.fault(node, kind, detail)

    def __getattr__(self, name: str) -> Any:
        """All else is the inner outbox's."""
        inner = getattr(self._inner, name)
        if name != "send_now":
            return inner

        def send_now(node: int, message: Message) -> None:
            self.sent += node != self._me
            inner(node, message)

        return send_now
