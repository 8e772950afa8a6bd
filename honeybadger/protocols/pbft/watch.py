"""When a backup stops trusting the primary: the timers of a view, and their back-off.

A timer runs while something waits to be executed. It is for ONE transaction, the oldest that this node watches, and
starts again when that one is executed: a primary that orders everything else must not get away with it. At half time
the transaction is relayed to all nodes, so that they watch it too and one node's clients are enough to depose a dead
primary. Each view that ends without any progress doubles the patience; progress resets it.
"""

from honeybadger.protocols.pbft.parameters import PBFTParameters
from honeybadger.protocols.pbft.requests import Requests
from honeybadger.protocols.pbft.state import State

#: names of timers
REQUEST = "request"
NEW_VIEW = "new-view"
RESEND = "resend"
#: the patience is doubled at most this often: 3 s become 3.4 hours
MOST_DOUBLINGS = 12
#: reminders of a view change are never further apart, in first patiences
LONGEST_RESEND = 8


class Watch:
    """Whether the primary of this view does its work, and that of the next one begins it."""

    def __init__(self, state: State, requests: Requests) -> None:
        self._state = state
        self._requests = requests
        self._timers = state.context.timers
        #: patience with the first primary, seconds
        self._base_s = PBFTParameters.of(state.parameters).view_timeout_s
        #: views in a row that ended without progress
        self._failures = 0
        #: whether anything was executed in this view; True at first, so that leaving view 0 doubles nothing
        self._progressed = True
        #: whether the REQUEST timer runs, for which transaction (None: any progress will do), and its second half
        self.running = False
        self._watched: bytes | None = None
        self._half_time = False

    @property
    def patience_s(self) -> float:
        return self._base_s * 2.0 ** min(self._failures, MOST_DOUBLINGS)

    # -- while a view lasts --------------------------------------------------------------------------------

    def look(self) -> None:
        """Start the timer if something waits and it does not run; stop it if nothing waits.

        The primary watches its own proposals: when too few nodes are left to decide them, it may be the one whose
        VIEW-CHANGE is missing for the next view.
        """
        if not self._state.active:
            self.stop()
            return
        watched = None if self._state.leads else self._requests.oldest
        if watched is None and not self._state.in_progress:
            self.stop()
        elif not self.running:
            self.running = True
            self._half_time = False
            self._watched = watched
            self._timers.set(REQUEST, self.patience_s / 2)

    def executed(self) -> None:
        """Something was: the timer starts again if what it was for is done."""
        if self._state.active:
            self._progressed = True
            self._failures = 0
        self.look_again()

    def look_again(self) -> None:
        """Stop the timer unless it runs for a transaction that still waits."""
        if self._watched is None or not self._requests.waits(self._watched):
            self.stop()

    def expired(self) -> bool:
        """The timer has: True if the primary's time is up, False if it was half time.

        A node that is behind starts again: what it waits for may be executed long since, and it would only lose its
        vote in a view that works.
        """
        if self._state.behind:
            self.stop()
        elif self._state.active:
            if self._half_time:
                self.running = False
                return True
            self._half_time = True
            self._timers.set(REQUEST, self.patience_s / 2)
        return False

    def stop(self) -> None:
        if self.running:
            self.running = False
            self._watched = None
            self._timers.cancel(REQUEST)

    # -- between views -------------------------------------------------------------------------------------

    def leave(self) -> None:
        """The view ends; the wait for the next one has not begun, it does when N-f nodes want it (`expect`)."""
        self.stop()
        self._timers.cancel(NEW_VIEW)
        if not self._progressed:
            self._failures += 1
        self._progressed = False
        self.resend_later()

    def expect(self) -> None:
        """N-f nodes want the view: its primary has this long to begin it."""
        self._timers.set(NEW_VIEW, self.patience_s)

    def resend_later(self) -> None:
        """Remind the others once more after a while, the less often the longer they have to wait."""
        self._timers.set(RESEND, min(self.patience_s, LONGEST_RESEND * self._base_s))

    def entered(self) -> None:
        self.stop()
        self._timers.cancel(NEW_VIEW)
        self._timers.cancel(RESEND)
