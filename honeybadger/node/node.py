"""Builds a node from its configuration: the whole object graph, in one place."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from gevent.event import Event

from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.http.service import HttpParts, HttpService
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec, Hello
from honeybadger.network.faulty_transport import FaultyTransport, PeerTransport
from honeybadger.network.security import Credentials, ZapHandler
from honeybadger.network.transport import Transport, Watcher
from honeybadger.node.application import NodeApplication
from honeybadger.node.block_messages import BLOCK_MESSAGES
from honeybadger.node.client_api import ClientApi
from honeybadger.node.events import EventLog
from honeybadger.node.journal import Journal
from honeybadger.node.journal_files import JournalError
from honeybadger.node.ledger_writer import LedgerWriter
from honeybadger.node.mempool import Mempool
from honeybadger.node.notices import Notices
from honeybadger.node.observed import Observed
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Reactor, ReactorTimers
from honeybadger.node.recovery import Recovery, settled_epoch
from honeybadger.node.report import Report
from honeybadger.protocols.base import ConsensusProtocol, Context, FaultKind, Outbox, no_observer
from honeybadger.protocols.messages import Message


class NodeError(Exception):
    """The node cannot start or go on; one line for people."""


@dataclass(frozen=True)
class NodeConfig:
    """What a node is built from.

    `data`: directory of its ledger; `say(line)` tells a person; `http_token`: what submitters over HTTP must know, ""
    if nobody may submit there. For experiments: `byzantine`, the name of a strategy
    that makes this node lie; `schedule_start`: Unix time of second 0 of the manifest's fault schedule, None if that is
    when this node is first connected to all others.
    """

    manifest: Manifest
    keys: NodeKeys
    data: Path
    runtime: Runtime
    events: EventLog
    say: Callable[[str], None]
    byzantine: str = ""
    schedule_start: float | None = None
    http_token: str = field(default="", repr=False)


class Node:
    """A node, ready to `run`. Raises NodeError, LedgerError or OSError, each with one line, if it cannot be built."""

    def __init__(self, config: NodeConfig) -> None:
        manifest, runtime = config.manifest, config.runtime
        self._config = config
        self.me = config.keys.node
        self._events = config.events
        self._observed = Observed()
        self._events.subscribe(self._observed)
        self._manifest = manifest
        self._failure = ""
        self._refused_by: set[int] = set()
        #: peers that hear another process with the keys of this node
        self._twin_heard_by: set[int] = set()
        self.notices = Notices(config.events, config.say)
        self.wake = Event()

        nodes = manifest.quorums.nodes
        config.data.mkdir(parents=True, exist_ok=True)
        self._ledger_path = config.data / "ledger.sqlite"
        if runtime.durability == "memory" and self._ledger_path.exists():
            raise NodeError(f"{self._ledger_path} exists already, and a ledger in memory would replace it")
        self.store = SQLiteStore(self._ledger_path, durability=runtime.durability, chain_id=manifest.chain_id)
        self.chain = Chain(self.store, manifest.chain_id, scratch=config.data)
        first_epoch = settled_epoch(self.chain, enabled=runtime.recovery) + 1
        self.journal = Journal(
            config.data / "journal",
            manifest.chain_id,
            self.me,
            runtime.durability if runtime.recovery else "memory",
            first_epoch,
            max(0, self.chain.epoch),
            manifest.specification.kept_epochs(manifest.parameters),
        )
        if self.journal.silent_through:
            config.say(f"votes of an earlier run may be lost: silent through epoch {self.journal.silent_through}")
        self.mempool = Mempool(runtime.mempool_transactions, runtime.mempool_bytes, manifest.parameters.max_tx_bytes)
        self.writer = LedgerWriter(self.chain, self._blocks_durable, self._ledger_failed)
        self.application = NodeApplication(
            nodes, manifest.parameters, self.mempool, self.chain, lambda: self._silent_through() > 0
        )

        credentials = Credentials(
            self.me,
            manifest.members[self.me].public_key,
            config.keys.curve_secret_key,
            [member.public_key for member in manifest.members],
            runtime.curve,
        )
        codec = Codec(
            (*manifest.specification.message_types, *BLOCK_MESSAGES),
            manifest.sizes.message,
        )
        self._zmq: Any = zmq.Context()
        self._zmq.max_sockets = max(1023, 8 * nodes)
        self._zap = ZapHandler(self._zmq, credentials)
        self._zap_watcher = Watcher(self._zap.socket, self.wake.set)
        self.transport = self._transport(credentials, codec)
        self.peers = Peers(
            self.me,
            nodes,
            secrets.randbits(63) | 1,
            manifest.sizes.held,
            codec,
            self.transport,
            Hello(manifest.chain_id, manifest.settings),
            self._check_hello,
            self._peer_refused,
            self.notices.connection,
            self.notices.fault,
            self.journal,
            self._twin_heard,
            count_messages=runtime.instrumentation,
        )
        outbox: Outbox = self.peers
        timers = ReactorTimers()
        context = Context(
            me=self.me,
            parameters=manifest.parameters,
            quorums=manifest.quorums,
            chain_id=manifest.chain_id,
            public_keys=manifest.public_keys,
            secret_keys=config.keys.secret_keys,
            outbox=self.peers,
            application=self.application,
            randbytes=secrets.token_bytes,
            observe=self.notices.phase if runtime.instrumentation else no_observer,
            first_epoch=first_epoch,
            silent_through=self.journal.silent_through,
            journal=self.journal,
            timers=timers,
            signing_keys=manifest.signing_keys,
            signing_key=config.keys.signing_key,
        )
        if config.byzantine:
            # Here and not above: no honest node needs it.
            from honeybadger.adversary import EVERY_STRATEGY, CorruptProtocol

            liar = CorruptProtocol(context, manifest.specification.build, EVERY_STRATEGY[config.byzantine])
            self.protocol: ConsensusProtocol = liar
            outbox = liar.outbox
        else:
            self.protocol = manifest.specification.build(context)
        self.recovery = Recovery(
            manifest,
            config.keys,
            self.chain,
            self.store,
            self.application,
            self.protocol,
            outbox,
            self.peers.links,
            self._events,
            self.notices.say_once,
            enabled=runtime.recovery,
        )
        member = manifest.members[self.me]
        self.clients = ClientApi(
            self._zmq,
            credentials,
            (member.host, member.client_port),
            self.application.submit,
            lambda: self.report.status(),
            self.wake.set,
            blocks=self.store,
        )
        self.reactor = Reactor(
            self.me,
            self.protocol,
            self._handle,
            self.peers,
            self.clients,
            self._each_tick,
            self.writer.votes_synced,
            lambda: self.recovery.announced_epoch,
            self.recovery.may_go_on,
            self._each_second,
            self.wake,
            timers,
            lambda: self.recovery.rest_s,
        )
        self.report = Report(
            self.me,
            manifest.consensus.protocol,
            runtime,
            self.protocol,
            self.chain,
            self.mempool,
            self.application,
            self.transport,
            self.peers,
            self.clients,
            self.reactor,
            self.notices.faults,
            self._observed,
            self._silent_through,
            manifest.quorums.quorum - 1,
        )
        self._http = self._serve_http() if member.http_port else None

    def _transport(self, credentials: Credentials, codec: Codec) -> PeerTransport:
        manifest = self._manifest
        transport = Transport(
            self._zmq,
            credentials,
            [(member.host, member.port) for member in manifest.members],
            codec.longest_part,
            self.wake.set,
        )
        if not manifest.faults:
            return transport
        nodes = manifest.quorums.nodes
        start = self._config.schedule_start
        return FaultyTransport(transport, self.me, nodes, manifest.faults, self.wake.set, start, leads=self._leads)

    def _leads(self) -> bool:
        """For a fault that follows the leader: in a protocol without one it stays with node 0."""
        return self.me == (self.protocol.leader or 0)

    def _serve_http(self) -> HttpService:
        manifest, runtime = self._manifest, self._config.runtime
        return HttpService(
            HttpParts(
                self.me,
                manifest,
                (runtime.http_host, manifest.members[self.me].http_port),
                runtime.curve,
                self._config.http_token,
                self._zmq,
                self.store,
                self.chain,
                self.mempool,
                self.application,
                self.protocol,
                self.peers,
                self.transport,
                self.reactor,
                self.notices.faults,
                self._observed,
                self.report.status,
                self.wake.set,
                self.notices.say_once,
            )
        )

    def run(self) -> None:
        """Run until `stop`; raises NodeError if the node cannot go on."""
        self._events.emit("started", node=self.me, height=self.chain.height)
        try:
            with ExitStack() as closing:
                closing.callback(self._close)
                closing.callback(self._write_last)
                self.report.start()
                self.recovery.start()
                if self._http is not None:
                    closing.callback(self._http.close)
                    self._http.start()
                self.reactor.run()
        except (JournalError, LedgerError) as error:
            self._failure = self._failure or str(error)
        finally:
            self._events.emit("stopped", node=self.me, failure=self._failure)
        if self._failure:
            raise NodeError(self._failure)

    def _write_last(self) -> None:
        """What may become durable was decided when the last votes were synced; nothing is added to it here."""
        self._each_second()
        self.writer.close()
        if self._config.runtime.durability == "memory":
            self.store.save_copy(self._ledger_path)

    def _close(self) -> None:
        self.clients.close()
        self.transport.close(linger_ms=200)
        self._zap_watcher.close()
        self._zap.socket.close(0)
        self._zmq.term()
        self.store.close()
        self.report.close()
        self.journal.close()

    def stop(self) -> None:
        """End `run`; safe to call from a signal handler's greenlet."""
        self.reactor.stop()

    def _silent_through(self) -> int:
        """The epoch through which this node says nothing, because it lost its votes; 0 if it speaks."""
        through = self.journal.silent_through
        return through if self.protocol.epoch <= through else 0

    # -- callbacks -----------------------------------------------------------------------------------------

    def _handle(self, sender: int, message: Message) -> None:
        """Every message, own ones included: about blocks, or for the protocol."""
        if not self.recovery.handle(sender, message):
            self.protocol.handle(sender, message)

    def _each_tick(self) -> None:
        self.recovery.each_tick()
        self._zap.serve()
        for refused in self._zap.refused:
            self.notices.say_once(f"refused a connection from {refused}")
        self._zap.refused.clear()

    def _each_second(self) -> None:
        self.writer.write_certificates()
        self.recovery.each_second()
        self.notices.each_second()
        self._events.emit("usage", **self.report.usage())

    def _blocks_durable(self, height: int) -> None:
        for block in self.application.blocks_durable(height):
            self.clients.report(block)
            self.recovery.block_durable(block)
            self._events.emit(
                "block",
                height=block.height,
                epoch=block.epoch,
                transactions=block.tx_count,
                bytes=block.tx_bytes,
                proposers=block.proposers,
            )
        try:
            self.journal.prune(min(self.recovery.settled_epoch, self.protocol.settled))
        except JournalError as error:
            # Raised here, on the hub, it would be printed with a traceback and stop nothing.
            self._fail(str(error))
        self.wake.set()

    def _ledger_failed(self, error: Exception) -> None:
        self._fail(f"ledger: {error}")

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self.reactor.stop()

    def _check_hello(self, hello: Hello) -> str:
        if hello.chain_id == self._manifest.chain_id:
            return ""
        return self._manifest.difference(hello.settings) or "its chain id differs, though it claims equal settings"

    def _peer_refused(self, peer: int, why: str) -> None:
        if self.notices.say_once(f"refused node {peer}, whose manifest differs: {why}"):
            self._events.emit("refused", peer=peer, why=why)
        self._refused_by.add(peer)
        if len(self._refused_by) >= self._manifest.quorums.weak:
            # More peers than can be faulty run another chain: it is this node that is wrong.
            self._fail(f"the manifest of this node differs from that of nodes {sorted(self._refused_by)}: {why}")

    def _twin_heard(self, peer: int) -> None:
        self._twin_heard_by.add(peer)
        if len(self._twin_heard_by) >= self._manifest.quorums.weak:
            # One of them is correct.
            self.notices.fault(self.me, FaultKind.KEYS_USED_TWICE, f"heard by nodes {sorted(self._twin_heard_by)}")
