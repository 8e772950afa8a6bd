"""Vectorised comparisons of transactions are exact, whatever their fingerprints are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.ledger import AllEqual

from honeybadger.fingerprinted import Fingerprinted, equal_pairs
from honeybadger.transactions import U64, FingerprintKey, Transactions


class ByLength(FingerprintKey):
    """Transactions of one length share a fingerprint."""

    def multipliers(self, count: int) -> U64:
        return np.array([1 << 60, *[0] * (count - 1)], np.uint64)


KEYS = st.sampled_from([FingerprintKey(bytes(16)), AllEqual(), ByLength(bytes(16))])
FEW = st.sampled_from([b"", b"a", b"b", b"ab", b"ba", b"aba"])
LISTS = st.lists(FEW, max_size=20)


@given(LISTS, KEYS)
def test_first_equal(items: list[bytes], key: FingerprintKey) -> None:
    first = Fingerprinted.of(items, key).first_equal()
    expected = [items.index(item) for item in items]
    assert (expected if first is None else first.tolist()) == expected


@given(LISTS, LISTS, KEYS)
def test_among(items: list[bytes], others: list[bytes], key: FingerprintKey) -> None:
    found = Fingerprinted.of(items, key).among(Fingerprinted.of(others, key))
    assert found.tolist() == [item in others for item in items]


@given(LISTS, LISTS, st.data())
def test_equal_pairs(these: list[bytes], those: list[bytes], data: st.DataObject) -> None:
    places = st.tuples(st.integers(0, len(these) - 1), st.integers(0, len(those) - 1))
    pairs = data.draw(st.lists(places, max_size=20)) if these and those else []
    left, right = (np.array([pair[side] for pair in pairs], np.intp) for side in (0, 1))
    equal = equal_pairs(Transactions.of(these), left, Transactions.of(those), right)
    assert equal.tolist() == [these[a] == those[b] for a, b in pairs]


@given(LISTS, KEYS, st.data())
def test_take_keeps_the_fingerprints(items: list[bytes], key: FingerprintKey, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=20)) if items else []
    taken = Fingerprinted.of(items, key).take(np.array(places, np.intp))
    assert taken.transactions == [items[place] for place in places]
    assert (taken.fingerprints == Fingerprinted.of(taken.transactions, key).fingerprints).all()
    assert Fingerprinted.of(taken, key) is taken
