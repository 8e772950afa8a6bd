"""One simulated node: a protocol object, driven as the main loop of a real node drives it (`honeybadger.node.reactor`).

A tick takes all that has arrived, lets the protocol handle it, then sends what was said, bundled. It runs on a
processor of its host; what it said leaves when its cost has passed, and what arrives meanwhile waits for the next one.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from honeybadger.ledger.certificates import signed_every
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec
from honeybadger.node.application import CommittedBlock, Submission
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.virtual_time.application import ChargedApplication
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.events import NodeEvents
from honeybadger.simulation.virtual_time.links import Links
from honeybadger.simulation.virtual_time.outbox import Frame, VirtualOutbox
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.transactions import Transactions

#: a tick takes no further frame after this long, as in a real node, seconds
TICK_S = 0.02
#: events for one kind of fault of one node, as in a real node; all are counted
FAULT_EVENTS = 10


class ReplyTo:
    """Hears what becomes of a client's transactions; times are in virtual seconds."""

    def answered(self, node: int, request: Request, submission: Submission, at: float) -> None:
        """What became of the request at once."""

    def durable(self, node: int, block: CommittedBlock, at: float) -> None:
        """A block is on the node's disk: those who wait for its transactions hear of it."""


@dataclass(frozen=True)
class Surroundings:
    """What all nodes share: time, links, costs, who they are. `deliver(sender, receiver, frame)` puts a frame into the
    receiver's inbox. `recovery`: votes are journalled and blocks certified, so both cost something."""

    clock: Clock
    links: Links
    costs: Costs
    nodes: int
    threshold: int
    codec: Codec
    recovery: bool
    deliver: Callable[[int, int, Frame], None]
    clients: ReplyTo


class VirtualTimers:
    """Implements `Timers` in virtual time; `wake(at)` asks for a tick."""

    def __init__(self, now: Callable[[], float], wake: Callable[[float], None]) -> None:
        self._now = now
        self._wake = wake
        self._due: dict[str, float] = {}

    def set(self, name: str, delay_s: float) -> None:
        self._due[name] = self._now() + delay_s
        self._wake(self._due[name])

    def cancel(self, name: str) -> None:
        self._due.pop(name, None)

    def expired(self, now: float) -> list[str]:
        """Those due at `now`, the earliest first; they are no longer set."""
        due = sorted((name for name, at in self._due.items() if at <= now), key=self._due.__getitem__)
        for name in due:
            del self._due[name]
        return due


