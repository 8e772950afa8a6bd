"""Makes of a case that fails a smaller one that fails in the same way: delta debugging.

First what is simply less: fewer waves and transactions, no crash, a liar that says nothing. Then the order in which the
messages came is written down (`lateness`), and taken away piece by piece; and so are the messages of liars. A piece is
left out for good if the run still fails in the same way without it. What is left is a run in which nearly all messages
come in order of sending, and each that does not matters.

Source: Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input" (IEEE TSE 2002).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from honeybadger.adversary.corrupt import StrategyError
from honeybadger.simulation.schedulers import UnfairScheduler
from honeybadger.simulation.search.case import Case
from honeybadger.simulation.search.play import Outcome, play

T = TypeVar("T")
SILENT = "silent"


@dataclass(frozen=True)
class Shrunk:
    """The smaller case, how it ends, and whether all was tried in the time given."""

    case: Case
    outcome: Outcome
    tries: int
    finished: bool


class _OutOfTime(Exception):
    """Take what there is."""


def shrink(case: Case, outcome: Outcome, seconds: float, tell: Callable[[Case, Outcome], None] | None = None) -> Shrunk:
    """`outcome` is how `case` ends; `tell` is called with each smaller one. A try that has begun is finished."""
    return _Shrinking(case, outcome, time.monotonic() + seconds, tell).shrink()


class _Shrinking:
    def __init__(
        self, case: Case, outcome: Outcome, until: float, tell: Callable[[Case, Outcome], None] | None
    ) -> None:
        self._case, self._outcome, self._until = case, outcome, until
        self._tell = tell or (lambda case, outcome: None)
        self._tries = 0

    def shrink(self) -> Shrunk:
        finished = True
        try:
            if self._case.late is None:
                while any(map(self._still_fails, _less(self._case))):
                    pass
                self._write_down()
            if self._case.late is not None:
                self._shorten()
        except _OutOfTime:
            finished = False
        return Shrunk(self._case, self._outcome, self._tries, finished)

    def _write_down(self) -> None:
        """An order that changes its mind about what is under way may come out differently; then it stays as it is."""
        self._still_fails(replace(self._case, late=[(*link, late) for link, late in self._outcome.order.items()]))

    def _shorten(self) -> None:
        """What is left of one thing may be needed because of the other, so both come again until nothing changes."""
        before = None
        while before != (before := (len(self._case.late or ()), len(self._outcome.said))):
            while any(map(self._still_fails, _less(self._case))):
                pass
            fewest(self._outcome.said, self._says_only)
            # Of the messages that never came to be sent nothing needs to be known.
            late = [(*link, steps) for link, steps in self._outcome.order.items()]
            fewest(late, lambda late: self._still_fails(replace(self._case, late=late)))

    def _says_only(self, said: Sequence[tuple[int, int, int]]) -> bool:
        """Whether it still fails if liars say nothing else than this, of what they say now."""
        unsaid = sorted({*self._case.unsaid, *self._outcome.said} - set(said))
        return self._still_fails(replace(self._case, unsaid=unsaid))

    def _still_fails(self, case: Case) -> bool:
        """Whether this fails in the same way; then it is the case from now on."""
        if time.monotonic() > self._until:
            raise _OutOfTime
        self._tries += 1
        try:
            outcome = play(case)
        except (StrategyError, UnfairScheduler):
            # A person's own code may not stand every smaller case.
            return False
        if outcome.way != self._outcome.way:
            return False
        self._case, self._outcome = case, outcome
        self._tell(case, outcome)
        return True


def _less(case: Case) -> Iterator[Case]:
    """Simpler cases, the simplest first."""
    for waves in range(1, case.waves):
        yield replace(case, waves=waves)
    for transactions in range(1, case.transactions):
        yield replace(case, transactions=transactions)
    if len(case.outages) > 1:
        yield replace(case, outages=[])
    for number in range(len(case.outages)):
        yield replace(case, outages=[*case.outages[:number], *case.outages[number + 1 :]])
    for node, name in case.liars.items():
        if name != SILENT:
            yield replace(case, liars={**case.liars, node: SILENT})


def fewest(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Some of `items` for which `fails` still holds, as it does for all; none of them can be left out alone."""
    kept = list(items)
    if not kept or fails([]):
        return []
    size = max(1, len(kept) // 2)
    while True:
        before, start = len(kept), 0
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if rest and fails(rest):
                kept = rest
            else:
                start += size
        if size > 1:
            size //= 2
        elif len(kept) == before:
            return kept
