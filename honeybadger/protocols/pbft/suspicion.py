"""When a backup stops trusting the primary: timers, their back-off, and what they watch.

A timer runs while something waits to be executed. It is for ONE transaction, the oldest that this node watches, and
starts again when that one is executed: a primary that orders everything else must not get away with it. At half time
the transaction is relayed to all nodes, so that they watch it too and one node's clients are enough to depose a dead
primary. Each view that ends without any progress doubles the patience; progress resets it.
"""

from __future__ import annotations

from honeybadger.protocols.base import Timers

REQUEST = "request"
NEW_VIEW = "new-view"
RESEND = "resend"
FETCH = "fetch"
TIDY = "tidy"
VIEW_CHANGES = "view-changes"
NEW_VIEWS = "new-views"
PROMISE = "promise"
#: the patience is doubled so often, at the most
MOST_DOUBLINGS = 12
#: reminders of a view change are never further apart, in first patiences
LONGEST_RESEND = 8


class Suspicion:
    """See the module. `base_s`: patience with the first primary, seconds."""

    def __init__(self, timers: Timers, base_s: float) -> None:
        self._timers = timers
        self._base_s = base_s
        self.failures = 0
        self._progressed = True
        self.running = False
        #: what the running timer is for; None: any progress will do
        self.watched: bytes | None = None
        self._half_time = False

    @property
    def patience_s(self) -> float:
        """How long to wait now."""
        return self._base_s * 2.0 ** min(self.failures, MOST_DOUBLINGS)

    def start(self, watched: bytes | None) -> None:
        """Begin to wait."""
        self.running = True
        self._half_time = False
        self.watched = watched
        self._timers.set(REQUEST, self.patience_s / 2)

    def stop(self) -> None:
        """Nothing to wait for."""
        if self.running:
            self.running = False
            self.watched = None
            self._timers.cancel(REQUEST)

    def expired(self) -> bool:
        """The timer expired: True if that was the end, False if it was half time."""
        if self._half_time:
            self.running = False
            return True
        self._half_time = True
        self._timers.set(REQUEST, self.patience_s / 2)
        return False

    def progress(self) -> None:
        """Something was executed in the present view."""
        self._progressed = True
        self.failures = 0

    def leave(self) -> None:
        """The view ends; the wait for the next one has not begun, it does when N-f nodes want it (`expect`)."""
        self.stop()
        self._timers.cancel(NEW_VIEW)
        if not self._progressed:
            self.failures += 1
        self._progressed = False
        self.resend_later()

    def expect(self) -> None:
        """N-f nodes want the view: its primary has this long to begin it."""
        self._timers.set(NEW_VIEW, self.patience_s)

    def resend_later(self) -> None:
        """Remind the others once more after a while, the less often the longer they have to wait."""
        self._timers.set(RESEND, min(self.patience_s, LONGEST_RESEND * self._base_s))

    def entered(self) -> None:
        """The view has begun."""
        self.stop()
        self._timers.cancel(NEW_VIEW)
        self._timers.cancel(RESEND)
