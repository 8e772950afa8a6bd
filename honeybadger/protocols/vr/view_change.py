"""How a view begins. Its primary takes the log of the highest (last normal view, length) of a majority.

A node that gives up on the primary enters the next view and says so to all (STARTVIEWCHANGE); who hears of a higher
view enters it. A node that knows a majority to be in its view offers its log to the new primary (DOVIEWCHANGE), and
the primary chooses one out of a majority's. So what a majority had in an earlier view is in the log that it begins
with: one of those who offer theirs had it, and took part in no later view without it.

Source: Liskov, Cowling, "Viewstamped Replication Revisited" (MIT-CSAIL-TR-2012-021), section 4.2.
"""

from honeybadger.protocols.context import Context
from honeybadger.protocols.replicated_log.log import Log
from honeybadger.protocols.replicated_log.promise import Promise
from honeybadger.protocols.vr.messages import DoViewChange, StartViewChange


class ViewChange:
    """One node's view, and who wants to begin it. `view` 0 is none: the first is 1."""

    def __init__(self, context: Context, log: Log, promise: Promise) -> None:
        self._context = context
        self._log = log
        self._promise = promise
        #: who is known to have entered the present view, this node left out
        self._entered: set[int] = set()
        #: at its primary: the logs that others offer
        self._offers: dict[int, DoViewChange] = {}
        self._offered = False
        #: views in a row that a majority entered and that did not begin
        self.failed = 0

    @property
    def view(self) -> int:
        return self._promise.term

    @property
    def primary(self) -> int:
        return self.primary_of(self.view)

    def primary_of(self, view: int) -> int:
        return view % self._context.quorums.nodes

    def enter(self, view: int) -> None:
        """Take part in no earlier view from now on."""
        self._promise.enter(view)
        self._entered.clear()
        self._offers.clear()
        self._offered = False

    def announce(self) -> None:
        """Say that this node wants the present view to begin."""
        self._context.outbox.broadcast(StartViewChange(0, self.view))

    @property
    def wanted(self) -> bool:
        """Whether a majority has entered the present view."""
        return len(self._entered) + 1 >= self._context.quorums.quorum

    def entered(self, sender: int) -> None:
        """Another node has entered the present view. Once a majority has, offer this node's log."""
        self._entered.add(sender)
        if self.wanted and not self._offered and self.primary != self._context.me:
            self._offered = True
            self._context.outbox.send(self.primary, self._own())

    def offered(self, sender: int, message: DoViewChange) -> None:
        self._offers[sender] = message

    def best(self) -> tuple[int, DoViewChange] | None:
        """At the primary: who has the log to begin the view with, once a majority's are known."""
        offers = {**self._offers, self._context.me: self._own()}
        if len(offers) < self._context.quorums.quorum:
            return None
        return max(offers.items(), key=lambda item: (item[1].normal_view, item[1].last, item[0] == self._context.me))

    def _own(self) -> DoViewChange:
        log = self._log
        return DoViewChange(0, self.view, self._promise.followed, log.last, log.last_term, log.base)
