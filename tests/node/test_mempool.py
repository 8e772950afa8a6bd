"""The mempool against a plain model, its limits, its random choice, and its sizes."""

import itertools
import random
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.transactions import U64, FingerprintKey, Index

TXS = st.lists(st.integers(0, 25).map(lambda i: b"t%d" % i), max_size=8)


def ask(number: int = 1) -> Request:
    return Request(b"client", number)


def lists(refused: Mapping[str, Index]) -> dict[str, list[int]]:
    return {reason: positions.tolist() for reason, positions in refused.items()}


def answered(tickets: list[tuple[Request, Index, Index]]) -> list[tuple[int, int]]:
    """(number of the request, position), of each transaction."""
    return [(request.number, int(position)) for request, positions, _ in tickets for position in positions]


def waiting(pool: Mempool) -> list[bytes]:
    return list(pool._held.transactions(pool._queue()))


class FewValues(FingerprintKey):
    def multipliers(self, count: int) -> U64:
        return np.array([1 << 62, *[0] * (count - 1)], np.uint64)


class AgainstAModel(RuleBasedStateMachine):
    """`waiting` and `reserved` as plain lists; every request that was not refused is answered exactly once."""

    key = FingerprintKey(bytes(16))

    def __init__(self) -> None:
        super().__init__()
        self.pool = Mempool(12, 30, 3, self.key)
        self.waiting: list[bytes] = []
        self.reserved: dict[int, list[bytes]] = {}
        self.asked: dict[bytes, list[tuple[int, int]]] = {}
        self.requests = 0
        self.next_select = 1
        self.next_commit = 1

    @property
    def held(self) -> list[bytes]:
        return self.waiting + [tx for part in self.reserved.values() for tx in part]

    @rule(transactions=TXS, odd=st.sampled_from([b"", b"long", None]), skip=st.sets(st.integers(0, 7), max_size=2))
    def add(self, transactions: list[bytes], odd: bytes | None, skip: set[int]) -> None:
        transactions = transactions if odd is None else [*transactions, odd]
        self.requests += 1
        expected: dict[str, list[int]] = {}
        for position, tx in enumerate(transactions):
            if position in skip:
                continue
            if not tx or len(tx) > 3:
                expected.setdefault("too long" if tx else "empty", []).append(position)
            elif tx in self.held:
                further = sum(map(len, self.asked.values())) - len(self.held)
                if len(self.asked[tx]) < 17 and further < 12:
                    self.asked[tx].append((self.requests, position))
                else:
                    expected.setdefault("full", []).append(position)
            elif len(self.held) >= 12 or sum(map(len, self.held)) + len(tx) > 30:
                expected.setdefault("full", []).append(position)
            else:
                self.waiting.append(tx)
                self.asked[tx] = [(self.requests, position)]
        marked = np.isin(np.arange(len(transactions)), list(skip))
        assert lists(self.pool.add(ask(self.requests), transactions, marked)) == expected

    @rule(first=st.integers(1, 12), count=st.integers(1, 5), room=st.integers(10, 40))
    def select(self, first: int, count: int, room: int) -> None:
        chosen = list(self.pool.select(self.next_select, first, count, room))
        assert len(chosen) <= count
        assert set(chosen) <= set(self.waiting[:first])
        assert len(encode_contribution(chosen)) <= room
        assert chosen == [tx for tx in self.waiting if tx in set(chosen)]
        self.waiting = [tx for tx in self.waiting if tx not in set(chosen)]
        self.reserved[self.next_select] = chosen
        self.next_select += 1

    @rule(mine=st.booleans(), others=TXS)
    def commit(self, mine: bool, others: list[bytes]) -> None:
        """What is committed may come more than once: from several proposers, or twice from a faulty one."""
        own = self.reserved.pop(self.next_commit, [])
        committed = (own if mine else []) + others
        before = {ticket: tx for tx, tickets in self.asked.items() for ticket in tickets}
        tickets = self.pool.commit(self.next_commit, committed)
        expected = [ticket for tx in set(committed) for ticket in self.asked.pop(tx, [])]
        assert sorted(answered(tickets)) == sorted(expected)
        for request, positions, where in tickets:
            named = [before[request.number, position] for position in positions]
            assert [committed[i] for i in where] == named
        for epoch in self.reserved:
            self.reserved[epoch] = [tx for tx in self.reserved[epoch] if tx not in committed]
        self.waiting = [tx for tx in own + self.waiting if tx not in committed]
        self.next_commit += 1
        self.next_select = max(self.next_select, self.next_commit)

    @invariant()
    def agrees(self) -> None:
        assert waiting(self.pool) == self.waiting
        assert len(self.pool) == len(self.held) <= 12
        assert self.pool.waiting == len(self.waiting)
        assert self.pool.held_bytes == sum(map(len, self.held)) <= 30
        also = self.pool._held.transactions(np.array(list(self.pool._also), np.intp))
        assert set(also) <= set(self.held)
        assert self.pool._held.kept_bytes <= min(30, 2 * self.pool.held_bytes)
        batches = self.pool._held._batches.values()
        assert self.pool._held.kept_bytes == sum(len(batch.transactions.data) for batch in batches)


