"""Whole nodes in one process: everything between the sockets and the disk, on a network of queues.

The wiring is that of `honeybadger.node.node`: messages go through its own dispatcher. The transport and the clock are
replaced, and blocks are written at once, so that the same seed gives the same run.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import zmq

from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec, Hello
from honeybadger.network.transport import PeerEvent
from honeybadger.node import catch_up, peers, rate, recovery
from honeybadger.node.application import NodeApplication
from honeybadger.node.block_messages import BLOCK_MESSAGES, BLOCKS_PER_REQUEST
from honeybadger.node.mempool import Mempool, Request
from honeybadger.node.node import Node
from honeybadger.node.peers import Peers
from honeybadger.node.recovery import Recovery
from honeybadger.protocols.base import Context, FaultKind
from honeybadger.protocols.binary_agreement import COIN_WINDOW
from honeybadger.protocols.honey_badger import SPECIFICATION
from honeybadger.protocols.messages import Message
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import dealt_keys

NODES = 4
CHAIN_ID = b"fuzzed chain".ljust(32, b".")
HELLO = Hello(CHAIN_ID, {"batch_size": "16"})
#: `skip`-free epochs make a small window go round quickly
PARAMETERS = Parameters(batch_size=16, max_tx_bytes=1000, max_proposal_bytes=1 << 14, epoch_window=2)
QUORUMS = Quorums(NODES, 1)
CODEC = Codec(
    (*SPECIFICATION.message_types, *BLOCK_MESSAGES),
    SPECIFICATION.longest_message(PARAMETERS, QUORUMS),
)


def damaged(line: str) -> None:
    """The ledger is in memory and whole, so nothing a peer asks for can be unreadable."""
    raise AssertionError(line)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@contextmanager
def stopped_time() -> Iterator[Clock]:
    """Whatever a memory node asks the time of, it is this clock."""
    clock = Clock()
    fake = SimpleNamespace(monotonic=clock.monotonic)
    with ExitStack() as stack:
        for module in (catch_up, peers, rate, recovery):
            stack.enter_context(patch.object(module, "time", fake))
        yield clock


class QueueTransport:
    """Stands for the sockets. `outgoing(peer, parts)` takes what the node sends."""

    def __init__(self, me: int, outgoing: Callable[[int, list[bytes]], None]) -> None:
        self.inbox: deque[tuple[int, list[Any]]] = deque()
        self._outgoing = outgoing
        self._events = [PeerEvent(peer, True) for peer in range(NODES) if peer != me]
        #: bytes that ZeroMQ would hold for a peer that reads nothing
        self.unread: Counter[int] = Counter()

    def arrives(self, sender: int, parts: Sequence[bytes]) -> None:
        self.inbox.append((sender, [zmq.Frame(part) for part in parts]))

    def receive(self) -> tuple[int, list[Any]] | None:
        return self.inbox.popleft() if self.inbox else None

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        self.unread[peer] += sum(map(len, parts))
        self._outgoing(peer, list(parts))
        return True

    def reset(self, peer: int) -> None:
        self.unread[peer] = 0
        self._events += [PeerEvent(peer, False), PeerEvent(peer, True)]

    def events(self) -> list[PeerEvent]:
        found, self._events = self._events, []
        return found


class MemoryNode:
    """One node. `step()` is one turn of its main loop."""

    def __init__(self, me: int, seed: int, outgoing: Callable[[int, list[bytes]], None], clock: Clock) -> None:
        public, secret = dealt_keys(NODES, QUORUMS.faults)
        self.me = me
        self._clock = clock
        self._next_second = 0.0
        self.faults: Counter[tuple[int, FaultKind]] = Counter()
        self.refused: Counter[int] = Counter()
        self.session = 1000 + me
        self.store = SQLiteStore(Path("unused"), "memory", chain_id=CHAIN_ID)
        self.chain = Chain(self.store, CHAIN_ID)
        self.mempool = Mempool(1000, 1 << 20, PARAMETERS.max_tx_bytes)
        self.application = NodeApplication(NODES, PARAMETERS, self.mempool, self.chain)
        self.transport = QueueTransport(me, outgoing)
        self.peers = Peers(
            me,
            NODES,
            self.session,
            1 << 20,
            CODEC,
            self.transport,  # type: ignore[arg-type]
            HELLO,
            lambda hello: "" if hello.chain_id == HELLO.chain_id else "another chain",
            lambda peer, why: self.refused.update([peer]),
            lambda peer, up, failure: None,
            lambda node, kind, detail: self.faults.update([(node, kind)]),
        )
        self.protocol = SPECIFICATION.build(
            Context(
                me=me,
                parameters=PARAMETERS,
                quorums=QUORUMS,
                chain_id=CHAIN_ID,
                public_keys=public,
                secret_keys=secret[me],
                outbox=self.peers,
                application=self.application,
                randbytes=random.Random(f"node {me} {seed}").randbytes,
            )
        )
        manifest = SimpleNamespace(quorums=QUORUMS, chain_id=CHAIN_ID, public_keys=public)
        self.recovery = Recovery(
            manifest,  # type: ignore[arg-type]
            SimpleNamespace(node=me, secret_keys=secret[me]),  # type: ignore[arg-type]
            self.chain,
            self.store,
            self.application,
            self.protocol,
            self.peers,
            self.peers.links,
            SimpleNamespace(emit=lambda kind, **details: None),  # type: ignore[arg-type]
            damaged,
            enabled=True,
        )

    def submit(self, transactions: Sequence[bytes]) -> None:
        self.application.submit(Request(b"client", 1), transactions)

    def handle(self, sender: int, message: Message) -> None:
        Node._handle(self, sender, message)  # type: ignore[arg-type]

    def take(self, limit: int = 10**9) -> int:
        """Take up to `limit` messages from the network; how many there were."""
        for taken in range(limit):
            entries = self.peers.receive()
            if entries is None:
                return taken
            for sender, messages in entries:
                for message in messages:
                    self.handle(sender, message)
                self._loop_back()
        return limit

    def step(self, limit: int = 10**9) -> int:
        """One turn: take, propose, write blocks, send."""
        self.peers.connections_changed()
        self.recovery.each_tick()
        taken = self.take(limit)
        self.protocol.poke()
        self._loop_back()
        self.chain.flush()
        for block in self.application.blocks_durable(self.chain.durable_height):
            self.recovery.block_durable(block)
        if self._clock.now >= self._next_second:
            self._next_second = self._clock.now + 1
            self.recovery.each_second()
        self._loop_back()
        self.chain.flush()
        self.peers.flush(self.protocol.horizon, self.recovery.announced_epoch)
        return taken

    def stored(self) -> dict[str, int]:
        """How many things of each kind a peer could make this node keep."""
        protocol: Any = self.protocol
        link, fetching = self.peers.links[3], self.recovery._catch_up
        agreements = [a for e in protocol._epochs.values() for a in e.subset.agreements]
        agreements += [a for late in protocol._lingering.values() for a in late.values()]
        broadcasts = [b for e in protocol._epochs.values() for b in e.subset.broadcasts]
        return {
            "epochs": len(protocol._epochs),
            "lingering epochs": len(protocol._lingering),
            "rounds": sum(len(a._rounds) for a in agreements),
            "votes ahead": sum(len(a._ahead._votes) for a in agreements),
            "shares ahead": sum(len(shares) for a in agreements for shares in a._ahead._shares.values()),
            "roots": sum(len(b._roots) + len(b._ready_count) for b in broadcasts),
            "shards": sum(len(s.shards) for b in broadcasts for s in b._roots.values()),
            "certificate shares": sum(map(len, self.recovery._certifier._shares.values())),
            "blocks fetched": len(fetching._ready) + sum(len(asked.wanted) for asked in fetching._requests.values()),
            "held bytes": link.outgoing.held_bytes,
            "mempool": len(self.mempool),
        }

    def close(self) -> None:
        self.store.close()

    def _loop_back(self) -> None:
        while self.peers.loopback:
            self.handle(self.me, self.peers.loopback.popleft())


#: what `MemoryNode.stored` may say at the most, whatever node 3 sends: the window is three epochs of four instances
LIMITS = {
    "epochs": PARAMETERS.epoch_window + 1,
    "lingering epochs": PARAMETERS.pipeline_depth,
    "rounds": (PARAMETERS.epoch_window + 1 + PARAMETERS.pipeline_depth) * NODES * 20,
    "votes ahead": (PARAMETERS.epoch_window + 1 + PARAMETERS.pipeline_depth) * NODES * NODES * 140,
    "shares ahead": (PARAMETERS.epoch_window + 1) * NODES * NODES * COIN_WINDOW,
    "roots": (PARAMETERS.epoch_window + 1) * NODES * 2 * NODES,
    "shards": (PARAMETERS.epoch_window + 1) * NODES * NODES,
    "certificate shares": 2 * 64 * NODES,
    "blocks fetched": 2 * 2 * catch_up.PARALLEL * BLOCKS_PER_REQUEST,
    "held bytes": (1 << 20) + CODEC.longest_part,
    "mempool": 1000,
}


def assert_bounded(node: MemoryNode) -> None:
    stored = node.stored()
    assert stored.keys() == LIMITS.keys()
    assert not {name: number for name, number in stored.items() if number > LIMITS[name]}
