"""Bounds what messages with many signatures (VIEW-CHANGE, NEW-VIEW) may cost, sender by sender, and loses none of them.

Each signature that is verified for a sender is a debt, of which its share, `SIGNATURES_PER_TURN` / N, is paid off in
each turn. A sender that owes a share or more is not listened to: its newest message, that of the highest view, waits
until it owes less. For a correct sender a message of a higher view replaces the one before, so nothing that matters is
lost; its link only seems slow. f liars of N together cost less than a third of `SIGNATURES_PER_TURN` a turn in the
long run, beside the last message of each before it had to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from honeybadger.protocols.base import Timers
from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.messages import NewView, ViewChange

#: seconds
TURN_S = 1.0
#: of all senders together; one takes some 0.1 ms
SIGNATURES_PER_TURN = 2000
#: no debt lasts longer: of hundreds of nodes, a single NEW-VIEW may rest on that many signatures
MOST_TURNS = 30

M = TypeVar("M", ViewChange, NewView)


class Throttle(Generic[M]):
    """For one kind of message; `timer` ends its turns."""

    def __init__(self, group: Group, timers: Timers, timer: str) -> None:
        self._group = group
        self._timers = timers
        self._timer = timer
        self._share = max(1, SIGNATURES_PER_TURN // group.nodes)
        self._debts: dict[int, int] = {}
        self._waiting: dict[int, M] = {}

    def run(self, sender: int, message: M, check: Callable[[], str]) -> str | None:
        """The result of `check()`, at the sender's expense; None if the message has to wait."""
        if self._debts.get(sender, 0) >= self._share:
            known = self._waiting.get(sender)
            if known is None or message.view > known.view:
                self._waiting[sender] = message
            return None
        before = self._group.verified
        why = check()
        # One for the message itself, whatever is in it.
        debt = self._debts.get(sender, 0) + 1 + self._group.verified - before
        if not self._debts:
            self._timers.set(self._timer, TURN_S)
        self._debts[sender] = min(debt, MOST_TURNS * self._share)
        return why

    def next_turn(self) -> list[tuple[int, M]]:
        """A turn is over: the messages that have waited long enough, by sender."""
        self._debts = {sender: debt - self._share for sender, debt in self._debts.items() if debt > self._share}
        if self._debts:
            self._timers.set(self._timer, TURN_S)
        waiting = self._waiting.items()
        ready = [(sender, message) for sender, message in waiting if self._debts.get(sender, 0) < self._share]
        for sender, _ in ready:
            del self._waiting[sender]
        return ready