class WithEqualFingerprints(AgainstAModel):
    """All fall on a few values, so that only bytes tell transactions apart."""

    key = FewValues(bytes(16))


AgainstAModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstAModel = AgainstAModel.TestCase
WithEqualFingerprints.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestWithEqualFingerprints = WithEqualFingerprints.TestCase


@pytest.mark.parametrize("lengths", [(40, 40), (1, 90)])
def test_rows_are_numbered_anew_and_long_requests_given_back(lengths: tuple[int, int]) -> None:
    """Many more transactions than rows pass through, in requests of which some never leave."""
    rng = random.Random(5)
    pool = Mempool(10**6, 10**9, 100)
    kept: list[bytes] = []
    for number in range(60):
        new = [rng.randbytes(rng.randint(*lengths)) + number.to_bytes(2, "big") for _ in range(200)]
        assert not pool.add(ask(number), new)
        chosen = pool.select(number, 200, 100, 10**6)
        stay = [tx for i, tx in enumerate(new) if i % 50 == 7]
        gone = [tx for tx in [*chosen, *new] if tx not in {*stay, *kept}]
        tickets = pool.commit(number, gone)
        assert sum(len(positions) for _, positions, _ in tickets) == len(set(gone))
        for request, positions, where in tickets:
            assert request.number <= number and len(positions) == len(where)
        kept += stay
        assert sorted(waiting(pool)) == sorted(kept) == sorted(pool.still_pending(kept))
        assert pool.held_bytes == sum(map(len, kept))
        assert pool._held.kept_bytes <= 2 * pool.held_bytes
    assert len(pool._held._alive) <= 2048, "rows are used again"
    assert lists(pool.add(ask(99), kept[:3])) == {}
    assert len(answered(pool.commit(99, kept))) == len(kept) + 3
    assert not pool._held._batches


@pytest.mark.parametrize("reserved", [True, False])
def test_a_transaction_that_two_proposers_contributed(reserved: bool) -> None:
    """It once raised KeyError in the middle of a commit and so stopped the node."""
    pool = Mempool(10, 100, 10)
    pool.add(ask(1), [b"a"])
    pool.add(ask(2), [b"a"])
    if reserved:
        pool.select(1, 10, 10, 100)
    tickets = pool.commit(1, [b"a", b"b", b"a"])
    assert answered(tickets) == [(1, 0), (2, 0)]
    assert (len(pool), pool.held_bytes) == (0, 0)


