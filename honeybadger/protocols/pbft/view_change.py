"""Leaving a view and beginning the next: VIEW-CHANGE, NEW-VIEW, and what it may cost to check them.

Source: Castro, Liskov (OSDI 1999), section 4.4, and 4.5.2 for when to join and how long to wait.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from honeybadger.protocols.context import Timers
from honeybadger.protocols.pbft.catch_up import CatchUp
from honeybadger.protocols.pbft.certificates import (
    Group,
    check_new_view,
    check_view_change,
    choose,
    new_view_statement,
    pre_prepare_statement,
    view_change_statement,
)
from honeybadger.protocols.pbft.messages import NewView, PBFTFault, Proposal, ViewChange
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.watch import Watch

NO_SIGNATURE = bytes(64)
#: names of timers: the turns of the two throttles
VIEW_CHANGES = "view-changes"
NEW_VIEWS = "new-views"
#: seconds
TURN_S = 1.0
#: of all senders together; one takes some 0.1 ms
SIGNATURES_PER_TURN = 2000
#: no debt lasts longer: of hundreds of nodes, a single NEW-VIEW may rest on that many signatures
MOST_TURNS = 30

M = TypeVar("M", ViewChange, NewView)


class ViewChanger:
    """Moves `State.view` up, and `State.normal` after it."""

    def __init__(self, state: State, watch: Watch, catch_up: CatchUp) -> None:
        self._state = state
        self._group = state.group
        self._watch = watch
        self._catch_up = catch_up
        self._changes = ViewChanges(state.group)
        self._change_checks: Throttle[ViewChange] = Throttle(state.group, state.context.timers, VIEW_CHANGES)
        self._new_view_checks: Throttle[NewView] = Throttle(state.group, state.context.timers, NEW_VIEWS)
        #: the highest view that this node has sent NEW-VIEW for: a second one, of other VIEW-CHANGEs, would be a lie
        self._announced_view = 0
        #: the highest view whose primary this node waits for: the wait begins once
        self._awaited_view = 0

    def leave_for(self, view: int) -> bool:
        """VIEW-CHANGE with the stable checkpoint and all prepared certificates above it; False if it may not be."""
        state = self._state
        if view <= state.view or not state.allows(view):
            return False
        state.view = view
        self._watch.leave()
        proofs = [slot.proof for slot in state.ascending() if slot.proof and slot.number <= state.horizon]
        unsigned = ViewChange(0, view, state.checkpoints.stable, proofs, NO_SIGNATURE)
        signature = self._group.sign(view_change_statement(unsigned))
        state.own_change = msgspec.structs.replace(unsigned, signature=signature)
        state.pin()
        state.context.observe(state.executed + 1, "view_change", view=view)
        state.outbox.broadcast(state.own_change)
        return True

    def give_up(self) -> None:
        """The primary of the promised view has not begun it in time."""
        if not self._state.active:
            self.leave_for(self._state.view + 1)

    def remind(self) -> bool:
        """Links are reliable between two incarnations only: remind everybody of an unfinished view change. False if
        there is none."""
        state = self._state
        if state.active or state.own_change is None or state.own_change.view != state.view:
            return False
        state.outbox.broadcast(state.own_change)
        state.outbox.broadcast(self._catch_up.status())
        self._watch.resend_later()
        return True

    def repeat(self) -> None:
        """After a restart: say again what was said."""
        state = self._state
        if state.active:
            if state.new_view is not None and state.is_primary:
                state.outbox.broadcast(state.new_view)
        elif state.own_change is not None:
            state.outbox.broadcast(state.own_change)
            self._watch.resend_later()

    def next_view_changes(self) -> None:
        """VIEW-CHANGEs whose senders had used up what they may cost: it is their turn again."""
        for sender, message in self._change_checks.next_turn():
            self.handle_view_change(sender, message)

    def waiting_new_views(self) -> list[tuple[int, NewView]]:
        """NEW-VIEWs for which the same is true."""
        return self._new_view_checks.next_turn()

    def handle_view_change(self, sender: int, message: ViewChange) -> None:
        """Count it; join f+1 others; as the primary of the view, begin it."""
        state = self._state
        if sender != state.me and message.view <= state.normal:
            # It has missed the beginning of the view.
            self._catch_up.tell_new_view(sender)
        if message.view < state.view or message.view <= state.normal:
            # Nothing rests on it any more.
            return
        if sender == state.me:
            self._changes.add(sender, message)
        else:
            why = self._change_checks.run(sender, message, lambda: self._changes.add(sender, message))
            if why is None:
                return
            if why:
                state.outbox.fault(sender, PBFTFault.BAD_VIEW_CHANGE, why)
                return
        # f+1 others: one of them is correct and has a reason to leave. A view below the lowest one is no use to this
        # node, which may not vote there.
        while (view := self._changes.to_join(max(state.view, (state.lowest_view or 0) - 1))) is not None:
            if not self.leave_for(view):
                break
        self._try_new_view()

    def handle_new_view(self, sender: int, message: NewView) -> bool:
        """From the primary, or passed on by a node that saw that this one missed it. True if the view begins."""
        state = self._state
        if message.view <= state.normal:
            return False
        known = self._changes.of(message.view)
        if sender != state.me:
            why = self._new_view_checks.run(sender, message, lambda: check_new_view(self._group, message, known))
            if why is None:
                return False
            if why:
                state.outbox.fault(sender, PBFTFault.BAD_NEW_VIEW, why)
                return False
        state.follow(message)
        self._watch.stop()
        if state.active:
            self._watch.entered()
        stable, _ = choose(change for _, change in message.changes)
        state.checkpoints.take(stable)
        state.pin()
        for slot in state.slots.values():
            slot.enter(state.normal)
        state.context.observe(state.executed + 1, "new_view", view=state.normal)
        return True

    def _try_new_view(self) -> None:
        """N-f nodes, enough for a NEW-VIEW, want this node's view or a higher one: wait for its primary, or be it."""
        state = self._state
        if state.active or self._changes.wanting(state.view) < self._group.quorum:
            return
        if self._awaited_view < state.view:
            # Not before: who waits for a view that too few want runs away from the others.
            self._awaited_view = state.view
            self._watch.expect()
        changes = self._changes.of(state.view)
        if len(changes) < self._group.quorum or state.me not in changes:
            return
        if self._group.primary(state.view) == state.me and self._announced_view < state.view:
            self._announced_view = state.view
            state.outbox.broadcast(self._new_view(changes))

    def _new_view(self, changes: dict[int, ViewChange]) -> NewView:
        """V: this node's VIEW-CHANGE and those of N-f-1 others; O: what follows from them."""
        state = self._state
        # N-f of them share a correct node with the N-f behind each certificate: nothing decided is overlooked.
        others = [sender for sender in changes if sender != state.me][: self._group.quorum - 1]
        chosen = [(sender, changes[sender]) for sender in sorted([*others, state.me])]
        _, prescribed = choose(change for _, change in chosen)
        proposals = []
        for number, digest in prescribed:
            statement = pre_prepare_statement(state.view, number, digest)
            proposals.append(Proposal(number, digest, self._group.sign(statement)))
        unsigned = NewView(0, state.view, chosen, proposals, NO_SIGNATURE)
        signature = self._group.sign(new_view_statement(unsigned))
        return msgspec.structs.replace(unsigned, signature=signature)


