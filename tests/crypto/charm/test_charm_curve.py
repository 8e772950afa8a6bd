"""Charm's curves: laws, known answers by another library, every refusal, and what is hashed to the group how."""

import hashlib
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from support import charm as _installed  # noqa: F401

from crypto.charm.curve import CURVES
from crypto.errors import CryptoError, InvalidPoint

THEIRS = {"prime256v1": ec.SECP256R1(), "secp256k1": ec.SECP256K1()}
#: p, a, b of y² = x³ + a x + b (SEC 2, version 2.0, sections 2.4.2 and 2.4.1)
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
EQUATIONS = {
    "prime256v1": (P256, -3, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B),
    "secp256k1": (2**256 - 2**32 - 977, 0, 7),
}
ORDERS = {
    "prime256v1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp256k1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
DST = b"a tag for the tests"
scalars = st.one_of(st.integers(-(2**260), 2**260), st.integers(-3, 3), st.integers(-(2**70), 2**70))
few = settings(max_examples=25, deadline=None)


@pytest.fixture(params=sorted(CURVES))
def name(request) -> str:
    return request.param


@pytest.fixture
def curve(name):
    return CURVES[name]


def theirs(name: str, scalar: int) -> bytes:
    key = ec.derive_private_key(scalar, THEIRS[name])
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def lift(name: str, x: int) -> int | None:
    """The odd y of the point at x, by plain integers."""
    p, a, b = EQUATIONS[name]
    square = (x**3 + a * x + b) % p
    y = pow(square, (p + 1) // 4, p)
    if x >= p or y * y % p != square:
        return None
    return y if y & 1 else p - y


def hashed(name: str, message: bytes, dst: bytes) -> bytes:
    """The hash to the group from the docstring alone."""
    inner = hashlib.sha256(bytes([len(dst)]) + dst + message).digest()
    x = int.from_bytes(hashlib.sha256(b"\x00\x0b" + inner).digest(), "big") % ORDERS[name]
    while not x or lift(name, x) is None:
        x += 1
    return b"\x03" + x.to_bytes(32, "big")


def test_it_is_the_curve_it_says(name, curve) -> None:
    assert curve.order == ORDERS[name]
    assert curve.encode(curve.generator) == theirs(name, 1)
    assert curve.multiply(curve.generator, curve.order) == curve.identity
    assert curve.encode(curve.identity) == bytes(33)


@pytest.mark.parametrize("name_", sorted(CURVES))
@few
@given(a=scalars, b=scalars, c=scalars)
def test_group_laws(name_, a, b, c) -> None:
    g = CURVES[name_]
    points = p, q, r = [g.multiply(g.generator, scalar) for scalar in (a, b, c)]
    assert g.add(p, q) == g.add(q, p) == g.multiply(g.generator, a + b)
    assert g.add(g.add(p, q), r) == g.add(p, g.add(q, r))
    assert g.add(p, g.identity) == p
    assert g.add(p, g.negate(p)) == g.identity
    assert g.negate(p) == g.multiply(p, -1)
    assert g.multiply(p, b) == g.multiply(q, a) == g.multiply(g.generator, a * b)
    assert g.combine((b, c, a), points) == g.multiply(g.generator, a * b + b * c + c * a)
    assert g.sum(points) == g.combine((1, 1, 1), points)
    assert g.combine((), ()) == g.identity


@pytest.mark.parametrize("name_", sorted(CURVES))
@few
@given(k=st.integers(1, 2**255), m=st.integers(1, 2**255))
def test_multiples_agree_with_another_library(name_, k, m) -> None:
    g = CURVES[name_]
    point = g.multiply(g.generator, k)
    assert g.encode(point) == theirs(name_, k)
    assert g.decode(theirs(name_, k)) == point
    shared = ec.derive_private_key(m, THEIRS[name_]).exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(THEIRS[name_], g.encode(point))
    )
    assert g.encode(g.multiply(point, m))[1:] == shared


@pytest.mark.parametrize("name_", sorted(CURVES))
@few
@given(encoded=st.one_of(st.binary(min_size=33, max_size=33), st.binary(min_size=32, max_size=32).map(b"\x02".__add__)))
def test_decoding_agrees_with_another_library(name_, encoded) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(THEIRS[name_], encoded)
    except ValueError:
        with pytest.raises(InvalidPoint):
            CURVES[name_].decode(encoded)
    else:
        assert CURVES[name_].encode(CURVES[name_].decode(encoded)) == encoded


def test_one_encoding_for_each_point(name, curve) -> None:
    p = EQUATIONS[name][0]
    small = next(x for x in range(1, 2**256 - p) if lift(name, x) is not None)
    off = next(x for x in range(1, 100) if lift(name, x) is None)
    good = b"\x03" + small.to_bytes(32, "big")
    assert curve.encode(curve.decode(good)) == good
    y = lift(name, small).to_bytes(32, "big")
    for bad in (
        b"",
        b"\0",
        bytes(33),
        good[:-1],
        good + b"\0",
        b"\x03" + (small + p).to_bytes(32, "big"),  # the same x, not reduced
        b"\x03" + off.to_bytes(32, "big"),
        b"\x04" + good[1:],
        b"\x04" + good[1:] + y,
        b"\x07" + good[1:] + y,
        b"\x00" + good[1:],
        b"\x01" + good[1:],
        b"\x83" + good[1:],
        b"\xff" * 33,
    ):
        with pytest.raises(InvalidPoint):
            curve.decode(bad)


def test_a_refusal_keeps_count_of_references(curve) -> None:
    bad = b"\x02" + b"\xff" * 32
    before = sys.getrefcount(bad)
    for _ in range(100):
        with pytest.raises(InvalidPoint):
            curve.decode(bad)
    assert sys.getrefcount(bad) == before


@pytest.mark.parametrize("name_", sorted(CURVES))
@few
@given(message=st.binary(max_size=200), dst=st.binary(min_size=16, max_size=255))
def test_hash_to_the_group(name_, message, dst) -> None:
    assert CURVES[name_].encode(CURVES[name_].hash(message, dst)) == hashed(name_, message, dst)


def test_hash_to_the_group_known_answers() -> None:
    assert {name: curve.encode(curve.hash(b"abc", DST)).hex() for name, curve in CURVES.items()} == {
        "prime256v1": "030f72d8dd8c923fb43a50c0c5d18b4b9899a0e2e7affce685bd8e2a41b4279292",
        "secp256k1": "030f72d8dd8c923fb43a50c0c5d18b4b9899a0e2e7affce685bd8e2a41b4279293",
    }


def test_hashes_are_separated(curve) -> None:
    assert curve.hash(b"abc", DST) != curve.hash(b"c", DST + b"ab")
    assert curve.hash(b"abc", DST) != curve.hash(b"abd", DST)
    for dst in (b"x" * 15, b"x" * 256):
        with pytest.raises(CryptoError):
            curve.hash(b"", dst)


def test_a_long_message_does_not_end_the_process(name, curve) -> None:
    assert curve.encode(curve.hash(bytes(20_000_000), DST)) == hashed(name, bytes(20_000_000), DST)


def test_what_is_no_point_is_refused(curve) -> None:
    for wrong in (3, None, bytes(33)):
        for use in (
            lambda wrong=wrong: curve.encode(wrong),
            lambda wrong=wrong: curve.multiply(wrong, 5),
            lambda wrong=wrong: curve.negate(wrong),
            lambda wrong=wrong: curve.add(wrong, curve.generator),
            lambda wrong=wrong: curve.add(curve.generator, wrong),
            lambda wrong=wrong: curve.combine([2], [wrong]),
        ):
            with pytest.raises(TypeError):
                use()
    with pytest.raises(ValueError):
        curve.combine([1, 2], [curve.generator])