def test_full_is_answered_and_nothing_grows() -> None:
    pool = Mempool(5, 1000, 10)
    assert lists(pool.add(ask(), [b"%d" % i for i in range(8)])) == {"full": [5, 6, 7]}
    assert (len(pool), pool.held_bytes) == (5, 5)
    small = Mempool(1000, 10, 10)
    assert lists(small.add(ask(), [b"12345", b"abcdef", b"67890", b"x"])) == {"full": [1, 3]}
    assert small.held_bytes == 10
    for number in range(100):
        small.add(ask(number), [b"12345"])
    assert list(map(len, small._also.values())) == [16]
    # Sixteen more requests for each of a million transactions would be 1.5 GB.
    assert not pool.add(ask(2), [b"%d" % i for i in range(5)])
    assert lists(pool.add(ask(3), [b"%d" % i for i in range(5)])) == {"full": list(range(5))}
    assert len(answered(pool.commit(1, [b"0", b"1"]))) == 4
    assert lists(pool.add(ask(4), [b"2", b"3", b"4"])) == {"full": [2]}


def test_lost_proposals_return_to_the_head_in_order() -> None:
    pool = Mempool(100, 1000, 10)
    pool.add(ask(), [b"%d" % i for i in range(6)])
    assert pool.select(1, 2, 2, 1000) == [b"0", b"1"]
    assert pool.select(2, 2, 2, 1000) == [b"2", b"3"]
    pool.commit(1, [b"1"])
    assert waiting(pool) == [b"0", b"4", b"5"]
    pool.commit(2, [])
    assert waiting(pool) == [b"2", b"3", b"0", b"4", b"5"]


def test_the_choice_is_uniform() -> None:
    rng = random.Random(7)
    counts: Counter[bytes] = Counter()
    rounds, first, count = 2000, 40, 8
    transactions = [b"%d" % i for i in range(60)]
    for _ in range(rounds):
        pool = Mempool(100, 1000, 10)
        pool.add(ask(), transactions)
        chosen = pool.select(1, first, count, 1000, rng.randbytes)
        assert len(chosen) == count
        counts.update(chosen)
    assert set(counts) == set(transactions[:first])
    expected = rounds * count / first
    chi_square = sum((counts[tx] - expected) ** 2 / expected for tx in transactions[:first])
    assert chi_square < 73, "39 degrees of freedom, 0.1 %"


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 80), st.integers(316, 3000))
def test_a_proposal_never_exceeds_its_bytes(sizes: list[int], count: int, room: int) -> None:
    pool = Mempool(1000, 10**6, 300)
    pool.add(ask(), [i.to_bytes(2, "big") * (size // 2) + b"x" * (size % 2) for i, size in enumerate(sizes)])
    before = pool.waiting
    chosen = pool.select(1, 80, count, room)
    assert len(encode_contribution(chosen)) <= room
    assert bool(chosen) == bool(before), "one longest transaction always fits"


def test_what_was_reserved_last_is_not_taken_for_what_has_its_rows_now() -> None:
    pool = Mempool(10**6, 10**9, 100)
    number = itertools.count()

    def add(count: int) -> list[bytes]:
        new = [b"%d" % next(number) for _ in range(count)]
        assert not pool.add(ask(1), new)
        return new

    old, reserved = add(10), add(10)
    pool.reserve(-1, 10, 10**6)
    assert pool.reserve(-2, 10, 10**6) == reserved
    pool.forget(old)
    later = add(1020)
    assert len(pool._held._alive) > 1024, "the rows are numbered anew"
    # These have the rows that the reserved ones had.
    assert len(pool.forget(later[:10])[0][1]) == 10
    assert len(pool.forget(reserved)[0][1]) == 10
    # A row that is gone has no number, and no other row may seem to be it.
    alone = add(1)
    pool.reserve(-3, 10**4, 10**6)
    pool.release(-3)
    pool.forget(later)
    assert pool.reserve(-4, 1, 10**6) == alone
    pool.forget(alone)
    newest = add(4000)[-1:]
    add(16000)
    assert len(pool._held._alive) > 16384, "twice numbered anew"
    assert len(pool.forget(newest)) == 1
