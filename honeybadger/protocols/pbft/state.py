"""What the parts of a replica share: where it is, what it has of each sequence number, and what it must not forget.

Two views are kept apart. `view` is the one this node has promised itself to: it votes in no lower one. `normal` is the
one whose messages it follows. They differ from VIEW-CHANGE to NEW-VIEW, and longer if nobody else wants to change:
then the node goes on as a passive learner (it executes what N-f others COMMIT, and its clients are served), which needs
no vote and breaks no promise.

Numbers. `epoch` = n; block n is the batch of n, a null request is an empty block. The log spans the water marks
(h, h + L]; h moves by stable checkpoints only.

The journal keeps a replica's votes, its view, what it sent to leave a view, and the stable checkpoint. Votes are
under their sequence number n and view: the PRE-PREPARE that was accepted (PREPARE repeats it), the batch, and with
COMMIT the certificate that it promises, which a later VIEW-CHANGE must show. Everything else belongs to no number; it
is written under an epoch ahead of all that may be pruned, and again further on before that is reached.

The journal may forget votes up to the stable checkpoint only (`settled`): without a certificate of n, a VIEW-CHANGE
must prove a checkpoint at or above n, or a number that others executed could become a null request.
"""

from enum import IntEnum, StrEnum

import msgspec

from honeybadger.protocols.batching.batch import batch_digest
from honeybadger.protocols.context import Context, VoteJournal
from honeybadger.protocols.pbft.certificates import GENESIS, Group, choose
from honeybadger.protocols.pbft.log import Checkpoints, Slot
from honeybadger.protocols.pbft.messages import NewView, PreparedProof, StableProof, ViewChange

_encode = msgspec.msgpack.Encoder().encode
_proof = msgspec.msgpack.Decoder(PreparedProof).decode
_stable = msgspec.msgpack.Decoder(StableProof).decode
_change = msgspec.msgpack.Decoder(ViewChange).decode
_new_view = msgspec.msgpack.Decoder(NewView).decode


class Vote(IntEnum):
    """Kinds of records; the round is the view (of STABLE: the number)."""

    PRE_PREPARE = 21
    BATCH = 22
    COMMIT = 23
    VIEW = 24
    VIEW_CHANGE = 25
    NEW_VIEW = 26
    STABLE = 27


class Past:
    """What the journal remembers of earlier lives."""

    def __init__(self, journal: VoteJournal) -> None:
        #: the highest view that the node has promised itself to
        self.view = 0
        #: the newest stable checkpoint that it knew of, and the NEW-VIEW of the highest view
        self.stable = GENESIS
        self.new_view: NewView | None = None
        #: view → the VIEW-CHANGE that was sent for it
        self._changes: dict[int, ViewChange] = {}
        #: number → view → (digest, signature of the PRE-PREPARE)
        self.accepted: dict[int, dict[int, tuple[bytes, bytes]]] = {}
        #: number → digest → batch
        self.batches: dict[int, dict[bytes, bytes]] = {}
        #: number → the prepared certificate of the highest view in which COMMIT was sent
        self.proofs: dict[int, PreparedProof] = {}
        for epoch in journal.epochs():
            for vote, _, number, value in journal.votes(epoch):
                self._take(epoch, vote, number, value)
        self.empty = not self.accepted and not self.view and self.stable == GENESIS

    @property
    def change(self) -> ViewChange | None:
        """The VIEW-CHANGE to the last view."""
        return self._changes.get(self.view)

    def _take(self, epoch: int, vote: int, view: int, value: bytes) -> None:
        match vote:
            case Vote.PRE_PREPARE:
                self.accepted.setdefault(epoch, {})[view] = (value[:32], value[32:])
            case Vote.BATCH:
                self.batches.setdefault(epoch, {})[batch_digest(value)] = value
            case Vote.COMMIT:
                known = self.proofs.get(epoch)
                if known is None or view > known.view:
                    self.proofs[epoch] = _proof(value)
            case Vote.VIEW:
                self.view = max(self.view, view)
            case Vote.VIEW_CHANGE:
                self._changes[view] = _change(value)
            case Vote.NEW_VIEW:
                if self.new_view is None or view > self.new_view.view:
                    self.new_view = _new_view(value)
            case Vote.STABLE:
                if view > self.stable.number:
                    self.stable = _stable(value)


class Records:
    """Writes to the journal. `reach`: how far ahead of the low water mark votes may be, in numbers."""

    def __init__(self, journal: VoteJournal, reach: int) -> None:
        self._journal = journal
        self._reach = reach
        #: number → digests of the batches that are in the journal: they are long, and written once
        self._batches: dict[int, set[bytes]] = {}

    def accepted(self, number: int, view: int, digest: bytes, signature: bytes, batch: bytes | None) -> bool:
        """The PRE-PREPARE of (view, number) that this node votes for, and its batch; False if it has voted for
        another one."""
        value = digest + signature
        if self._journal.remember(number, Vote.PRE_PREPARE, 0, view, value) != value:
            return False
        written = self._batches.setdefault(number, set())
        if batch is not None and digest not in written:
            written.add(digest)
            self._journal.remember(number, Vote.BATCH, 0, view, batch)
        return True

    def has_batch(self, number: int, digest: bytes) -> None:
        """An earlier life wrote this batch."""
        self._batches.setdefault(number, set()).add(digest)

    def committed(self, proof: PreparedProof) -> None:
        """COMMIT is about to be sent for this certificate."""
        self._journal.remember(proof.number, Vote.COMMIT, 0, proof.view, _encode(proof))

    def forget(self, number: int) -> None:
        """Numbers up to this one are below the low water mark."""
        self._batches = {later: digests for later, digests in self._batches.items() if later > number}

    def pin(
        self, low: int, view: int, change: ViewChange | None, new_view: NewView | None, stable: StableProof
    ) -> None:
        """Everything that belongs to no number, `reach` epochs beyond `low`, which is above all that may be pruned."""
        epoch = low + self._reach
        remember = self._journal.remember
        if view:
            remember(epoch, Vote.VIEW, 0, view, b"")
        if change is not None:
            remember(epoch, Vote.VIEW_CHANGE, 0, change.view, _encode(change))
        if new_view is not None:
            remember(epoch, Vote.NEW_VIEW, 0, new_view.view, _encode(new_view))
        if stable.number:
            remember(epoch, Vote.STABLE, 0, stable.number, _encode(stable))


