"""The erasure code of every suite: any k shards suffice, one codeword for each value, malformed input refused."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto.erasure import ErasureCode
from crypto.errors import CryptoError, InvalidCodeword
from crypto.suite import Suite

SIZES = [1, 4, 5, 6, 7, 8, 9, 10, 16, 31]


def code_for(suite: Suite, nodes: int) -> ErasureCode:
    return suite.code(nodes - 2 * ((nodes - 1) // 3), nodes)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(SIZES), st.integers(0, 3000), st.integers(0, 1 << 30))
def test_any_shards_in_sufficient_number_give_the_value(
    suite: Suite, data: st.DataObject, nodes: int, length: int, seed: int
) -> None:
    code = code_for(suite, nodes)
    value = random.Random(seed).randbytes(length)
    shards = code.encode(value)
    assert len(shards) == nodes
    assert {len(shard) for shard in shards} == {code.shard_length(length)}
    chosen = data.draw(st.lists(st.integers(0, nodes - 1), min_size=code.data, unique=True))
    completed = code.complete({index: shards[index] for index in chosen})
    assert completed == shards and code.value(completed) == value
    assert all(completed[index] is shards[index] for index in chosen if index < code.data)


@pytest.mark.parametrize("nodes", SIZES)
def test_lengths_around_every_boundary(suite: Suite, nodes: int) -> None:
    code = code_for(suite, nodes)
    for length in {0, 1, 55, 56, 57, 64, *(code.data * 64 * k - 8 + d for k in (1, 2) for d in (-1, 0, 1))}:
        value = (bytes(range(1, 256)) * (length // 255 + 1))[:length]
        shards = code.encode(value)
        assert len(shards[0]) * code.data >= length + 8 > (len(shards[0]) - 64) * code.data
        last = dict(enumerate(shards[-code.data :], start=nodes - code.data))
        assert code.value(code.complete(last)) == value


def test_it_is_systematic_with_a_length_prefix(suite: Suite) -> None:
    shards = suite.code(2, 4).encode(b"value")
    assert shards[0] == (5).to_bytes(8, "big") + b"value" + bytes(64 - 13)
    assert shards[1] == bytes(64)


def test_shards_that_do_not_belong_together_show_up_in_the_completion(suite: Suite) -> None:
    """The caller compares roots: the completion must differ from what was committed."""
    code = suite.code(2, 4)
    shards = code.encode(b"a" * 200)
    forged = [*shards[:3], bytes([shards[3][0] ^ 1]) + shards[3][1:]]
    assert code.complete({0: forged[0], 1: forged[1], 3: forged[3]}) != forged
    assert code.complete({0: forged[0], 3: forged[3]}) != forged


def test_impossible_codes_are_refused(suite: Suite) -> None:
    for numbers in ((0, 4), (5, 4), (-1, 4), (1, 0), (86, suite.most_nodes + 1)):
        with pytest.raises(CryptoError, match=r"impossible|too many"):
            suite.code(*numbers)
    value = b"the largest code there is"
    code = suite.code(suite.most_nodes // 3, suite.most_nodes)
    shards = dict(enumerate(code.encode(value)[-code.data :], start=code.total - code.data))
    assert code.value(code.complete(shards)) == value


def test_malformed_shards_are_refused(suite: Suite) -> None:
    code = suite.code(2, 4)
    a, b, c, d = code.encode(b"v" * 300)
    for bad, why in [
        ({}, "too few"),
        ({0: a}, "too few"),
        ({3: d}, "too few"),
        ({0: a, 4: b}, "no shard"),
        ({0: a, -1: b}, "no shard"),
        ({0: a, 1: b, 7: c}, "no shard"),
        ({0: a, 1: b[:-64]}, "length"),
        ({0: a, 1: b, 2: c + c}, "length"),
        ({0: b"", 1: b""}, "bytes"),
        ({0: a[:-1], 1: b[:-1]}, "bytes"),
        ({0: a[:-2], 2: c[:-2]}, "bytes"),
    ]:
        with pytest.raises(InvalidCodeword, match=why):
            code.complete(bad)


def codeword(code: ErasureCode, content: bytes) -> list[bytes]:
    """The codeword with this content, prefix and padding included."""
    length = len(content) // code.data
    return code.complete({i: content[i * length : (i + 1) * length] for i in range(code.data)})


def test_codewords_that_no_encoder_makes_or_that_are_incomplete_are_refused(suite: Suite) -> None:
    code = suite.code(2, 4)
    prefix = (100).to_bytes(8, "big")
    good = prefix + b"v" * 100 + bytes(20)
    assert code.value(codeword(code, good)) == b"v" * 100
    for content, why in [
        (good[:-1] + b"\1", "padding"),
        (prefix + b"v" * 101 + bytes(19), "padding"),
        ((0).to_bytes(8, "big") + bytes(119) + b"\1", "padding"),
        ((0).to_bytes(8, "big") + b"\1" + bytes(119), "padding"),
        ((121).to_bytes(8, "big") + b"v" * 120, "prefix"),
        ((1 << 63).to_bytes(8, "big") + b"v" * 120, "prefix"),
        (b"\xff" * 128, "prefix"),
        (good + bytes(128), "prefix"),  # longer than necessary
        ((100).to_bytes(8, "little") + b"v" * 120, "prefix"),
    ]:
        with pytest.raises(InvalidCodeword, match=why):
            code.value(codeword(code, content))
    assert code.value(codeword(code, (120).to_bytes(8, "big") + b"v" * 120)) == b"v" * 120
    shards = code.encode(b"value")
    for bad in ([], shards[:3], [*shards, shards[0]], [shards[0], shards[1][:-1], *shards[2:]], [b""] * 4):
        with pytest.raises(InvalidCodeword):
            code.value(bad)
