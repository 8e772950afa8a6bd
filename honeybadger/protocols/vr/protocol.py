"""Viewstamped Replication. N >= 2f+1 nodes of which f may crash and come back; nothing is promised if a node lies.

Safe whatever messages are late and whichever nodes crash, as long as no more than f lose their journals at a time;
live while a majority is up and a view change takes less than the time-out, which grows until it does. View v has the
primary v mod N; its entry n is block n.

Where it departs from the paper: an entry is a batch of transactions. What a node accepted and the view it is in are in
its journal, so that only a node that has lost that recovers by asking. STARTVIEW is the first heartbeat of a view:
like DOVIEWCHANGE it names the end of a log instead of carrying it, and who lacks entries asks for them. What nobody
keeps any more comes from the ledgers. A node goes on from a view that does not begin only when a majority has entered
it, so that one who is cut off does not run ahead. Members do not change.

Source: Liskov, Cowling, "Viewstamped Replication Revisited" (MIT-CSAIL-TR-2012-021).
"""

from enum import Enum, auto
from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.replicated_log.messages import (
    Accepted,
    Append,
    Commit,
    Forward,
    Heartbeat,
    LogFault,
    Rejected,
)
from honeybadger.protocols.replicated_log.node import HEARTBEAT, LogNode
from honeybadger.protocols.replicated_log.takeover import Takeover
from honeybadger.protocols.vr.messages import DoViewChange, Recovery, RecoveryResponse, StartViewChange
from honeybadger.protocols.vr.parameters import VrParameters
from honeybadger.protocols.vr.recovery import Recovering
from honeybadger.protocols.vr.view_change import ViewChange
from honeybadger.protocols.wire import Message

#: the name of the timer after which a node gives up on the primary, or on a view that does not begin
VIEW = "view"


class Status(Enum):
    NORMAL = auto()
    VIEW_CHANGE = auto()
    RECOVERING = auto()