class State:
    """The parts read it; each field is written by few of them."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.me = context.me
        self.parameters = context.parameters
        self.outbox = context.outbox
        self.application = context.application
        self.group = Group(context)
        self.checkpoints = Checkpoints(self.group, context)
        self.records = Records(context.journal, 2 * self.group.window)
        #: by number, all of them between the water marks
        self.slots: dict[int, Slot] = {}
        #: the highest number that was handed to the application
        self.executed = context.first_epoch - 1
        self.view = self.normal = 0
        #: this node votes in no lower view, whatever it remembers of promises; None: it does not know (`CatchUp`).
        #: A journal that held a promise leaves a bound above 0, since promises are written ahead of all numbers.
        self.lowest_view: int | None = None if context.silent_through else 0
        #: the last VIEW-CHANGE of this node, the last NEW-VIEW it follows
        self.own_change: ViewChange | None = None
        self.new_view: NewView | None = None
        #: highest number that the new view prescribes
        self.prescribed = 0

    @property
    def active(self) -> bool:
        """Whether the promised view has begun here."""
        return self.view == self.normal

    @property
    def primary(self) -> int:
        return self.group.primary(self.normal)

    @property
    def is_primary(self) -> bool:
        return self.primary == self.me

    @property
    def low(self) -> int:
        """The low water mark h."""
        return self.checkpoints.stable.number

    @property
    def horizon(self) -> int:
        return self.low + self.group.window

    @property
    def silent(self) -> bool:
        """Whether this node lost its votes, and may have said anything about a number above the low water mark.

        To have executed those numbers is not enough: a VIEW-CHANGE must show the certificates that this node has sent
        COMMIT for, or a stable checkpoint above them.
        """
        return self.low < self.context.silent_through

    def allows(self, view: int) -> bool:
        """Whether this node may take part in a view as far as lost votes are concerned."""
        return not self.silent and self.lowest_view is not None and view >= self.lowest_view

    @property
    def may_vote(self) -> bool:
        """Whether this node takes part in the view that it follows."""
        return self.active and self.allows(self.normal)

    @property
    def leads(self) -> bool:
        return self.is_primary and self.may_vote

    @property
    def behind(self) -> bool:
        """Whether 2f+1 nodes have on disk what this one has not executed."""
        return self.checkpoints.newest > self.executed

    @property
    def in_progress(self) -> bool:
        """Whether a proposal waits to be executed."""
        return any(n > self.executed and slot.begun for n, slot in self.slots.items())

    def slot(self, number: int) -> Slot:
        """The slot of a number between the water marks, made if there is none."""
        slot = self.slots.get(number)
        if slot is None:
            slot = self.slots[number] = Slot(self.group, number, self.normal)
        return slot

    def ascending(self) -> list[Slot]:
        return [slot for _, slot in sorted(self.slots.items())]

    def accuse(self, node: int, kind: StrEnum, why: str) -> None:
        """Record a fault unless `why` is empty."""
        if why:
            self.outbox.fault(node, kind, why)

    def follow(self, new_view: NewView) -> None:
        """The view of `new_view` is the one whose messages count; and a promise, unless there is a higher one."""
        stable, prescribed = choose(change for _, change in new_view.changes)
        self.normal = new_view.view
        self.view = max(self.view, self.normal)
        self.new_view = new_view
        self.prescribed = prescribed[-1][0] if prescribed else stable.number

    def advance(self) -> bool:
        """Move the low water mark if a stable checkpoint allows it, and forget what lies below; True if it moved."""
        if not self.checkpoints.advance(self.executed):
            return False
        self.slots = {number: slot for number, slot in self.slots.items() if number > self.low}
        self.records.forget(self.low)
        self.pin()
        return True

    def pin(self) -> None:
        """Make durable what belongs to no number."""
        change = None if self.active else self.own_change
        low = max(self.low, self.executed)
        # A view that this node may not vote in is no promise.
        binding = self.lowest_view is not None and self.view >= self.lowest_view
        self.records.pin(low, self.view if binding else 0, change, self.new_view, self.checkpoints.stable)

    def restore(self, past: Past) -> None:
        """Take up the votes of earlier lives; nothing is sent yet."""
        if past.empty:
            return
        self.checkpoints.stable = past.stable
        self.view = past.view
        if past.view:
            self.lowest_view = 0
        self.own_change = past.change
        if past.new_view is not None:
            self.follow(past.new_view)
        numbers = sorted(past.accepted.keys() | past.proofs.keys() | past.batches.keys())
        for number in [number for number in numbers if number > self.low]:
            slot = self.slot(number)
            slot.proof = past.proofs.get(number)
            if accepted := past.accepted.get(number, {}).get(self.normal):
                slot.propose(*accepted)
                slot.voted = True
            for digest, batch in past.batches.get(number, {}).items():
                self.records.has_batch(number, digest)
                slot.add_batch(digest, batch)
