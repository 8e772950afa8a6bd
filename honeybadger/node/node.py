"""A running node: what passes between its parts, from the first tick to the last write.

`honeybadger.wiring` builds the parts. What they call back is here.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from gevent.event import Event

from honeybadger.ledger.errors import LedgerError
from honeybadger.network.gate import Gate
from honeybadger.network.transport import PeerTransport
from honeybadger.node.client_api import ClientApi
from honeybadger.node.core import Core
from honeybadger.node.journal_files import JournalError
from honeybadger.node.ledger_writer import LedgerWriter
from honeybadger.node.reactor import Reactor
from honeybadger.node.recovery import Recovery
from honeybadger.node.report import Report


class NodeError(Exception):
    """The node cannot start or go on; one line for people."""


@dataclass(frozen=True)
class Parts:
    """What a node has besides its `Core`."""

    writer: LedgerWriter
    gate: Gate
    transport: PeerTransport
    recovery: Recovery
    clients: ClientApi
    reactor: Reactor
    report: Report


class Node:
    """`run`s until it is stopped or fails. The parts are built around it, so it gets them last, before `run`."""

    core: Core
    parts: Parts

    def __init__(self) -> None:
        #: set when there is something to do
        self.wake = Event()
        self._failure = ""

    def run(self) -> None:
        """Run until `stop`; raises NodeError if the node cannot go on."""
        core, parts, emit = self.core, self.parts, self.core.notices.events.emit
        emit("started", node=core.keys.node, height=core.chain.height)
        try:
            with ExitStack() as closing:
                closing.callback(self._close)
                closing.callback(self._write_last)
                parts.report.start()
                parts.recovery.start()
                parts.reactor.run()
        except (JournalError, LedgerError) as error:
            self._failure = self._failure or str(error)
        finally:
            emit("stopped", node=core.keys.node, failure=self._failure)
        if self._failure:
            raise NodeError(self._failure)

    def stop(self) -> None:
        """End `run`; safe to call from a signal handler's greenlet."""
        self.parts.reactor.stop()

    def fail(self, why: str) -> None:
        """End `run` with a NodeError."""
        self._failure = self._failure or why
        self.stop()

    def leads(self) -> bool:
        """For a fault that follows the leader: in a protocol without one it stays with node 0."""
        return self.core.keys.node == (self.core.protocol.leader or 0)

    def each_tick(self) -> None:
        self.parts.recovery.each_tick()
        for refused in self.parts.gate.serve():
            self.core.notices.say_once(f"refused a connection from {refused}")

    def flushed(self) -> None:
        self.parts.writer.votes_synced()

    def each_second(self) -> None:
        self.parts.writer.write_certificates()
        self.parts.recovery.each_second()
        self.core.notices.each_second()
        self.core.notices.events.emit("usage", **self.parts.report.usage())

    def blocks_durable(self, height: int) -> None:
        """Blocks up to `height` are on disk: tell clients and peers, and let the journal forget."""
        core, parts = self.core, self.parts
        for block in core.application.blocks_durable(height):
            parts.clients.report(block)
            parts.recovery.block_durable(block)
            header = block.header
            core.notices.events.emit(
                "block",
                height=header.height,
                epoch=header.epoch,
                transactions=header.tx_count,
                bytes=header.tx_bytes,
                proposers=header.proposers,
            )
        try:
            core.journal.prune(min(parts.recovery.settled_epoch, core.protocol.settled))
        except JournalError as error:
            # Raised here, on the hub, it would be printed with a traceback and stop nothing.
            self.fail(str(error))
        self.wake.set()

    def _write_last(self) -> None:
        """What may become durable was decided when the last votes were synced; nothing is added to it here."""
        self.each_second()
        self.parts.writer.close()
        if self.core.runtime.durability == "memory":
            self.core.store.save_copy(self.core.ledger)

    def _close(self) -> None:
        self.parts.clients.close()
        self.parts.transport.close(linger_ms=200)
        self.parts.gate.close()
        self.core.store.close()
        self.parts.report.close()
        self.core.journal.close()
