"""Whether the primary does its work: the timer runs while something waits to be executed (see `suspicion`)."""

from __future__ import annotations

from honeybadger.protocols.pbft.request_flow import RequestFlow
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.suspicion import Suspicion


class Watch:
    """See the module."""

    def __init__(self, state: State, suspicion: Suspicion, requests: RequestFlow) -> None:
        self._state = state
        self._suspicion = suspicion
        self._requests = requests

    def look(self) -> None:
        """Start the timer if something waits and it does not run; stop it if nothing waits.

        The primary watches its own proposals: when too few nodes are left to decide them, it may be the one whose
        VIEW-CHANGE is missing for the next view.
        """
        if not self._state.active:
            self._suspicion.stop()
            return
        watched = None if self._state.leads else self._requests.oldest
        if watched is None and not self._state.in_progress:
            self._suspicion.stop()
        elif not self._suspicion.running:
            self._suspicion.start(watched)

    def executed(self) -> None:
        """Something was: the timer starts again if what it was for is done."""
        if self._state.active:
            self._suspicion.progress()
        self.look_again()

    def look_again(self) -> None:
        """Stop the timer unless it runs for a transaction that still waits."""
        watched = self._suspicion.watched
        if watched is None or not self._requests.waits(watched):
            self._suspicion.stop()

    def expired(self) -> bool:
        """The timer has: True if the primary's time is up, False if it was half time.

        A node that is behind starts again: what it waits for may be executed long since, and it would only lose its
        vote in a view that works.
        """
        if self._state.behind:
            self._suspicion.stop()
            return False
        return self._state.active and self._suspicion.expired()
