"""Node 0 orders everybody's transactions: an example of a protocol, and about the least that one can do.

Each node asks node 0 to order a batch; node 0 takes them in turn, one per epoch, and broadcasts them. A node that has a
batch in its journal says STORED to all; a batch that N-f nodes have stored is committed. Node 0 journals a batch before
it sends it, and after a restart sends that very batch again, so no two nodes commit different ones.

Nodes may crash and restart, N >= 2f+1. Safe while journals survive; live while node 0 and N-f nodes are up. The chain
stops for good if node 0 loses its journal, and nothing at all is promised if a node lies.
"""

from typing import Annotated

import msgspec

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import Bulk, ConsensusProtocol, HeldBytes, Phase, Specification
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.parameters import Parameters, ProtocolName
from honeybadger.protocols.quorums import CRASH
from honeybadger.protocols.wire import Message
from honeybadger.transactions import END_BYTES, Transactions

LEADER = 0
BATCH = 1  # the one kind of vote in the journal
MINE = -1  # the application reserves under this label what this node has asked the leader to order
RESEND_S = 1.0  # a leader that restarts has forgotten what it was asked


class SequencerParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: ProtocolName = "sequencer"
    pipeline_depth: Annotated[int, msgspec.Meta(ge=1, le=1, description="Batches in progress at a time.")] = 1


class Carrier(Message, frozen=True):
    transactions: list[bytes]

    @property
    def payload(self) -> int:
        return sum(len(tx) + END_BYTES for tx in self.transactions)


class Submit(Carrier, frozen=True, tag=1): ...


class Batch(Carrier, frozen=True, tag=2): ...


class Stored(Message, frozen=True, tag=3): ...


class Sequencer(ConsensusProtocol):
    epoch, horizon, leader = 0, 0, LEADER

    def __init__(self, context: Context) -> None:
        self._context, self._parameters, self._application = context, context.parameters, context.application
        self._voted = list(context.journal.epochs())  # of earlier lives: to be said again
        self._mine: list[bytes] = []  # what this node has asked for and not seen committed
        self._asked: dict[int, list[bytes]] = {}  # at the leader: node → what it asks for
        self._batches: dict[int, list[bytes]] = {}  # epoch → batch, in the journal here
        self._stored: dict[int, set[int]] = {}  # epoch → who has the batch in its journal
        self._go_to(context.first_epoch)

    def handle(self, sender: int, message: Message) -> None:
        match message:
            case Submit(_, transactions):
                self._asked[sender] = transactions
            case Batch(epoch, transactions) if sender == LEADER and self.epoch <= epoch <= self.horizon:
                self._store(epoch, transactions)
            case Stored(epoch) if self.epoch <= epoch <= self.horizon:
                self._stored.setdefault(epoch, set()).add(sender)
            case _ if message.epoch >= self.epoch:
                self._context.outbox.fault(sender, FaultKind.FUTURE_EPOCH, f"{message.epoch}")
        self.poke()

    def poke(self) -> None:
        while self._voted:
            self._store(self._voted.pop(), [])  # the journal answers with what it has
        while len(self._stored.get(self.epoch, ())) >= self._context.quorums.quorum and self.epoch in self._batches:
            self._context.observe(self.epoch, "stored")
            self._application.commit(self.epoch, [(LEADER, Transactions.of(self._batches[self.epoch]))])
            self._context.observe(self.epoch, "committed")
            self._go_to(self.epoch + 1)
        if not self._mine:
            self.timeout("resend")
        busy = self.epoch in self._batches or self.epoch <= self._context.silent_through or self._application.busy
        if self._context.me == LEADER and self._asked and not busy:
            ask = self._asked.pop(next(iter(self._asked)))
            done, most = self._application.committed(ask), self._parameters.max_tx_bytes
            self._store(self.epoch, [tx for tx, old in zip(ask, done, strict=True) if not old and 0 < len(tx) <= most])

    def timeout(self, name: str) -> None:
        count, room = self._parameters.batch_size, self._parameters.max_proposal_bytes
        self._mine = self._mine or list(self._application.reserve(MINE, count, room))
        if self._mine:
            self._context.outbox.send(LEADER, Submit(0, self._mine))
            self._context.timers.set("resend", RESEND_S)

    def skip_to(self, epoch: int) -> None:
        self._go_to(epoch)
        self.poke()

    def _store(self, epoch: int, batch: list[bytes]) -> None:
        written = self._context.journal.remember(epoch, BATCH, 0, 0, msgspec.msgpack.encode(batch))
        if epoch not in self._batches:
            self._batches[epoch] = msgspec.msgpack.decode(written, type=list[bytes])
            self._context.observe(epoch, "proposed")
            if self._context.me == LEADER:
                self._context.outbox.broadcast(Batch(epoch, self._batches[epoch]))
            self._context.outbox.broadcast(Stored(epoch))

    def _go_to(self, epoch: int) -> None:
        self.epoch, self.horizon = epoch, epoch + self._parameters.epoch_window
        self._batches = {number: batch for number, batch in self._batches.items() if number >= epoch}
        self._stored = {number: nodes for number, nodes in self._stored.items() if number >= epoch}
        self._mine = list(self._application.still_pending(self._mine))

    def held_bytes(self) -> HeldBytes:
        held = {epoch: sum(map(len, batch)) for epoch, batch in self._batches.items()}
        most = self._parameters.max_proposal_bytes
        return HeldBytes(held, 2 * most, max(held.values(), default=0), most)


SPECIFICATION = Specification(
    name="sequencer",
    display_name="Fixed sequencer",
    parameters=SequencerParameters,
    message_types=(Submit, Batch, Stored),
    bulky=tuple(Bulk(kind, "transactions", lambda own, _: own.max_proposal_bytes) for kind in (Submit, Batch)),
    build=Sequencer,
    live_bytes=lambda own, _: (own.epoch_window + 3) * (own.max_proposal_bytes + 4096),
    phases=(Phase("proposed", ""), Phase("stored", "storing"), Phase("committed", "in_order")),
    fault_model=CRASH,
    has_leader=True,
    one_proposer_per_block=True,
)
