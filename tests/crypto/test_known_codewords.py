"""What is on the wire depends on the code, its numbers and the value only: known answers, by every way to compute them.

The digests were computed once by `evaluate` below, which knows nothing of logarithms, matrices or libraries.
"""

import hashlib
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import erasure, matrix_product
from crypto.erasure import ReedSolomon
from crypto.matrix_product import Multiplier, portable

linux = pytest.mark.skipif(sys.platform != "linux", reason="ISA-L need not be installed here: run the tests on Linux")

WAYS = dict([matrix_product.multiplier(), ("portable", portable)])

#: (data, total, length of the value): SHA-256 of all shards of the value `bytes(i * i % 251 for i in range(length))`
KNOWN = {
    (1, 1, 0): "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b",
    (2, 4, 0): "5341e6b2646979a70e57653007a1f310169421ec9bdd9f1a5648f75ade005af1",
    (2, 4, 1000): "20b5fdde33794b79076af5166e66ca0b321081b387e8837f25a6aef7a722f047",
    (2, 5, 120): "3cdcc1b32a3c6d58d0dfc36a00fe8a5f21af9d849a076a2bd66e20ac7229b8e8",
    (6, 16, 12345): "433daaf8ed26ebcecfbf63c3f0c6bb2b4d9de9b86749ffc4da36ca1492172d82",
    (22, 64, 5000): "90cad9b6b9af0d0df986721e25f5b42415a8ac88b49ecc492fcf7201a3c29aa6",
    (36, 104, 9999): "0b2fa425aeb4e12062b012f5578b00f62774ff47b9c019aae5aa3ba868ce8d23",
    (86, 256, 40000): "d876d516dca17f9d99aa15f82fc6e3e830571022cdd923a7341a0d2ea5a610e6",
}


def times(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def inverse(a: int) -> int:
    return next(b for b in range(256) if times(a, b) == 1)


def evaluate(known: dict[int, int], at: int) -> int:
    """The polynomial of least degree with p(x) = y for x, y in `known`, at another element (Lagrange)."""
    total = 0
    for x, y in known.items():
        for other in known:
            if other != x:
                y = times(times(y, at ^ other), inverse(x ^ other))
        total ^= y
    return total


def value_of(length: int) -> bytes:
    return bytes(i * i % 251 for i in range(length))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Multiplier:
    chosen: Multiplier = WAYS[request.param]
    monkeypatch.setattr(erasure, "multiplier", lambda: (request.param, chosen))
    erasure._product.cache_clear()
    request.addfinalizer(erasure._product.cache_clear)
    return chosen


@pytest.mark.parametrize("numbers", KNOWN, ids=str)
def test_codewords_are_the_known_ones(numbers: tuple[int, int, int], way: Multiplier) -> None:
    data, total, length = numbers
    code = ReedSolomon(data, total)
    shards = code.encode(value_of(length))
    assert hashlib.sha256(b"".join(shards)).hexdigest() == KNOWN[numbers]
    chosen = random.Random(total).sample(range(total), data)
    assert code.complete({index: shards[index] for index in chosen}) == shards


def test_a_shard_is_the_value_of_the_polynomial_at_its_index(way: Multiplier) -> None:
    shards = ReedSolomon(6, 16).encode(value_of(300))
    for byte in (0, 8, 63):
        known = {index: shards[index][byte] for index in range(6)}
        assert [evaluate(known, index) for index in range(6, 16)] == [shard[byte] for shard in shards[6:]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 100), st.randoms(use_true_random=False))
def test_all_ways_agree_on_any_matrix_and_length(rows: int, columns: int, length: int, rng: random.Random) -> None:
    matrix = np.frombuffer(rng.randbytes(rows * columns), np.uint8).reshape(rows, columns)
    vectors = [rng.randbytes(length) for _ in range(columns)]
    expected = [
        bytes(
            np.bitwise_xor.reduce([times(c, v[at]) for c, v in zip(row, vectors, strict=True)]) for at in range(length)
        )
        for row in matrix.tolist()
    ]
    for multiply in WAYS.values():
        assert multiply(matrix)(vectors) == expected


@linux
def test_a_library_that_is_not_there_is_not_isal_or_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert matrix_product.multiplier()[0] == "ISA-L"
    right = WAYS["ISA-L"]
    monkeypatch.setattr(matrix_product, "isal", lambda _: lambda matrix: right(matrix ^ np.uint8(1)))
    assert matrix_product.multiplier.__wrapped__()[0] == "portable"
    monkeypatch.undo()
    monkeypatch.setattr(matrix_product, "_libraries", lambda: ["/no/such/library", "libc.so.6"])
    assert matrix_product.multiplier.__wrapped__()[0] == "portable"


@linux
def test_the_library_never_reads_past_the_end() -> None:
    product = WAYS["ISA-L"](np.array([[1, 2]], np.uint8))
    for vectors in ([b"a"], [b"ab", b"a"], [b"a", b"ab"], [b"a"] * 3, [bytearray(b"a"), b"a"]):
        with pytest.raises(ValueError, match="2 vectors of the same length"):
            product(vectors)
