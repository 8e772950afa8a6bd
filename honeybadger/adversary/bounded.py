"""Memory and rates that stay bounded however long an attack runs."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """A mapping of at most `limit` keys that forgets the one that was set first."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._items: dict[Key, Value] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __setitem__(self, key: Key, value: Value) -> None:
        self._items[key] = value
        if len(self._items) > self._limit:
            del self._items[next(iter(self._items))]

    def get(self, key: Key) -> Value | None:
        """The value, or None."""
        return self._items.get(key)


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
