"""Leaving a view and beginning the next: VIEW-CHANGE, NEW-VIEW.

Source: Castro, Liskov (OSDI 1999), section 4.4, and 4.5.2 for when to join and how long to wait.
"""

from __future__ import annotations

import msgspec

from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.pbft.certificates import check_new_view, choose
from honeybadger.protocols.pbft.changes import ViewChanges
from honeybadger.protocols.pbft.messages import NewView, Proposal, ViewChange
from honeybadger.protocols.pbft.news import News
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.statements import new_view_statement, pre_prepare_statement, view_change_statement
from honeybadger.protocols.pbft.suspicion import NEW_VIEWS, VIEW_CHANGES, Suspicion
from honeybadger.protocols.pbft.throttle import Throttle

NO_SIGNATURE = bytes(64)


class ViewChanger:
    """See the module."""

    def __init__(self, state: State, suspicion: Suspicion, news: News) -> None:
        self._state = state
        self._group = state.group
        self._suspicion = suspicion
        self._news = news
        self._changes = ViewChanges(state.group)
        self._change_checks: Throttle[ViewChange] = Throttle(state.group, state.context.timers, VIEW_CHANGES)
        self._new_view_checks: Throttle[NewView] = Throttle(state.group, state.context.timers, NEW_VIEWS)
        self._announced_view = 0
        self._awaited_view = 0

    def leave_for(self, view: int) -> bool:
        """VIEW-CHANGE with the stable checkpoint and all prepared certificates above it; False if it may not be."""
        state = self._state
        if view <= state.view or not state.allows(view):
            return False
        state.view = view
        self._suspicion.leave()
        proofs = [slot.proof for slot in state.ascending() if slot.proof and slot.number <= state.horizon]
        unsigned = ViewChange(0, view, state.checkpoints.stable, proofs, NO_SIGNATURE)
        signature = self._group.sign(view_change_statement(self._group.chain_id, unsigned))
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
        state.outbox.broadcast(self._news.status())
        self._suspicion.resend_later()
        return True

    def repeat(self) -> None:
        """After a restart: say again what was said."""
        state = self._state
        if state.active:
            if state.new_view is not None and state.is_primary:
                state.outbox.broadcast(state.new_view)
        elif state.own_change is not None:
            state.outbox.broadcast(state.own_change)
            self._suspicion.resend_later()

    def waiting_changes(self) -> list[tuple[int, ViewChange]]:
        """VIEW-CHANGEs whose senders had used up what they may cost; it is their turn again."""
        return self._change_checks.next_turn()

    def waiting_new_views(self) -> list[tuple[int, NewView]]:
        """The same of NEW-VIEWs."""
        return self._new_view_checks.next_turn()

    def handle_view_change(self, sender: int, message: ViewChange) -> None:
        """Count it; join f+1 others; as the primary of the view, begin it."""
        state = self._state
        if sender != state.me and message.view <= state.normal:
            # It has missed the beginning of the view.
            self._news.tell_new_view(sender)
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
                state.outbox.fault(sender, FaultKind.BAD_VIEW_CHANGE, why)
                return
        # It may vote in none of the views below the lowest one.
        while (view := self._changes.to_join(max(state.view, (state.lowest_view or 0) - 1))) is not None:
            if not self.leave_for(view):
                break
        self._try_new_view()

    def handle_new_view(self, sender: int, message: NewView) -> bool:
        """From the primary, or passed on by whoever noticed that this node missed it. True if the view begins here."""
        state = self._state
        if message.view <= state.normal:
            return False
        known = self._changes.of(message.view)
        if sender != state.me:
            why = self._new_view_checks.run(sender, message, lambda: check_new_view(self._group, message, known))
            if why is None:
                return False
            if why:
                state.outbox.fault(sender, FaultKind.BAD_NEW_VIEW, why)
                return False
        state.follow(message)
        self._suspicion.stop()
        if state.active:
            self._suspicion.entered()
        stable, _ = choose(change for _, change in message.changes)
        state.checkpoints.take(stable)
        state.pin()
        for slot in state.slots.values():
            slot.enter(state.normal)
        state.context.observe(state.executed + 1, "new_view", view=state.normal)
        return True

    def _try_new_view(self) -> None:
        """N-f nodes want this node's view, or a higher one: wait for its primary. Or be it, if they want this one."""
        state = self._state
        if state.active or self._changes.wanting(state.view) < self._group.quorum:
            return
        if self._awaited_view < state.view:
            # Not before: who waits for a view that too few want runs away from the others.
            self._awaited_view = state.view
            self._suspicion.expect()
        changes = self._changes.of(state.view)
        if len(changes) < self._group.quorum or state.me not in changes:
            return
        if self._group.primary(state.view) == state.me and self._announced_view < state.view:
            self._announced_view = state.view
            state.outbox.broadcast(self._new_view(changes))

    def _new_view(self, changes: dict[int, ViewChange]) -> NewView:
        """V: this node's VIEW-CHANGE and those of N-f-1 others; O: what follows from them."""
        state = self._state
        others = [sender for sender in changes if sender != state.me][: self._group.quorum - 1]
        chosen = [(sender, changes[sender]) for sender in sorted([*others, state.me])]
        _, prescribed = choose(change for _, change in chosen)
        proposals = []
        for number, digest in prescribed:
            statement = pre_prepare_statement(self._group.chain_id, state.view, number, digest)
            proposals.append(Proposal(number, digest, self._group.sign(statement)))
        unsigned = NewView(0, state.view, chosen, proposals, NO_SIGNATURE)
        signature = self._group.sign(new_view_statement(self._group.chain_id, unsigned))
        return msgspec.structs.replace(unsigned, signature=signature)
