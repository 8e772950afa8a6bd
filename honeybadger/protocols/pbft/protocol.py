"""The protocol object of one replica. Source: Castro, Liskov (OSDI 1999; TOCS 2002), the version with signatures.

Every event (a message, a timer, something new outside) goes to one part, which changes the state; then `_go_on` does
what has become possible, always in the same order: execute, sign a checkpoint, move the water marks, propose, watch the
primary. No part calls back into one that stands behind it.
"""

from __future__ import annotations

from typing import Any

from honeybadger.protocols.base import Context, FaultKind, HeldBytes
from honeybadger.protocols.messages import Message
from honeybadger.protocols.pbft.early import Early, VoteMessage
from honeybadger.protocols.pbft.log import MOST_BATCHES
from honeybadger.protocols.pbft.messages import (
    AskView,
    Batch,
    Checkpoint,
    Commit,
    Fetch,
    Forward,
    NewView,
    Prepare,
    PrePrepare,
    PromisedView,
    Relay,
    Stable,
    Status,
    ViewChange,
)
from honeybadger.protocols.pbft.missing import MissingBatches
from honeybadger.protocols.pbft.news import News
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.promises import Promises
from honeybadger.protocols.pbft.proposals import Proposals
from honeybadger.protocols.pbft.records import Past
from honeybadger.protocols.pbft.request_flow import RequestFlow
from honeybadger.protocols.pbft.requests import Pool
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.suspicion import (
    FETCH,
    NEW_VIEW,
    NEW_VIEWS,
    PROMISE,
    REQUEST,
    RESEND,
    TIDY,
    VIEW_CHANGES,
    Suspicion,
)
from honeybadger.protocols.pbft.view_change import ViewChanger
from honeybadger.protocols.pbft.watch import Watch
from honeybadger.protocols.pbft.water_marks import WaterMarks


