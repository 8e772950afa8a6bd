"""Whole nodes in one process: everything between the sockets and the disk, on a network of queues.

Messages go through the node's own dispatcher. The transport and the clock are replaced, and blocks are written at once,
so that the same seed gives the same run.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec, Hello
from honeybadger.network.transport import PeerEvent
from honeybadger.node.application import NodeApplication
from honeybadger.node.block_messages import BLOCK_MESSAGES, BLOCKS_PER_REQUEST
from honeybadger.node.catch_up import PARALLEL
from honeybadger.node.events import EventLog
from honeybadger.node.mempool import Mempool, Request
from honeybadger.node.recovery import Recovery
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.binary_agreement import COIN_WINDOW
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import dealt_keys
from support.clock import Clock
from support.peers import Listener, QueueTransport, peers_of

NODES = 4
CHAIN_ID = b"fuzzed chain".ljust(32, b".")
HELLO = Hello(CHAIN_ID, {"batch_size": "16"})
#: `skip`-free epochs make a small window go round quickly
PARAMETERS = HoneyBadgerParameters(batch_size=16, max_tx_bytes=1000, max_proposal_bytes=1 << 14, epoch_window=2)
QUORUMS = Quorums(NODES, 1)
CODEC = Codec(
    (*SPECIFICATION.message_types, *BLOCK_MESSAGES),
    SPECIFICATION.longest_message(PARAMETERS, QUORUMS),
)


def damaged(line: str) -> None:
    """The ledger is in memory and whole, so nothing a peer asks for can be unreadable."""
    raise AssertionError(line)


class CountingTransport(QueueTransport):
    """`outgoing(peer, parts)` takes what the node sends."""

    def __init__(self, me: int, outgoing: Callable[[int, list[bytes]], None]) -> None:
        super().__init__(me, NODES)
        self._outgoing = outgoing
        #: bytes that ZeroMQ would hold for a peer that reads nothing
        self.unread: Counter[int] = Counter()

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        self.unread[peer] += sum(map(len, parts))
        self._outgoing(peer, list(parts))
        return True

    def reset(self, peer: int) -> None:
        self.unread[peer] = 0
        self.changes += [PeerEvent(peer, False), PeerEvent(peer, True)]


class MemoryNode:
    """One node. `step()` is one turn of its main loop."""

    def __init__(self, me: int, seed: int, outgoing: Callable[[int, list[bytes]], None], clock: Clock) -> None:
        public, secret = dealt_keys(NODES, QUORUMS.faults)
        self.me = me
        self._clock = clock
        self._next_second = 0.0
        self.told = Listener(HELLO)
        self.session = 1000 + me
        self.store = SQLiteStore(Path("unused"), "memory", chain_id=CHAIN_ID)
        self.chain = Chain(self.store, CHAIN_ID)
        self.mempool = Mempool(1000, 1 << 20, PARAMETERS.max_tx_bytes)
        self.application = NodeApplication(NODES, PARAMETERS, self.mempool, self.chain)
        self.transport = CountingTransport(me, outgoing)
        self.peers = peers_of(me, NODES, self.session, CODEC, self.transport, self.told, hello=HELLO, now=clock)
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
        core: Any = SimpleNamespace(
            manifest=SimpleNamespace(quorums=QUORUMS, chain_id=CHAIN_ID, public_keys=public),
            keys=SimpleNamespace(node=me, secret_keys=secret[me]),
            runtime=SimpleNamespace(recovery=True),
            notices=SimpleNamespace(say_once=damaged, events=EventLog(None)),
            chain=self.chain,
            store=self.store,
            application=self.application,
            peers=self.peers,
            outbox=self.peers,
            protocol=self.protocol,
        )
        self.recovery = Recovery(core, clock)

    @property
    def faults(self) -> Counter[tuple[int, StrEnum]]:
        return self.told.faults

    def submit(self, transactions: Sequence[bytes]) -> None:
        self.application.submit(Request(b"client", 1), transactions)

    def take(self, limit: int = 10**9) -> None:
        while limit and (entries := self.peers.receive()) is not None:
            limit -= 1
            for sender, messages in entries:
                for message in messages:
                    self.recovery.handle(sender, message)
                self._loop_back()

    def step(self, limit: int = 10**9) -> None:
        """One turn: take, propose, write blocks, send."""
        self.peers.connections_changed()
        self.recovery.each_tick()
        self.take(limit)
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

    def stored(self) -> dict[str, tuple[int, int]]:
        """How many things of each kind a peer could make this node keep, and how many it may, whatever node 3 sends:
        the window is three epochs of four instances."""
        protocol: Any = self.protocol
        link, fetching = self.peers.links[3], self.recovery._catch_up
        agreements = [a for e in protocol._epochs.values() for a in e.subset.agreements]
        agreements += [a for late in protocol._lingering.values() for a in late.values()]
        broadcasts = [b for e in protocol._epochs.values() for b in e.subset.broadcasts]
        window, old = PARAMETERS.epoch_window + 1, PARAMETERS.pipeline_depth
        shares = sum(len(shares) for a in agreements for shares in a._ahead._shares.values())
        fetched = len(fetching._ready) + sum(len(asked.wanted) for asked in fetching._requests.values())
        return {
            "epochs": (len(protocol._epochs), window),
            "lingering epochs": (len(protocol._lingering), old),
            "rounds": (sum(len(a._rounds) for a in agreements), (window + old) * NODES * 20),
            "votes ahead": (sum(len(a._ahead._votes) for a in agreements), (window + old) * NODES * NODES * 140),
            "shares ahead": (shares, window * NODES * NODES * COIN_WINDOW),
            "roots": (sum(len(b._vote_count) + len(b._ready_count) for b in broadcasts), window * NODES * 2 * NODES),
            "shard bytes": (sum(b.held_bytes for b in broadcasts), sum(b.most_held for b in broadcasts)),
            "certificate shares": (sum(map(len, self.recovery._certifier._shares.values())), 2 * 64 * NODES),
            "blocks fetched": (fetched, 2 * 2 * PARALLEL * BLOCKS_PER_REQUEST),
            "held bytes": (link.outgoing.held_bytes, (1 << 20) + CODEC.longest_part),
            "mempool": (len(self.mempool), 1000),
        }

    def check_bounds(self) -> None:
        assert not {name: kept for name, kept in self.stored().items() if kept[0] > kept[1]}

    def close(self) -> None:
        self.store.close()

    def _loop_back(self) -> None:
        while self.peers.loopback:
            self.recovery.handle(self.me, self.peers.loopback.popleft())
