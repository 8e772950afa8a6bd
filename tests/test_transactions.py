"""Columns of transactions behave as the list of byte strings that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.transactions import EMPTY, FingerprintKey, Transactions, place_of

KEY = FingerprintKey(bytes(range(16)))
LISTS = st.lists(st.binary(max_size=40), max_size=12)
UNIFORM = st.integers(0, 20).flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n), max_size=12))


@given(LISTS | UNIFORM)
def test_it_is_the_list(items):
    columns = Transactions.of(items)
    assert list(columns) == items and len(columns) == len(items)
    assert [columns[i] for i in range(len(items))] == items
    assert [columns[i - len(items)] for i in range(len(items))] == items
    assert columns.lengths.tolist() == list(map(len, items))
    assert Transactions.of(columns) is columns
    with pytest.raises(IndexError):
        columns[len(items)]


@given(LISTS | UNIFORM)
def test_an_encoding_is_read_back(items):
    encoded = Transactions.of(items).encode()
    decoded = Transactions.decode(encoded)
    assert decoded == Transactions.of(items) and decoded.encode() == encoded
    assert len(encoded) == decoded.encoded_bytes


@given(LISTS, st.binary(max_size=30), st.integers(0, 60))
def test_another_encoding_is_refused(items, junk, cut):
    encoded = Transactions.of(items).encode()
    for other in (encoded[:cut], encoded + junk, junk):
        try:
            decoded = Transactions.decode(other)
        except ValueError:
            continue
        assert decoded.encode() == other


@given(st.lists(LISTS, max_size=4))
def test_concat(parts):
    joined = Transactions.concat([Transactions.of(part) for part in parts])
    assert list(joined) == [item for part in parts for item in part]


@given(LISTS | UNIFORM, st.data())
def test_take_and_slices(items, data):
    columns = Transactions.of(items)
    indices = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=12)) if items else []
    assert list(columns.take(np.array(indices, np.intp))) == [items[i] for i in indices]
    part = data.draw(st.slices(len(items)))
    assert list(columns[part]) == items[part]
    assert list(columns[part].take(np.arange(len(columns[part])))) == items[part]


@given(st.lists(LISTS | UNIFORM, max_size=4), st.data())
def test_gathered_from_several(parts, data):
    places = [data.draw(st.lists(st.integers(0, len(part) - 1), max_size=5)) if part else [] for part in parts]
    columns = [(Transactions.of(part), np.array(at, np.intp)) for part, at in zip(parts, places, strict=True)]
    gathered = Transactions.gathered(columns)
    assert list(gathered) == [part[i] for part, at in zip(parts, places, strict=True) for i in at]
    assert Transactions.decode(gathered.encode()) == gathered
    assert gathered.fingerprints(KEY).tolist() == Transactions.of(list(gathered)).fingerprints(KEY).tolist()


@given(LISTS | UNIFORM)
def test_fingerprints_depend_on_the_transaction_alone(items):
    together = Transactions.of(items).fingerprints(KEY).tolist()
    alone = [int(Transactions.of([item]).fingerprints(KEY)[0]) for item in items]
    assert together == alone
    assert len(set(together)) == len(set(items))


@given(st.binary(min_size=1, max_size=30), st.integers(0, 239))
def test_one_bit_changes_a_fingerprint(item, bit):
    changed = bytearray(item)
    changed[bit // 8 % len(item)] ^= 1 << bit % 8
    first, second, longer = Transactions.of([item, bytes(changed), item + b"\0"]).fingerprints(KEY).tolist()
    assert first >> 32 != second >> 32 and first >> 32 != longer >> 32


def test_another_secret_gives_other_fingerprints():
    columns = Transactions.of([b"a", b"bcdef"])
    assert not set(columns.fingerprints(KEY).tolist()) & set(columns.fingerprints(FingerprintKey(bytes(16))).tolist())
    with pytest.raises(ValueError, match="16 bytes"):
        FingerprintKey(b"short")


def test_empty():
    assert Transactions.of([]) == EMPTY and Transactions.decode(bytes(4)) == EMPTY
    assert Transactions.concat([]) == EMPTY
    assert len(EMPTY.fingerprints(KEY)) == 0


@given(LISTS | UNIFORM)
def test_each_place_is_where_the_transaction_stands(items):
    encoded = Transactions.of(items).encode()
    assert [encoded[place_of(encoded, position)] for position in range(len(items))] == items


def test_ends_that_descend_are_refused():
    ends = np.array([3, 2, 5], "<u4").tobytes()
    with pytest.raises(ValueError, match="ends"):
        Transactions.decode((3).to_bytes(4, "little") + ends + bytes(5))


@given(LISTS | UNIFORM, st.integers(0, 5), st.integers(0, 41))
def test_within(items, shortest, longest):
    assert Transactions.of(items).within(shortest, longest) == all(shortest <= len(item) <= longest for item in items)


@given(st.lists(LISTS, min_size=2, max_size=4))
def test_what_is_concatenated_is_encoded_already(parts):
    joined = Transactions.concat([Transactions.of(part) for part in parts])
    assert joined.encode() is joined.encode()
    assert joined.encode() == Transactions.of([item for part in parts for item in part]).encode()