class PBFT:
    """See `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        state = self._state = State(context)
        past = Past(context.journal)
        state.restore(past)
        self._has_past = not past.empty
        self._started = False
        self._suspicion = Suspicion(context.timers, context.parameters.view_timeout_s)
        self._pool = Pool(context.parameters)
        self._early = Early()
        self._news = News(state)
        self._promises = Promises(state, self._news)
        self._missing = MissingBatches(state, self._news)
        self._normal_case = NormalCase(state, self._missing)
        self._proposals = Proposals(state, self._pool, self._normal_case)
        self._requests = RequestFlow(state, self._pool)
        self._marks = WaterMarks(state)
        self._views = ViewChanger(state, self._suspicion, self._news)
        self._watch = Watch(state, self._suspicion, self._requests)
        self._timeouts = {
            REQUEST: self._request_timeout,
            NEW_VIEW: self._views.give_up,
            RESEND: self._remind,
            FETCH: self._missing.ask,
            TIDY: self._news.tidy,
            VIEW_CHANGES: self._check_view_changes,
            NEW_VIEWS: self._check_new_views,
            PROMISE: self._promises.ask,
        }

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The lowest number that is not yet executed."""
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
        """The view this node has promised itself to."""
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
        """Process one message; never raises because of what it says."""
        state = self._state
        match message:
            case PrePrepare() | Prepare() | Commit():
                self._handle_normal(sender, message)
            case Forward():
                self._requests.handle_forward(sender, message)
            case Checkpoint():
                state.accuse(sender, FaultKind.BAD_SIGNATURE, state.checkpoints.add(sender, message))
            case ViewChange():
                self._views.handle_view_change(sender, message)
            case NewView():
                self._handle_new_view(sender, message)
            case Relay():
                self._requests.handle_relay(sender, message)
            case Fetch():
                self._missing.answer(sender, message)
            case Batch():
                self._normal_case.handle_batch(sender, message)
            case Status():
                self._handle_status(sender, message)
            case Stable():
                state.accuse(sender, FaultKind.BAD_SIGNATURE, state.checkpoints.take(message.proof))
            case AskView():
                self._promises.answer(sender, message)
            case PromisedView():
                self._promises.take(sender, message)
            case _:
                state.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
        self._go_on()

    def timeout(self, name: str) -> None:
        """See `ConsensusProtocol`."""
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
        self._advance_low()
        self._watch.look_again()
        self._go_on()

    def held_bytes(self) -> HeldBytes:
        """Batches between the water marks."""
        slots = self._state.ascending()
        longest = self._state.parameters.max_proposal_bytes
        largest = max((len(batch) for slot in slots for batch in slot.batches.values()), default=0)
        return HeldBytes({slot.number: slot.held_bytes() for slot in slots}, MOST_BATCHES * longest, largest, longest)

    def status(self) -> dict[str, Any]:
        """For people."""
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
            "patience_s": self._suspicion.patience_s,
            "waiting_to_be_ordered": self._pool.count,
            "forwarded_bytes": self._pool.held_bytes(),
            "early_messages": len(self._early),
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

    def _handle_normal(self, sender: int, message: VoteMessage) -> None:
        state = self._state
        if message.epoch <= state.low or message.view < state.normal:
            return
        if message.epoch > state.horizon:
            state.outbox.fault(sender, FaultKind.FUTURE_EPOCH, str(message.epoch))
        elif message.view > state.normal:
            self._early.keep(sender, message)
            self._news.ask(sender)
        else:
            self._normal_case.handle(sender, message)

    def _handle_new_view(self, sender: int, message: NewView) -> None:
        if self._views.handle_new_view(sender, message):
            self._entered(message)

    def _check_view_changes(self) -> None:
        for sender, message in self._views.waiting_changes():
            self._views.handle_view_change(sender, message)

    def _check_new_views(self) -> None:
        for sender, message in self._views.waiting_new_views():
            self._handle_new_view(sender, message)

    def _handle_status(self, sender: int, message: Status) -> None:
        if sender == self._state.me:
            return
        self._news.answer(sender, message)
        if (own := self._marks.newest_above(message.stable)) is not None:
            self._news.tell(sender, "checkpoint", b"", own)
        if message.fresh and sender == self._state.primary and self._news.first_time(sender, "again"):
            self._requests.forward_again()
            self._watch.look_again()

    def _request_timeout(self) -> None:
        if self._watch.expired():
            self._views.leave_for(self._state.view + 1)
        elif self._suspicion.running:
            self._requests.relay()
            self._state.outbox.broadcast(self._news.status())

    def _remind(self) -> None:
        if self._views.remind():
            # The primary may ignore what this node forwards, or be this node, and the others know nothing of it.
            self._requests.relay()

    def _entered(self, new_view: NewView) -> None:
        """A view begins."""
        self._proposals.start_over()
        self._normal_case.take_prescribed(new_view)
        self._advance_low()
        for sender, message in self._early.take(new_view.view):
            self._handle_normal(sender, message)
        self._requests.start_over()

    def _start(self) -> None:
        """Say again what was said before a restart, and ask for news."""
        state = self._state
        if self._has_past:
            state.pin()
            self._views.repeat()
            if state.active:
                if state.new_view is not None:
                    self._normal_case.take_prescribed(state.new_view)
                self._normal_case.repeat_votes()
        state.outbox.broadcast(self._news.status(fresh=True))
        self._promises.ask()

    # -- what follows --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Do what has become possible."""
        more = True
        while more:
            if more := (batches := self._normal_case.execute()) is not None:
                for transactions in batches or ():
                    self._requests.executed(transactions)
                self._watch.executed()
            self._marks.sign()
            more |= self._advance_low()
            more |= self._proposals.propose()
        self._watch.look()

    def _advance_low(self) -> bool:
        """Move the water marks; more of what a new view prescribes may be between them now."""
        state = self._state
        if not self._marks.advance():
            return False
        self._early.forget(state.low)
        if state.new_view is not None and state.prescribed > state.low:
            self._normal_case.take_prescribed(state.new_view)
        return True
