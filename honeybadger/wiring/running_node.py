"""A node's whole graph from one description. Read from top to bottom: each part is built from those before it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec, Hello
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.network.gate import Gate
from honeybadger.network.security import Credentials
from honeybadger.network.transport import PeerTransport, Transport
from honeybadger.node.application import NodeApplication
from honeybadger.node.block_messages import BLOCK_MESSAGES
from honeybadger.node.block_service import BlockService
from honeybadger.node.client_api import ClientApi
from honeybadger.node.core import Core
from honeybadger.node.crypto_time import CryptoTime
from honeybadger.node.events import EventLog
from honeybadger.node.journal import Journal
from honeybadger.node.ledger_writer import LedgerWriter
from honeybadger.node.mempool import Mempool
from honeybadger.node.node import Node, NodeError, Parts
from honeybadger.node.notices import Notices
from honeybadger.node.observed import Observed
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Reactor, ReactorTimers
from honeybadger.node.recovery import Recovery, settled_epoch
from honeybadger.node.report import Report
from honeybadger.node.standing import Standing
from honeybadger.protocols.context import Context, Outbox, no_observer
from honeybadger.protocols.contract import ConsensusProtocol


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


def build_node(config: NodeConfig) -> Node:
    """A node, ready to `run`. NodeError, JournalError, LedgerError or OSError, in one line, if it cannot be built."""
    runtime, crypto_time = config.runtime, CryptoTime()
    of = crypto_time.of if runtime.instrumentation else lambda *same: same
    manifest, keys = of(config.manifest, config.keys)
    me, nodes = keys.node, manifest.quorums.nodes
    node = Node()
    notices = Notices(config.events, config.say)
    observed = Observed(manifest.specification.phases)
    config.events.subscribe(observed)

    ledger = config.data / "ledger.sqlite"
    chain, store, journal, first_epoch = _open_disk(config, ledger)
    mempool = Mempool(runtime.mempool_transactions, runtime.mempool_bytes, manifest.parameters.max_tx_bytes, chain.key)
    application = NodeApplication(
        nodes, manifest.parameters, mempool, chain, silent=lambda: node.core.silent_through > 0
    )
    writer = LedgerWriter(chain, node.blocks_durable, lambda error: node.fail(f"ledger: {error}"))

    credentials = Credentials(
        me,
        manifest.members[me].public_key,
        keys.curve_secret_key,
        [member.public_key for member in manifest.members],
        runtime.curve,
    )
    gate = Gate(credentials, nodes, node.wake.set)
    codec = Codec(
        (*manifest.specification.message_types, *BLOCK_MESSAGES),
        manifest.sizes.message,
        manifest.specification.limits(manifest.parameters, manifest.quorums),
    )
    addresses = [(member.host, member.port) for member in manifest.members]
    sockets = Transport(gate.context, credentials, addresses, codec.longest_part, node.wake.set)
    transport = _with_faults(config, sockets, node)
    peers = Peers(
        me,
        nodes,
        secrets.randbits(63) | 1,
        codec,
        transport,
        Standing(me, manifest, notices, node.fail),
        Hello(manifest.chain_id, manifest.settings),
        manifest.sizes.held,
        journal,
        count_messages=runtime.instrumentation,
    )

    timers = ReactorTimers()
    protocol, outbox = _protocol(
        config,
        Context(
            me=me,
            parameters=manifest.parameters,
            quorums=manifest.quorums,
            chain_id=manifest.chain_id,
            public_keys=manifest.public_keys,
            secret_keys=keys.secret_keys,
            outbox=peers,
            application=application,
            randbytes=secrets.token_bytes,
            observe=notices.phase if runtime.instrumentation else no_observer,
            first_epoch=first_epoch,
            silent_through=journal.silent_through,
            journal=journal,
            timers=timers,
            signing_keys=manifest.signing_keys,
            signing_key=keys.signing_key,
        ),
    )
    core = Core(
        manifest, runtime, keys, notices, ledger, store, chain, journal, mempool, application, peers, protocol, outbox
    )

    recovery = Recovery(core)
    member = manifest.members[me]
    clients = ClientApi(
        gate.context,
        credentials,
        (member.host, member.client_port),
        application.submit,
        lambda: node.parts.report.status(),
        node.wake.set,
        BlockService(store, chain.committed),
    )
    reactor = Reactor(core, recovery, clients, node, timers, node.wake)
    report = Report(core, sockets, clients, reactor, observed, crypto_time)
    node.core, node.parts = core, Parts(writer, gate, transport, recovery, clients, reactor, report)
    return node


def _open_disk(config: NodeConfig, ledger: Path) -> tuple[Chain, SQLiteStore, Journal, int]:
    """Ledger and vote journal, and the first epoch to run."""
    manifest, runtime = config.manifest, config.runtime
    config.data.mkdir(parents=True, exist_ok=True)
    if runtime.durability == "memory" and ledger.exists():
        raise NodeError(f"{ledger} exists already, and a ledger in memory would replace it")
    store = SQLiteStore(ledger, durability=runtime.durability, chain_id=manifest.chain_id)
    chain = Chain(store, manifest.chain_id, scratch=config.data)
    first_epoch = settled_epoch(chain, enabled=runtime.recovery) + 1
    journal = Journal(
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


def _with_faults(config: NodeConfig, sockets: Transport, node: Node) -> PeerTransport:
    """The sockets to all peers; between them and the node, the faults of the manifest's schedule."""
    manifest = config.manifest
    if not manifest.faults:
        return sockets
    return FaultyTransport(
        sockets,
        config.keys.node,
        manifest.quorums.nodes,
        manifest.faults,
        node.wake.set,
        config.schedule_start,
        leads=node.leads,
    )


def _protocol(config: NodeConfig, context: Context) -> tuple[ConsensusProtocol, Outbox]:
    """The protocol object, and where else the node may write to: an adversary changes that too."""
    build = config.manifest.specification.build
    if not config.byzantine:
        return build(context), context.outbox
    # Here and not above: an honest node does not load attacks.
    from honeybadger.adversary import CorruptProtocol, StrategyError, find_strategy

    try:
        liar: Any = CorruptProtocol(context, build, find_strategy(config.manifest.specification.name, config.byzantine))
    except StrategyError as error:
        raise NodeError(f"{config.byzantine}: {error}") from None
    return liar, liar.outbox
