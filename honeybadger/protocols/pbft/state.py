"""What the parts of a replica share: where it is, and what it has of each sequence number.

Two views are kept apart. `view` is the one this node has promised itself to: it votes in no lower one. `normal` is the
one whose messages it follows. They differ from VIEW-CHANGE to NEW-VIEW, and longer if nobody else wants to change:
then the node goes on as a passive learner (it executes what N-f others COMMIT, and its clients are served), which needs
no vote and breaks no promise.

Numbers. `epoch` = n; block n is the batch of n, a null request is an empty block. The log spans the water marks
(h, h + L]; h moves by stable checkpoints only.
"""

from __future__ import annotations

from honeybadger.protocols.base import Context, FaultKind
from honeybadger.protocols.pbft.certificates import choose
from honeybadger.protocols.pbft.checkpoints import Checkpoints
from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.messages import NewView, ViewChange
from honeybadger.protocols.pbft.records import Past, Records


class State:
    """See the module. The parts read it; each field is written by few of them."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.me = context.me
        self.parameters = context.parameters
        self.outbox = context.outbox
        self.application = context.application
        self.group = Group(context)
        self.checkpoints = Checkpoints(self.group)
        self.records = Records(context.journal, 2 * self.group.window)
        self.slots: dict[int, Slot] = {}
        self.executed = context.first_epoch - 1
        self.view = self.normal = 0
        #: this node votes in no lower view, whatever it remembers of promises; None: it does not know (see `promises`).
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
        """The primary of the view that this node follows."""
        return self.group.primary(self.normal)

    @property
    def is_primary(self) -> bool:
        """Whether that is this node."""
        return self.primary == self.me

    @property
    def low(self) -> int:
        """The low water mark h."""
        return self.checkpoints.stable.number

    @property
    def horizon(self) -> int:
        """The high water mark H = h + L."""
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
        """Whether this node is the primary, and may propose."""
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
        """All slots by number."""
        return [slot for _, slot in sorted(self.slots.items())]

    def accuse(self, node: int, kind: FaultKind, why: str) -> None:
        """Record a fault unless `why` is empty."""
        if why:
            self.outbox.fault(node, kind, why)

    def observe(self, number: int, phase: str) -> None:
        """A phase of a number, for measurement."""
        self.context.observe(number, phase)

    def follow(self, new_view: NewView) -> None:
        """The view of `new_view` is the one whose messages count; and a promise, unless there is a higher one."""
        stable, prescribed = choose(change for _, change in new_view.changes)
        self.normal = new_view.view
        self.view = max(self.view, self.normal)
        self.new_view = new_view
        self.prescribed = prescribed[-1][0] if prescribed else stable.number

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
        self.checkpoints.restore(past.stable)
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
