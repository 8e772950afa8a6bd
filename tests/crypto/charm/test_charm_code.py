"""zfec's codewords: known answers; and any shards suffice.

The digests were computed once by `evaluate` below, which knows nothing of matrices or libraries.
"""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import charm as _installed  # noqa: F401

from crypto.charm.code import Zfec
from crypto.errors import CryptoError, InvalidCodeword

#: (data, total, length of the value): SHA-256 of all shards of the value `bytes(i * i % 251 for i in range(length))`
KNOWN = {
    (1, 1, 0): "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b",
    (2, 4, 0): "5341e6b2646979a70e57653007a1f310169421ec9bdd9f1a5648f75ade005af1",
    (2, 4, 1000): "15bb47dcddd11b27977b02a127e4f47735f037cdea0ce0af73218f6a2fb1b898",
    (2, 5, 120): "03adc8c5f1bcabcb6410d417d1143ebab7745477515cfe61cf6db442ef5f6bdd",
    (6, 16, 12345): "6a69510ad29925982eba490760ee193b6a8b637a03569501bb608fd13c5a028d",
    (22, 64, 5000): "5716188ceedd1fa6b6def7154dec538eea525acc72b9c689d5fd83dfd5c6e8ee",
    (85, 255, 40000): "130831883c97de13b283c845189152552f468b0019377d2b7f3292fc42965d8b",
}


def times(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


INVERSE = {a: b for a in range(1, 256) for b in range(1, 256) if times(a, b) == 1}
#: where Rizzo evaluates the polynomial: 0, then the powers of 2
AT = [0, 1]
while len(AT) < 256:
    AT.append(times(AT[-1], 2))


def evaluate(known: dict[int, int], at: int) -> int:
    """The polynomial of least degree with p(x) = y for x, y in `known`, at another element (Lagrange)."""
    total = 0
    for x, y in known.items():
        for other in known:
            if other != x:
                y = times(times(y, at ^ other), INVERSE[x ^ other])
        total ^= y
    return total


def value_of(length: int) -> bytes:
    return bytes(i * i % 251 for i in range(length))


@pytest.mark.parametrize("numbers", KNOWN)
def test_known_codewords(numbers) -> None:
    data, total, length = numbers
    shards = Zfec(data, total).encode(value_of(length))
    assert hashlib.sha256(b"".join(shards)).hexdigest() == KNOWN[numbers]


@pytest.mark.parametrize("data,total", [(1, 3), (2, 4), (3, 7), (6, 16), (11, 31)])
def test_a_codeword_is_a_polynomial(data: int, total: int) -> None:
    shards = Zfec(data, total).encode(value_of(100))
    for column in (0, 7, 8, 21, 63):
        known = {AT[index]: shards[index][column] for index in range(data)}
        for index in range(data, total):
            assert shards[index][column] == evaluate(known, AT[index])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shards_restore_it(draw) -> None:
    total = draw.draw(st.integers(1, 40))
    data = draw.draw(st.integers(1, total))
    value = draw.draw(st.binary(max_size=3000))
    code = Zfec(data, total)
    shards = code.encode(value)
    kept = draw.draw(st.permutations(range(total)))[: draw.draw(st.integers(data, total))]
    assert code.complete({index: shards[index] for index in kept}) == shards
    assert code.value(shards) == value


def test_a_wrong_shard_shows() -> None:
    """Nothing is corrected: what comes out is the codeword through the given shards, which is another one."""
    code = Zfec(2, 4)
    shards = code.encode(value_of(300))
    wrong = bytes([shards[2][0] ^ 1]) + shards[2][1:]
    assert code.complete({1: shards[1], 2: wrong}) not in (shards, code.complete({1: shards[1], 3: shards[3]}))


def test_the_largest() -> None:
    code = Zfec(85, 255)
    value = random.Random(1).randbytes(20_000)
    shards = code.encode(value)
    kept = random.Random(2).sample(range(255), 85)
    assert code.complete({index: shards[index] for index in kept}) == shards
    with pytest.raises(CryptoError, match="255"):
        Zfec(86, 256)


def test_bad_shards_are_refused() -> None:
    code = Zfec(2, 4)
    shards = code.encode(value_of(300))
    for wrong in (
        {0: shards[0]},
        {0: shards[0], 4: shards[1]},
        {0: shards[0], -1: shards[1]},
        {0: shards[0], 1: shards[1][:-1]},
        {0: b"", 1: b""},
        {0: shards[0][:63], 1: shards[1][:63]},
    ):
        with pytest.raises(InvalidCodeword):
            code.complete(wrong)
