"""A node's whole graph from one description. Read `assemble` from top to bottom: each part is built from those before
it.

What the parts stand in is an `Outside`: clock, randomness, network, disk and clients. The one of a real node is in
`honeybadger.wiring`, the one of a simulated node in `honeybadger.simulation.virtual_time`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec, Hello
from honeybadger.network.transport import PeerTransport
from honeybadger.node.application import NodeApplication
from honeybadger.node.block_messages import BLOCK_MESSAGES
from honeybadger.node.core import Core
from honeybadger.node.events import EventLog
from honeybadger.node.journal import Journal
from honeybadger.node.mempool import Mempool
from honeybadger.node.node import Gate, Node, NodeError, Parts, Report, Writer
from honeybadger.node.notices import Notices
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Clients, Reactor, ReactorTimers
from honeybadger.node.recovery import Recovery, settled_epoch
from honeybadger.node.standing import Standing
from honeybadger.protocols.context import Context, Outbox, no_observer
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.wire import Message


@dataclass(frozen=True)
class NodeConfig:
    """What a node is built from.

    `data`: directory of its ledger; `runtime`: the manifest's, or another; `say(line)` tells a person. For
    experiments: `byzantine`, a strategy (see `find_strategy`) that makes this node lie; `schedule_start`: Unix time of
    second 0 of the manifest's fault schedule, None if that is when this node is first connected to all others.
    """

    manifest: Manifest
    keys: NodeKeys
    data: Path
    runtime: Runtime
    events: EventLog
    say: Callable[[str], None]
    byzantine: str = ""
    schedule_start: float | None = None


class Outside(ABC):
    """What a node stands in.

    `wake.set()` asks for a tick; `now()`: seconds that never go back; `used()`: processor time of the main loop,
    seconds; `randbytes`: whatever the node draws.
    """

    wake: Any
    now: Callable[[], float] = staticmethod(time.monotonic)
    used: Callable[[], float] = staticmethod(time.thread_time)
    randbytes: Callable[[int], bytes]
    journal: type[Journal] = Journal
    application: Callable[..., NodeApplication] = NodeApplication
    recovery: Callable[..., Recovery] = Recovery

    @abstractmethod
    def writer(self, chain: Chain, application: NodeApplication, node: Node) -> Writer:
        """Writes blocks to the disk, and then calls `node.blocks_durable`."""

    @abstractmethod
    def codec(
        self, types: Sequence[type[Message]], longest: int, limits: Mapping[type[Message], Mapping[str, int]]
    ) -> Codec: ...

    @abstractmethod
    def transport(self, codec: Codec, node: Node) -> PeerTransport:
        """The way to all peers, with the link faults of the manifest."""

    @abstractmethod
    def protocol(self, context: Context) -> tuple[ConsensusProtocol, Outbox]:
        """The protocol object, and where else the node may write to: an adversary changes that too."""

    @abstractmethod
    def gate(self) -> Gate:
        """Whom the node lets in."""

    @abstractmethod
    def clients(self, core: Core, node: Node) -> Clients: ...

    @abstractmethod
    def report(self, core: Core, reactor: Reactor) -> Report: ...


def assemble(config: NodeConfig, outside: Outside) -> Node:
    """A node, ready to `run`. NodeError, JournalError, LedgerError or OSError, in one line, if it cannot be built."""
    manifest, keys, runtime, now = config.manifest, config.keys, config.runtime, outside.now
    me, nodes = keys.node, manifest.quorums.nodes
    node = Node(outside.wake)
    notices = Notices(config.events, config.say, now)

    ledger = config.data / "ledger.sqlite"
    chain, store, journal, first_epoch = _open_disk(config, ledger, outside.journal)
    mempool = Mempool(runtime.mempool_transactions, runtime.mempool_bytes, manifest.parameters.max_tx_bytes, chain.key)
    application = outside.application(
        nodes, manifest.parameters, mempool, chain, lambda: node.core.silent_through > 0, outside.randbytes
    )
    writer = outside.writer(chain, application, node)

    codec = outside.codec(
        (*manifest.specification.message_types, *BLOCK_MESSAGES),
        manifest.sizes.message,
        manifest.specification.limits(manifest.parameters, manifest.quorums),
    )
    transport = outside.transport(codec, node)
    peers = Peers(
        me,
        nodes,
        int.from_bytes(outside.randbytes(8), "big") >> 1 | 1,
        codec,
        transport,
        Standing(me, manifest, notices, node.fail),
        Hello(manifest.chain_id, manifest.settings),
        manifest.sizes.held,
        journal,
        count_messages=runtime.instrumentation,
        now=now,
    )

    timers = ReactorTimers(now)
    protocol, outbox = outside.protocol(
        Context(
            me=me,
            parameters=manifest.parameters,
            quorums=manifest.quorums,
            chain_id=manifest.chain_id,
            public_keys=manifest.public_keys,
            secret_keys=keys.secret_keys,
            outbox=peers,
            application=application,
            randbytes=outside.randbytes,
            observe=notices.phase if runtime.instrumentation else no_observer,
            first_epoch=first_epoch,
            silent_through=journal.silent_through,
            journal=journal,
            timers=timers,
            signing_keys=manifest.signing_keys,
            signing_key=keys.signing_key,
        )
    )
    core = Core(
        manifest, runtime, keys, notices, ledger, store, chain, journal, mempool, application, peers, protocol, outbox
    )

    recovery = outside.recovery(core, now)
    clients = outside.clients(core, node)
    reactor = Reactor(core, recovery, clients, node, timers, node.wake, now, outside.used)
    report = outside.report(core, reactor)
    node.core, node.parts = core, Parts(writer, outside.gate(), transport, recovery, clients, reactor, report)
    return node


def _open_disk(
    config: NodeConfig, ledger: Path, make_journal: type[Journal]
) -> tuple[Chain, SQLiteStore, Journal, int]:
    """Ledger and vote journal, and the first epoch to run."""
    manifest, runtime = config.manifest, config.runtime
    config.data.mkdir(parents=True, exist_ok=True)
    if runtime.durability == "memory" and ledger.exists():
        raise NodeError(f"{ledger} exists already, and a ledger in memory would replace it")
    store = SQLiteStore(ledger, durability=runtime.durability, chain_id=manifest.chain_id)
    chain = Chain(store, manifest.chain_id, scratch=config.data)
    first_epoch = settled_epoch(chain, enabled=runtime.recovery) + 1
    journal = make_journal(
        config.data / "journal",
        manifest.chain_id,
        config.keys.node,
        runtime.durability if runtime.recovery else "memory",
        first_epoch,
        ledger_epoch=max(0, chain.epoch),
        keep=manifest.specification.kept_epochs(manifest.parameters),
    )
    if journal.silent_through:
        config.say(f"votes of an earlier run may be lost: silent through epoch {journal.silent_through}")
    return chain, store, journal, first_epoch