class ViewstampedReplication(LogNode):
    """One node; see `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        self._timeout_s = VrParameters.of(context.parameters).view_timeout_s
        super().__init__(context, self._timeout_s)
        promise = self._promise
        self._takeover = Takeover(self._log, promise, self._replication)
        self._change = ViewChange(context, self._log, promise)
        self._recovering = Recovering(context)
        #: None before the runtime has called `poke`: nothing is sent before
        self._status: Status | None = None

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def leader(self) -> int:
        return self._change.primary

    def poke(self) -> None:
        if self._status is None:
            self._start()
        if self._status is Status.NORMAL:
            self._requests.forward()
        self._go_on()

    def handle(self, sender: int, message: Message) -> None:
        if sender == self._context.me:
            return
        match message:
            case Append() | Heartbeat() | Commit():
                self._handle_primary(sender, message)
            case RecoveryResponse():
                self._handle_response(sender, message)
            case StartViewChange() | DoViewChange():
                self._handle_change(sender, message)
            case Accepted() if self._replication.leads and message.term == self._change.view:
                self._replication.accepted(sender, message)
            case Rejected() if message.term == self._change.view and self._status is not Status.RECOVERING:
                # As the primary, or as the one whose log the primary of a new view has chosen.
                self._replication.rejected(sender, message)
            case Forward():
                self._requests.handle(sender, message)
            case Recovery() if self._status is Status.NORMAL:
                self._answer(sender, message)
            case Accepted() | Rejected() | Recovery():
                pass
            case _:
                self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
        self._go_on()

    def timeout(self, name: str) -> None:
        match name:
            case _ if name == HEARTBEAT and self._replication.leads:
                self._beat()
            case _ if name == VIEW and not self._replication.leads:
                self._give_up()
        self._go_on()

    def status(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "status": self._status.name.lower() if self._status else "starting",
            "view": self._change.view,
            "normal_view": self._promise.followed,
            "leader": self._change.primary,
            "last": self._log.last,
            "waiting_to_be_ordered": self._requests.pool.count,
        }

    # -- parts ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A first life begins in view 1. A later one goes on in its view, but not as the primary: that has forgotten
        what others want ordered and, if the view had not begun, perhaps which log it chose."""
        promise, lost = self._promise, self._context.silent_through
        if lost and promise.recovered != lost:
            self._status = Status.RECOVERING
            self._give_up()
            return
        if not promise.term:
            promise.enter(1)
            promise.follow(1)
            self._take_part()
        elif self._change.primary == self._context.me:
            self._enter(promise.term + 1)
        elif promise.followed == promise.term:
            self._take_part()
        else:
            self._enter(promise.term)

    def _give_up(self) -> None:
        """Nothing was heard for a while."""
        if self._status is Status.RECOVERING:
            if self._takeover.goal is not None:
                self._takeover.give_up()
                self._recovering.start_over()
            self._recovering.ask()
            self._wait()
        elif self._status is Status.NORMAL or self._change.wanted:
            self._change.failed += self._status is not Status.NORMAL
            self._enter(self._change.view + 1)
        else:
            self._change.announce()
            self._wait()

    def _enter(self, view: int) -> None:
        self._status = Status.VIEW_CHANGE
        self._change.enter(view)
        self._change.announce()
        self._takeover.give_up()
        self._wait()

    def _handle_change(self, sender: int, message: StartViewChange | DoViewChange) -> None:
        change = self._change
        if self._status is Status.RECOVERING:
            return
        if message.view > change.view:
            self._enter(message.view)
        if message.view == change.view and self._status is Status.VIEW_CHANGE:
            change.entered(sender)
            if isinstance(message, DoViewChange) and change.primary == self._context.me:
                change.offered(sender, message)

    def _handle_primary(self, sender: int, message: Append | Heartbeat | Commit) -> None:
        change, replication = self._change, self._replication
        if message.term == replication.term and sender == replication.leader:
            self._wait()
            match message:
                case Append():
                    replication.append(sender, message)
                case Heartbeat():
                    replication.heartbeat(message)
                case Commit():
                    replication.commit(message)
        elif isinstance(message, Heartbeat) and sender != change.primary_of(message.term):
            self._context.outbox.fault(sender, LogFault.TWO_LEADERS, str(message.term))
        elif isinstance(message, Heartbeat) and self._status is not Status.RECOVERING and message.term >= change.view:
            # STARTVIEW
            if message.term > change.view:
                change.enter(message.term)
            self._status = Status.VIEW_CHANGE
            self._takeover.give_up()
            self._takeover.copy(sender, message)
            self._wait()

    def _answer(self, sender: int, message: Recovery) -> None:
        view, log = self._change.view, self._log
        answer = RecoveryResponse(0, view, message.nonce, log.last, log.last_term, self._replication.committed)
        self._context.outbox.send(sender, answer)

    def _handle_response(self, sender: int, message: RecoveryResponse) -> None:
        if self._status is not Status.RECOVERING or self._takeover.goal is not None:
            return
        newest = self._recovering.answered(sender, message)
        if newest is not None:
            primary = self._change.primary_of(newest.view)
            end = Heartbeat(0, newest.view, newest.last, newest.last_term, newest.committed)
            self._takeover.copy(primary, end)

    def _go_on(self) -> None:
        change, takeover = self._change, self._takeover
        if self._status is Status.VIEW_CHANGE and change.primary == self._context.me and takeover.goal is None:
            self._choose()
        if takeover.complete:
            self._begin()
        self._requests.propose()
        self._promise.keep(self._replication.committed)

    def _choose(self) -> None:
        """As the primary of a view that has not begun: take the best log out of a majority's."""
        best = self._change.best()
        if best is None:
            return
        node, offer = best
        if self._log.last < self._context.silent_through:
            # The runtime would keep its entries back.
            self._enter(self._change.view + 1)
        elif node == self._context.me:
            self._begin()
        else:
            end = Heartbeat(0, offer.view, offer.last, offer.last_term, offer.committed)
            self._takeover.copy(node, end)

    def _begin(self) -> None:
        """This node has the log with which its view begins."""
        if self._status is Status.RECOVERING:
            self._promise.enter(self._replication.term)
            self._promise.recover(self._context.silent_through)
        self._takeover.finish()
        self._change.failed = 0
        self._take_part()

    def _take_part(self) -> None:
        view, primary = self._change.view, self._change.primary
        self._status = Status.NORMAL
        if primary == self._context.me:
            self._replication.lead(view)
            self._requests.start_over()
            self._beat()
        else:
            self._replication.follow(primary, view)
            self._requests.start_over()
            self._replication.answer()
            self._wait()

    def _wait(self) -> None:
        self._context.timers.set(VIEW, self._timeout_s * (1 + self._change.failed))
