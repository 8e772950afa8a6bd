"""When a node asks for shards: which looks ask whom, and when they end."""

from types import SimpleNamespace
from typing import Any

from honeybadger.protocols.honey_badger.shards_wanted import ASK, ASK_MORE, LOOK, LOOK_S, ShardsWanted
from honeybadger.protocols.quorums import Quorums

Q = Quorums(7, 2)


class Bench:
    """A clock that the test moves, and what was set on it."""

    def __init__(self) -> None:
        self.due: list[tuple[str, float]] = []
        self.wanted = ShardsWanted(Q, self)  # type: ignore[arg-type]

    def set(self, name: str, delay_s: float) -> None:
        self.due.append((name, delay_s))

    def lacking(self) -> Any:
        """A broadcast that lacks shards; `asked` is with how many to spare."""
        asked: list[int] = []

        class Lacking(SimpleNamespace):
            __hash__ = object.__hash__

        broadcast = Lacking(lacks_shards=True, asked=asked, ask=asked.append)
        self.wanted.add(broadcast)
        return broadcast

    def look(self) -> None:
        """The timer expires, if it was set."""
        assert self.due.pop() == (LOOK, LOOK_S)
        assert not self.due, "one timer for all"
        self.wanted.look()


def test_the_first_look_asks_nobody_and_the_last_one_asks_f_more() -> None:
    bench = Bench()
    broadcast = bench.lacking()
    for look in range(1, ASK_MORE + 1):
        bench.look()
        expected = [0] * (look - ASK + 1) if look < ASK_MORE else [0] * (ASK_MORE - ASK) + [Q.faults]
        assert broadcast.asked == expected
    assert not bench.due, "nothing more can be done before somebody votes"


def test_after_the_last_look_each_vote_is_asked_at_once() -> None:
    bench = Bench()
    broadcast = bench.lacking()
    for _ in range(ASK_MORE):
        bench.look()
    before = len(broadcast.asked)
    bench.wanted.add(broadcast)
    assert broadcast.asked[before:] == [Q.faults] and not bench.due


def test_between_looks_a_vote_changes_nothing() -> None:
    bench = Bench()
    broadcast = bench.lacking()
    bench.look()
    bench.wanted.add(broadcast)
    assert not broadcast.asked
    bench.look()
    assert broadcast.asked == [0]


def test_each_broadcast_has_looks_of_its_own() -> None:
    bench = Bench()
    one = bench.lacking()
    bench.look()
    other = bench.lacking()
    bench.look()
    assert (one.asked, other.asked) == ([0], [])


def test_looks_end_when_nothing_is_lacking_and_begin_again() -> None:
    bench = Bench()
    for end in ("delivered", "forgotten"):
        broadcast = bench.lacking()
        bench.look()
        if end == "delivered":
            broadcast.lacks_shards = False
        else:
            bench.wanted.forget([broadcast])
        bench.look()
        assert not bench.due and not broadcast.asked
