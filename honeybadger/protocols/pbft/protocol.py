"""The protocol object of one replica. Source: Castro, Liskov (OSDI 1999; TOCS 2002), the version with signatures.

Every event (a message, a timer, something new outside) goes to one part, which changes the state; then `_go_on` does
what has become possible, always in the same order: execute, sign a checkpoint, move the water marks, propose, watch the
primary. No part calls back into one that stands behind it.
"""

from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import HeldBytes
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.pbft.catch_up import FETCH, PROMISE, TIDY, CatchUp
from honeybadger.protocols.pbft.log import MOST_BATCHES
from honeybadger.protocols.pbft.messages import (
    AskView,
    Batch,
    Checkpoint,
    Commit,
    Fetch,
    Forward,
    NewView,
    PBFTFault,
    Prepare,
    PrePrepare,
    PromisedView,
    Relay,
    Stable,
    Status,
    ViewChange,
)
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.requests import Proposals, Requests
from honeybadger.protocols.pbft.state import Past, State
from honeybadger.protocols.pbft.view_change import NEW_VIEWS, VIEW_CHANGES, ViewChanger
from honeybadger.protocols.pbft.watch import NEW_VIEW, REQUEST, RESEND, Watch
from honeybadger.protocols.wire import Message


class PBFT:
    """One replica; see `ConsensusProtocol`. Owns the parts, and knows the order in which they act."""

    def __init__(self, context: Context) -> None:
        state = self._state = State(context)
        past = Past(context.journal)
        state.restore(past)
        #: whether an earlier life has said anything that must be said again
        self._has_past = not past.empty
        #: whether the runtime has called `poke`: nothing is sent before
        self._started = False
        self._requests = Requests(state)
        self._watch = Watch(state, self._requests)
        self._catch_up = CatchUp(state)
        self._normal_case = NormalCase(state, self._catch_up)
        self._proposals = Proposals(state, self._requests.pool, self._normal_case)
        self._views = ViewChanger(state, self._watch, self._catch_up)
        self._timeouts = {
            REQUEST: self._request_timeout,
            NEW_VIEW: self._views.give_up,
            RESEND: self._remind,
            FETCH: self._catch_up.fetch,
            TIDY: self._catch_up.tidy,
            VIEW_CHANGES: self._views.next_view_changes,
            NEW_VIEWS: self._next_new_views,
            PROMISE: self._catch_up.ask_views,
        }

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self._state.executed + 1

    @property
    def horizon(self) -> int:
        """The high water mark H = h + L."""
        return self._state.horizon

    @property
    def settled(self) -> int:
        """The low water mark."""
        return self._state.low

    @property
    def view(self) -> int:
        return self._state.view

    @property
    def leader(self) -> int:
        """See `ConsensusProtocol`: the primary of the view that this node follows or waits for."""
        return self._state.group.primary(self._state.view)

    def poke(self) -> None:
        """Transactions came, or a block reached the disk, or the node started."""
        if not self._started:
            self._started = True
            self._start()
        self._requests.forward()
        self._go_on()

    def handle(self, sender: int, message: Message) -> None:
        state = self._state
        match message:
            case PrePrepare() | Prepare() | Commit():
                self._normal_case.handle(sender, message)
            case Forward():
                self._requests.handle_forward(sender, message)
            case Checkpoint():
                state.accuse(sender, PBFTFault.BAD_SIGNATURE, state.checkpoints.add(sender, message))
            case ViewChange():
                self._views.handle_view_change(sender, message)
            case NewView():
                self._handle_new_view(sender, message)
            case Relay():
                self._requests.handle_relay(sender, message)
            case Fetch():
                self._catch_up.handle_fetch(sender, message)
            case Batch():
                self._normal_case.handle_batch(sender, message)
            case Status():
                self._handle_status(sender, message)
            case Stable():
                state.accuse(sender, PBFTFault.BAD_SIGNATURE, state.checkpoints.take(message.proof))
            case AskView():
                self._catch_up.handle_ask_view(sender, message)
            case PromisedView():
                self._catch_up.handle_promised_view(sender, message)
            case _:
                state.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
        self._go_on()

    def timeout(self, name: str) -> None:
        if (expired := self._timeouts.get(name)) is not None:
            expired()
        self._go_on()

    def skip_to(self, epoch: int) -> None:
        """See `ConsensusProtocol`: state transfer through the ledger."""
        if epoch <= self._state.executed + 1:
            return
        self._state.executed = epoch - 1
        self._requests.skipped()
        self._state.pin()
        self._advance()
        self._watch.look_again()
        self._go_on()

    def held_bytes(self) -> HeldBytes:
        slots = self._state.ascending()
        longest = self._state.parameters.max_proposal_bytes
        largest = max((len(batch) for slot in slots for batch in slot.batches.values()), default=0)
        return HeldBytes({slot.number: slot.held_bytes() for slot in slots}, MOST_BATCHES * longest, largest, longest)

    def status(self) -> dict[str, Any]:
        state = self._state
        return {
            "epoch": self.epoch,
            "horizon": self.horizon,
            "view": state.view,
            "active": state.active,
            "silent": state.silent,
            "lowest_view": state.lowest_view,
            "primary": state.primary,
            "stable_checkpoint": state.low,
            "patience_s": self._watch.patience_s,
            "waiting_to_be_ordered": self._requests.pool.count,
            "forwarded_bytes": self._requests.pool.held_bytes(),
            "early_messages": len(self._normal_case.early),
            "signatures_verified": state.group.verified,
            "relayed": len(self._requests.relayed),
            "in_progress": [
                {
                    "number": slot.number,
                    "prepared": slot.prepared,
                    "committed": slot.committed,
                    "has_batch": slot.has_batch,
                }
                for slot in state.ascending()
                if slot.number > state.executed
            ],
        }

    # -- events --------------------------------------------------------------------------------------------

    def _handle_new_view(self, sender: int, message: NewView) -> None:
        if not self._views.handle_new_view(sender, message):
            return
        # The view begins.
        self._proposals.start_over()
        self._normal_case.take_prescribed()
        self._advance()
        self._normal_case.take_early()
        self._requests.start_over()

    def _next_new_views(self) -> None:
        for sender, message in self._views.waiting_new_views():
            self._handle_new_view(sender, message)

    def _handle_status(self, sender: int, message: Status) -> None:
        if sender == self._state.me:
            return
        self._catch_up.handle_status(sender, message)
        if message.fresh and sender == self._state.primary and self._catch_up.first_time(sender, "again"):
            self._requests.forward_again()
            self._watch.look_again()

    def _request_timeout(self) -> None:
        if self._watch.expired():
            self._views.leave_for(self._state.view + 1)
        elif self._watch.running:
            self._requests.relay()
            self._state.outbox.broadcast(self._catch_up.status())

    def _remind(self) -> None:
        if self._views.remind():
            # The primary may ignore what this node forwards, or be this node, and the others know nothing of it.
            self._requests.relay()

    def _start(self) -> None:
        """Say again what was said before a restart, and ask for news."""
        state = self._state
        if self._has_past:
            state.pin()
            self._views.repeat()
            if state.active:
                self._normal_case.take_prescribed()
                self._normal_case.repeat_votes()
        state.outbox.broadcast(self._catch_up.status(fresh=True))
        self._catch_up.ask_views()

    # -- what follows --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        state = self._state
        more = True
        while more:
            if more := (batches := self._normal_case.execute()) is not None:
                for transactions in batches or ():
                    self._requests.executed(transactions)
                self._watch.executed()
            if (checkpoint := state.checkpoints.sign()) is not None:
                state.outbox.broadcast(checkpoint)
            more |= self._advance()
            more |= self._proposals.propose()
        self._watch.look()

    def _advance(self) -> bool:
        moved = self._state.advance()
        if moved:
            self._normal_case.water_marks_moved()
        return moved
