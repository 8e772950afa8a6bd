"""What surrounds `Peers` in tests: queues in place of sockets, and a record of what it tells its node."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from honeybadger.network.codec import Codec, Hello
from honeybadger.network.transport import PeerEvent
from honeybadger.node.peers import Peers
from honeybadger.protocols.wire import Message

HELLO = Hello(bytes(32), {"batch_size": "7"})


class Listener:
    """Notes everything; refuses who greets with another chain id."""

    def __init__(self, hello: Hello = HELLO) -> None:
        self._hello = hello
        self.refusals: list[tuple[int, str]] = []
        self.connections: list[tuple[int, bool, str]] = []
        self.faults: Counter[tuple[int, StrEnum]] = Counter()
        self.twin_heard_by: set[int] = set()

    def difference(self, hello: Hello) -> str:
        return "" if hello.chain_id == self._hello.chain_id else f"not {hello.settings}"

    def refused(self, peer: int, why: str) -> None:
        self.refusals.append((peer, why))

    def connection(self, peer: int, up: bool, failure: str) -> None:
        self.connections.append((peer, up, failure))

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self.faults[node, kind] += 1

    def twin_heard(self, peer: int) -> None:
        self.twin_heard_by.add(peer)


class Said:
    """An `Outbox` that notes everything; `sent` to None is sent to everybody."""

    def __init__(self) -> None:
        self.sent: list[tuple[int | None, Any]] = []
        self.faults: list[tuple[int, StrEnum]] = []

    def broadcast(self, message: Message) -> None:
        self.sent.append((None, message))

    def send(self, node: int, message: Message) -> None:
        self.sent.append((node, message))

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self.faults.append((node, kind))

    def said(self) -> list[tuple[int | None, Any]]:
        """What was sent since the last call."""
        said, self.sent = self.sent, []
        return said


class QueueTransport:
    """Node `me`, connected to all others: two queues and a record."""

    def __init__(self, me: int, nodes: int) -> None:
        self.inbox: deque[tuple[int, list[Any]]] = deque()
        self.changes = [PeerEvent(peer, True) for peer in range(nodes) if peer != me]
        self.sent: list[tuple[int, list[bytes]]] = []
        self.works = True
        self.resets: list[int] = []

    def arrives(self, sender: int, *parts: bytes) -> None:
        self.inbox.append((sender, list(parts)))

    def receive(self) -> tuple[int, list[Any]] | None:
        return self.inbox.popleft() if self.inbox else None

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        if self.works:
            self.sent.append((peer, list(parts)))
        return self.works

    def events(self) -> list[PeerEvent]:
        changes, self.changes = self.changes, []
        return changes

    def reset(self, peer: int) -> None:
        self.resets.append(peer)


def peers_of(
    me: int,
    nodes: int,
    session: int,
    codec: Codec,
    transport: Any,
    listener: Any,
    *,
    hello: Hello = HELLO,
    held_bytes_cap: int = 1 << 20,
    now: Callable[[], float] = time.monotonic,
) -> Peers:
    """The network side of node `me`."""
    return Peers(me, nodes, session, codec, transport, listener, hello, held_bytes_cap, now=now)
