"""How all nodes are doing, as one of them sees it: it asks the others over their client ports, while somebody looks.

So the page needs one node's HTTP port only, and browsers need not be let across origins. Other nodes are not trusted:
what they say is bounded and typed, and shown as theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import gevent
import msgspec
import zmq
from gevent.event import Event
from msgspec import Meta

from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Status, StatusRequest, reply_decoder

#: the others are asked so often, seconds
PERIOD_S = 1.0
#: replies are looked at after this, seconds
PATIENCE_S = 0.3
#: without a viewer for so long nobody is asked, seconds
LOOKS_S = 5.0
#: a node that has not answered for so long counts as silent, seconds
SILENT_S = 3.5
#: bytes of a node's answer, at the most
LONGEST_STATUS = 256 * 1024
#: answers of a node that are read at a time
MOST_REPLIES = 8

Count = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Name = Annotated[str, Meta(max_length=40)]


class EpochPhases(msgspec.Struct):
    """Seconds from an epoch's first phase to each; `age_s`: to now."""

    epoch: Count
    seconds: Annotated[dict[Name, Seconds], Meta(max_length=16)]
    age_s: Seconds = 0.0


class Phases(msgspec.Struct):
    """Of the epoch in progress and of the one committed last."""

    current: EpochPhases | None = None
    last: EpochPhases | None = None


class NodeStatus(msgspec.Struct):
    """What a node says of itself, as far as the page shows it."""

    height: Count
    epoch: Count
    tip: Annotated[str, Meta(max_length=64)]
    protocol: Name
    peers_connected: Count
    mempool: Count
    mempool_bytes: Count
    uptime_s: Seconds
    faults: Annotated[list[tuple[Count, Name, Count]], Meta(max_length=1000)]
    silent_through: Count = 0
    transactions: Count = 0
    tx_per_s: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    phases: Phases = msgspec.field(default_factory=Phases)


class ClusterView:
    """See the module. `status()`: this node's own. `start` after the node runs, `close` before ZeroMQ ends."""

    def __init__(
        self, context: Any, manifest: Manifest, curve: bool, me: int, status: Callable[[], dict[str, Any]]
    ) -> None:
        self._context = context
        self._manifest = manifest
        self._curve = curve
        self._me = me
        self._status = status
        self._clients: dict[int, NodeClient] = {}
        self._answers: dict[int, tuple[float, NodeStatus]] = {}
        self._looked_at = -LOOKS_S
        self._looks = Event()
        self._asking: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to wait for viewers."""
        self._asking = gevent.spawn(self._ask)

    def close(self) -> None:
        """Stop asking and close the sockets."""
        if self._asking is not None:
            self._asking.kill()
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def prepare(self) -> None:
        """Somebody will look. If it is the first for a while, the others get a moment to answer."""
        waits = time.monotonic() - self._looked_at > LOOKS_S
        self._looked_at = time.monotonic()
        self._looks.set()
        if waits:
            gevent.sleep(PATIENCE_S + 0.1)

    def look(self) -> dict[str, Any]:
        """This node, f, and of each node its status, or None if it is silent, and the age of that in seconds."""
        now = time.monotonic()
        if self._me not in self._answers:
            self._answer_oneself()
        nodes: list[dict[str, Any]] = []
        for node in range(len(self._manifest.members)):
            at, status = self._answers.get(node, (0.0, None))
            if status is None or now - at > SILENT_S:
                nodes.append({"node": node, "age_s": None, "status": None})
            else:
                nodes.append({"node": node, "age_s": round(now - at, 2), "status": status})
        quorums = self._manifest.quorums
        return {
            "node": self._me,
            "chain": self._manifest.chain_id.hex(),
            "protocol": self._manifest.consensus.protocol,
            "tolerates": quorums.faults,
            "nodes": nodes,
        }

    def _ask(self) -> None:
        while True:
            if time.monotonic() - self._looked_at > LOOKS_S:
                self._looks.clear()
                self._looks.wait()
            if not self._clients:
                self._connect()
            self._answer_oneself()
            for client in self._clients.values():
                client.send(StatusRequest(0))
            gevent.sleep(PATIENCE_S)
            for node, client in self._clients.items():
                self._take(node, client)
            gevent.sleep(PERIOD_S - PATIENCE_S)

    def _answer_oneself(self) -> None:
        """At the time when the others are asked, so that heights can be compared."""
        self._answers[self._me] = (time.monotonic(), msgspec.convert(self._status(), NodeStatus))

    def _connect(self) -> None:
        for node, member in enumerate(self._manifest.members):
            if node != self._me:
                self._clients[node] = NodeClient(
                    self._context,
                    member.host,
                    member.client_port,
                    member.public_key,
                    self._curve,
                    longest_reply=LONGEST_STATUS,
                )

    def _take(self, node: int, client: NodeClient) -> None:
        # So many and no more: a node might send faster than we read.
        for _ in range(MOST_REPLIES):
            try:
                reply = reply_decoder.decode(client.socket.recv(zmq.NOBLOCK))
                if isinstance(reply, Status):
                    self._answers[node] = (time.monotonic(), msgspec.convert(reply.status, NodeStatus))
            except zmq.Again:
                return
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                # It says nonsense, so it shows as silent.
                self._answers.pop(node, None)