class VirtualNode:
    """`begin` starts it; `kill` ends it for good. `protocol` is set by who builds it, before it begins."""

    protocol: ConsensusProtocol

    def __init__(
        self, me: int, around: Surroundings, host: Processors, meter: Meter, events: NodeEvents, store: SQLiteStore
    ) -> None:
        self.me = me
        self._around = around
        self._host = host
        self.meter = meter
        self.events = events
        self._store = store
        self.journal = JournalModel()
        self.outbox = VirtualOutbox(me, around.nodes, around.codec, self._fault)
        self.timers = VirtualTimers(self.now, lambda at: around.clock.at(at, self.wake))
        self.alive = False
        #: a tick waits for a processor, or is in progress; something happened since the last one began
        self._planned = self._wanted = False
        self._writing = False
        self._inbox: deque[tuple[int, Frame]] = deque()
        #: frames beyond the protocol's horizon, which a real sender would hold back
        self._held: list[tuple[int, Frame]] = []
        self._requests: deque[tuple[Request, Transactions]] = deque()
        self._answers: list[tuple[Request, Submission]] = []
        self._faults: Counter[tuple[int, str]] = Counter()
        self.sent_bytes = self.received_bytes = self.messages_handled = self.ticks = 0
        self._longest_tick_s = 0.0

    def build(self, chain: Chain, mempool: Mempool, application: ChargedApplication) -> None:
        """Its ledger and mempool."""
        self.chain, self._mempool, self.application = chain, mempool, application

    def now(self) -> float:
        """Its own time: within a tick it runs ahead of the clock."""
        return self._around.clock.now + self.meter.elapsed

    @property
    def leads(self) -> bool:
        return self.me == (self.protocol.leader or 0)

    def begin(self) -> None:
        self.alive = True
        self.events.emit("started", node=self.me, height=self.chain.height)
        self._each_second()
        self.wake()

    def kill(self) -> None:
        """It does nothing any more; what it has sent is on its way."""
        self.alive = False

    def close(self) -> None:
        self.report()
        self.events.close()
        self.chain.close()
        self._store.close()

    def receive(self, sender: int, frame: Frame) -> None:
        """A frame has arrived."""
        if self.alive:
            self.received_bytes += frame.size
            self._inbox.append((sender, frame))
            self.wake()

    def submit(self, request: Request, transactions: Transactions) -> None:
        """A client's transactions have arrived."""
        if self.alive:
            self._requests.append((request, transactions))
            self.wake()

    def wake(self) -> None:
        """There is something to do: in the tick that waits for a processor, else in a new one."""
        self._wanted = True
        if self.alive and not self._planned:
            self._planned = True
            self._host.run(self._tick, self._ticked)

    def _tick(self) -> float:
        if not self.alive:
            return 0.0
        self._wanted = False
        self.meter.begin()
        self.meter.work(self._around.costs.table.node.tick)
        self.meter.outside(self._around.costs.table.node.loop)
        self._take_frames()
        while self._requests:
            request, transactions = self._requests.popleft()
            self._answers.append((request, self.application.submit(request, transactions)))
        for name in self.timers.expired(self._around.clock.now):
            self.protocol.timeout(name)
        self.protocol.poke()
        self._loop_back()
        self._leaving = self._flush()
        self.ticks += 1
        cost = self.meter.end()
        self._longest_tick_s = max(self._longest_tick_s, cost)
        return cost

    def _take_frames(self) -> None:
        horizon = self.protocol.horizon
        if any(frame.epoch <= horizon for _, frame in self._held):
            self._inbox.extendleft(item for item in reversed(self._held) if item[1].epoch <= horizon)
            self._held = [item for item in self._held if item[1].epoch > horizon]
        table, measured = self._around.costs.table.node, self._around.costs.mode == "measured"
        until = self.meter.elapsed + TICK_S
        while self._inbox and self.meter.elapsed < until:
            sender, frame = self._inbox.popleft()
            if frame.epoch > self.protocol.horizon:
                self._held.append((sender, frame))
                continue
            self.meter.outside(table.receive.of(frame.size))
            self.meter.work(table.decode.of(frame.size) + table.message * len(frame.messages))
            # Measured, decoding counts; else the objects themselves will do, for no node changes a message.
            for message in self._around.codec.decode(frame.data) if measured else frame.messages:
                self.protocol.handle(sender, message)
            self.messages_handled += len(frame.messages)
            self._loop_back()

    def _loop_back(self) -> None:
        loopback = self.outbox.loopback
        while loopback:
            self.meter.work(self._around.costs.table.node.message)
            self.protocol.handle(self.me, loopback.popleft())
            self.messages_handled += 1

    def _flush(self) -> list[tuple[int, Frame]]:
        """What was said, for each peer, in the order in which it leaves."""
        common, private = self.outbox.take()
        table = self._around.costs.table.node
        for frame in (*common, *(frame for frames in private.values() for frame in frames)):
            self.meter.work(table.encode.of(len(frame.data)))
        peers = (peer for peer in range(self._around.nodes) if peer != self.me)
        leaving = [(peer, frame) for peer in peers for frame in (*common, *private.get(peer, ()))]
        self.meter.outside(sum(table.send.of(frame.size) for _, frame in leaving))
        return leaving

    def _ticked(self) -> None:
        """The tick's time has passed: its votes go to the disk, then its frames leave."""
        wait_s = self._around.costs.table.node.sync if self._around.recovery and self.journal.unsynced else 0.0
        self.journal.sync()
        self._around.clock.after(wait_s, self._synced)

    def _synced(self) -> None:
        self._planned = False
        if not self.alive:
            return
        around = self._around
        for peer, frame in self._leaving:
            self.sent_bytes += frame.size
            around.links.send(self.me, peer, frame.size, partial(around.deliver, self.me, peer, frame))
        answers, self._answers = self._answers, []
        for request, submission in answers:
            around.clients.answered(self.me, request, submission, around.clock.now)
        self._write()
        usable = any(frame.epoch <= self.protocol.horizon for _, frame in self._held)
        if self._wanted or self._inbox or usable:
            self.wake()

    def _write(self) -> None:
        """Write the blocks so far, several at a time if they come faster than the disk."""
        if self._writing or self.chain.durable_height == self.chain.height:
            return
        self._writing = True
        around = self._around
        through = self.chain.height
        blocks = [one.header for one in self.application.pending if one.header.height <= through]
        node, crypto = around.costs.table.node, around.costs.table.crypto
        cost = node.ledger.once + sum(header.tx_bytes for header in blocks) * node.ledger.each
        if around.recovery:
            each = crypto.certificate_share + crypto.certificate.of(around.threshold)
            certified = len(blocks) * each / signed_every(around.nodes)
            cost += certified
            self.meter.note("certificate", certified)
        self.meter.total += cost
        self._host.run(lambda: cost, lambda: around.clock.after(node.sync, lambda: self._written(through)))

    def _written(self, through: int) -> None:
        self._writing = False
        if not self.alive:
            return
        self.chain.flush(through)
        for block in self.application.blocks_durable(through):
            header = block.header
            self.events.emit(
                "block",
                height=header.height,
                epoch=header.epoch,
                transactions=header.tx_count,
                bytes=header.tx_bytes,
                proposers=header.proposers,
            )
            self.events.trace("chained", height=header.height, hash=header.hash.hex())
            self._around.clients.durable(self.me, block, self._around.clock.now)
        self.journal.prune(min(self.application.durable_epoch, self.protocol.settled))
        self._write()
        # A protocol with a leader waits for what is durable.
        self.wake()

    def _fault(self, node: int, kind: StrEnum, detail: str) -> None:
        count = self._faults[node, kind.name] = self._faults[node, kind.name] + 1
        if count <= FAULT_EVENTS:
            self.events.emit("fault", node=node, kind=kind.name, detail=detail)

    def _each_second(self) -> None:
        if self.alive:
            self.report()
            self._around.clock.after(1.0, self._each_second)

    def report(self) -> None:
        """Counters since the start, as a real node reports them once a second; what only a process has is left out."""
        longest_tick_s, self._longest_tick_s = self._longest_tick_s, 0.0
        crypto: dict[str, Any] = {"crypto_cpu_s": dict(self.meter.operations)} if self.meter.operations else {}
        self.events.emit(
            "usage",
            cpu_s=self.meter.total,
            sent_bytes=self.sent_bytes,
            received_bytes=self.received_bytes,
            messages_handled=self.messages_handled,
            messages_sent=dict(self.outbox.messages_sent),
            bytes_sent=dict(self.outbox.bytes_sent),
            ticks=self.ticks,
            longest_tick_s=longest_tick_s,
            mempool=len(self._mempool),
            pending_blocks=len(self.application.pending),
            height=self.chain.height,
            durable_height=self.chain.durable_height,
            faults=sum(self._faults.values()),
            **crypto,
            **getattr(self.protocol, "lies", {}),
        )
