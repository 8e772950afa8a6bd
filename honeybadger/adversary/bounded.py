"""Memory and rates that stay bounded however long an attack runs."""

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(dict[Key, Value]):
    """A mapping of at most `limit` keys that forgets the one that was set first."""

    def __init__(self, limit: int = 64) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > self._limit:
            del self[next(iter(self))]

    def once(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made now if there is none."""
        if key not in self:
            self[key] = make()
        return self[key]


class Allowance:
    """How many messages may be sent now: `per_second` of them, and never more than `at_once` in one go."""

    def __init__(self, per_second: float, at_once: int) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._earned = 0.0
        self._since: float | None = None

    def take(self, now: float) -> int:
        """What may be sent at `now` (seconds); it counts as sent."""
        if self._since is not None:
            self._earned = min(self._at_once, self._earned + (now - self._since) * self._per_second)
        self._since = now
        whole = int(self._earned)
        self._earned -= whole
        return whole
