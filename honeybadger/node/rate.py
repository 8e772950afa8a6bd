"""What one peer may cost this node per second."""

import time
from collections.abc import Callable


class PerSecond:
    """A budget of `limit` units a second for each peer."""

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._spent: dict[int, tuple[float, int]] = {}

    def take(self, peer: int, amount: int = 1) -> bool:
        """Spend `amount`; False, and nothing is spent, if the peer has used up its second."""
        now = self._now()
        since, spent = self._spent.get(peer, (now, 0))
        if now - since > 1.0:
            since, spent = now, 0
        if spent >= self._limit:
            return False
        self._spent[peer] = (since, spent + amount)
        return True
