"""A running node: what passes between its parts, from the first tick to the last write.

`honeybadger.wiring` builds the parts. What they call back is here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from honeybadger.ledger.errors import LedgerError
from honeybadger.network.transport import PeerTransport
from honeybadger.node.core import Core
from honeybadger.node.journal_files import JournalError
from honeybadger.node.reactor import Clients, Reactor
from honeybadger.node.recovery import Recovery


class NodeError(Exception):
    """The node cannot start or go on; one line for people."""


class Writer(Protocol):
    """Writes blocks; `ledger_writer.LedgerWriter`, or a simulated one."""

    def votes_synced(self) -> None:
        """The votes that led to the blocks so far are on disk: the blocks may follow."""

    def write_certificates(self) -> None:
        """Those of blocks that are on disk need not wait for the next block."""

    def close(self) -> None:
        """Write what may be written, and end."""


class Gate(Protocol):
    """Lets nodes and clients in; `network.gate.Gate`, or none."""

    def serve(self) -> Iterable[str]:
        """Answer who knocks; returns the addresses refused."""

    def close(self) -> None:
        """Let nobody in."""


class Report(Protocol):
    """How the node is doing; `report.Report`, or what is known of a simulated one."""

    def start(self) -> None:
        """Begin to measure."""

    def usage(self) -> dict[str, Any]:
        """Counters since the start."""

    def close(self) -> None:
        """Measure no more."""


@dataclass(frozen=True)
class Parts:
    """What a node has besides its `Core`."""

    writer: Writer
    gate: Gate
    transport: PeerTransport
    recovery: Recovery
    clients: Clients
    reactor: Reactor
    report: Report


class Node:
    """`run`s until it is stopped or fails. The parts are built around it, so it gets them last, before `run`.

    `wake`: its `set` is called when there is something to do. `failure`: why the node cannot go on, in one line, or "".
    """

    core: Core
    parts: Parts

    def __init__(self, wake: Any) -> None:
        self.wake = wake
        self.failure = ""

    def run(self) -> None:
        """Run until `stop`; raises NodeError if the node cannot go on."""
        try:
            try:
                self.begin()
                self.parts.reactor.run()
            finally:
                self.finish()
        except (JournalError, LedgerError) as error:
            self.failure = self.failure or str(error)
        finally:
            self.core.notices.events.emit("stopped", node=self.core.keys.node, failure=self.failure)
        if self.failure:
            raise NodeError(self.failure)

    def begin(self) -> None:
        """Before the first tick."""
        self.core.notices.events.emit("started", node=self.core.keys.node, height=self.core.chain.height)
        self.parts.report.start()
        self.parts.recovery.start()

    def finish(self) -> None:
        """After the last tick: write what may be written, and close everything."""
        try:
            self._write_last()
        finally:
            self._close()

    def stop(self) -> None:
        """End `run`; safe to call from a signal handler's greenlet."""
        self.parts.reactor.stop()

    def fail(self, why: str) -> None:
        """End `run` with a NodeError."""
        self.failure = self.failure or why
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
