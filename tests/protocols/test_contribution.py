"""Scenario 20, at the parser: one encoding for each batch, everything else is nothing."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.byzantine.attacks import PLAINTEXTS
from support.work import no_more_lines_than

from honeybadger.protocols.honey_badger.contribution import decode_contribution, encode_contribution
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

PARAMETERS = HoneyBadgerParameters(batch_size=16, max_tx_bytes=2000, max_proposal_bytes=8100)
transactions = st.lists(st.binary(min_size=1, max_size=300), max_size=4)


@given(transactions)
def test_round_trip(batch):
    assert decode_contribution(encode_contribution(batch), PARAMETERS, 4) == batch


@pytest.mark.parametrize("kind", PLAINTEXTS)
def test_malformed(kind):
    """Refused, without allocating or counting up to what a length field claims."""
    tracemalloc.start()
    try:
        with no_more_lines_than(100):
            assert decode_contribution(PLAINTEXTS[kind], PARAMETERS, 4) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(transactions, st.binary(min_size=1, max_size=3))
def test_trailing_bytes(batch, tail):
    assert decode_contribution(encode_contribution(batch) + tail, PARAMETERS, 4) is None


@given(st.binary(max_size=60) | transactions.map(encode_contribution))
def test_whatever_parses_is_canonical_and_within_limits(data):
    batch = decode_contribution(data, PARAMETERS, 4)
    if batch is not None:
        assert encode_contribution(batch) == data
        assert len(batch) <= 4
        assert all(isinstance(tx, bytes) and 0 < len(tx) <= 2000 for tx in batch)


def test_limits_are_exact():
    """The last acceptable value passes, the next one does not."""
    for good, bad in (
        ([b"x" * 2000], [b"x" * 2001]),
        ([b"x"] * 4, [b"x"] * 5),
        ([b"x" * 2000] * 4, [b"x" * 2000] * 4 + [b"y" * 2000]),
    ):
        assert decode_contribution(encode_contribution(good), PARAMETERS, 4) == good
        assert decode_contribution(encode_contribution(bad), PARAMETERS, 4) is None
    short = msgspec.structs.replace(PARAMETERS, max_proposal_bytes=2016)
    assert decode_contribution(encode_contribution([b"x" * 2000]), short, 4) is not None
    assert decode_contribution(encode_contribution([b"x" * 2000, b"y" * 20]), short, 4) is None