class ViewChanges:
    """The VIEW-CHANGEs that have come: the one of the highest view of each node, all of them checked."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._latest: dict[int, ViewChange] = {}

    def add(self, sender: int, change: ViewChange) -> str:
        """Take one in; returns "" or what is wrong with it. One that is not newer than the last is not looked at."""
        known = self._latest.get(sender)
        if known is not None and change.view <= known.view:
            return "" if change.view < known.view or change == known else "two different ones for one view"
        if sender != self._group.me and (why := check_view_change(self._group, sender, change, known)):
            return why
        self._latest[sender] = change
        return ""

    def of(self, view: int) -> dict[int, ViewChange]:
        """Those for exactly this view, ascending by sender."""
        return {sender: change for sender, change in sorted(self._latest.items()) if change.view == view}

    def wanting(self, view: int) -> int:
        """How many nodes want this view or a higher one: none of them comes back."""
        return sum(change.view >= view for change in self._latest.values())

    def to_join(self, view: int) -> int | None:
        """If f+1 others want views above `view`: the smallest of those. At least one of them is correct."""
        wanted = [c.view for sender, c in self._latest.items() if c.view > view and sender != self._group.me]
        return min(wanted) if len(wanted) >= self._group.weak else None


class Throttle(Generic[M]):
    """Bounds what messages with many signatures may cost, sender by sender, and loses none of them.

    Each signature that is verified for a sender is a debt, of which its share, `SIGNATURES_PER_TURN` / N, is paid off
    in each turn. A sender that owes a share or more is not listened to: its newest message, that of the highest view,
    waits until it owes less. For a correct sender a message of a higher view replaces the one before, so nothing that
    matters is lost; its link only seems slow. f liars of N together cost less than a third of `SIGNATURES_PER_TURN` a
    turn in the long run, plus the last message of each before it had to wait.

    For one kind of message; `timer` ends its turns.
    """

    def __init__(self, group: Group, timers: Timers, timer: str) -> None:
        self._group = group
        self._timers = timers
        self._timer = timer
        self._share = max(1, SIGNATURES_PER_TURN // group.nodes)
        #: sender → signatures not paid off yet, and its message that waits until they are
        self._debts: dict[int, int] = {}
        self._waiting: dict[int, M] = {}

    def run(self, sender: int, message: M, check: Callable[[], str]) -> str | None:
        """The result of `check()`, at the sender's expense; None if the message has to wait."""
        if self._debts.get(sender, 0) >= self._share:
            known = self._waiting.get(sender)
            if known is None or message.view > known.view:
                self._waiting[sender] = message
            return None
        before = self._group.verified
        why = check()
        # One for the message itself, whatever is in it.
        debt = self._debts.get(sender, 0) + 1 + self._group.verified - before
        if not self._debts:
            self._timers.set(self._timer, TURN_S)
        self._debts[sender] = min(debt, MOST_TURNS * self._share)
        return why

    def next_turn(self) -> list[tuple[int, M]]:
        """A turn is over: the messages that have waited long enough, by sender."""
        self._debts = {sender: debt - self._share for sender, debt in self._debts.items() if debt > self._share}
        if self._debts:
            self._timers.set(self._timer, TURN_S)
        waiting = self._waiting.items()
        ready = [(sender, message) for sender, message in waiting if self._debts.get(sender, 0) < self._share]
        for sender, _ in ready:
            del self._waiting[sender]
        return ready
