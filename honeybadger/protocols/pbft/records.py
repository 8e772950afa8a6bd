"""What a replica must not forget: its votes, its view, what it sent to leave a view, and the stable checkpoint.

Votes are journalled under their sequence number n and view: the PRE-PREPARE that was accepted (PREPARE repeats it), the
batch, and with COMMIT the certificate that it promises, which a later VIEW-CHANGE must show. Everything else belongs to
no number; it is written under an epoch ahead of all that may be pruned, and again further on before that is reached.

The journal may forget votes up to the stable checkpoint only (`settled`): without a certificate of n, a VIEW-CHANGE
must prove a checkpoint at or above n, or a number that others executed could become a null request.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from honeybadger.protocols.base import VoteJournal
from honeybadger.protocols.pbft.certificates import GENESIS
from honeybadger.protocols.pbft.messages import NewView, PreparedProof, StableProof, ViewChange
from honeybadger.protocols.pbft.statements import batch_digest

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
        self.view = 0
        self.stable = GENESIS
        self.new_view: NewView | None = None
        self._changes: dict[int, ViewChange] = {}
        #: number → view → (digest, signature of the PRE-PREPARE)
        self.accepted: dict[int, dict[int, tuple[bytes, bytes]]] = {}
        self.batches: dict[int, dict[bytes, bytes]] = {}
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
    """Writes to the journal."""

    def __init__(self, journal: VoteJournal, reach: int) -> None:
        self._journal = journal
        self._reach = reach
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
        for old in [known for known in self._batches if known <= number]:
            del self._batches[old]

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
