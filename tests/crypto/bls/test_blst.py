"""Arithmetic of blst against that of the textbook, and what its callers must never let through."""

import sysconfig
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.points import ORDER_ELEVEN

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.blst import BLST, load
from crypto.errors import InvalidPoint

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
G1, G2, ORDER = BLS12_381.g1, BLS12_381.g2, BLS12_381.order
GROUPS = pytest.mark.parametrize("group", [G1, G2], ids=["G1", "G2"])
SCALARS = st.one_of(
    st.integers(-5, 5), st.integers(-(2**128), 2**128), st.integers(0, ORDER), st.integers(ORDER - 9, ORDER + 9)
)

Affine = tuple[int, int] | None
BASE: Affine = (
    0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
    0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
)


def plus(a: Affine, b: Affine) -> Affine:
    """The group law of y^2 = x^3 + 4 by chords and tangents; None is the identity."""
    if a is None or b is None:
        return a or b
    (ax, ay), (bx, by) = a, b
    if ax == bx and (ay + by) % P == 0:
        return None
    slope = (3 * ax * ax * pow(2 * ay, -1, P) if a == b else (by - ay) * pow(bx - ax, -1, P)) % P
    x = (slope * slope - ax - bx) % P
    return x, (slope * (ax - x) - ay) % P


def times(scalar: int) -> Affine:
    """That multiple of the generator of G1."""
    result = None
    for bit in bin(scalar % ORDER)[2:]:
        result = plus(result, result)
        if bit == "1":
            result = plus(result, BASE)
    return result


def encoded(point: Affine) -> bytes:
    if point is None:
        return b"\xc0" + bytes(47)
    x, y = point
    return (x | 1 << 383 | (y > P - y) << 381).to_bytes(48, "big")


@settings(max_examples=60, deadline=None)
@given(SCALARS)
def test_multiples_are_those_of_the_textbook(scalar: int) -> None:
    expected = encoded(times(scalar))
    point = G1.multiply(G1.generator, scalar)
    assert G1.encode(point) == expected
    assert G1.encode(TIMES_GENERATOR(scalar)) == expected
    assert G1.encode(G1.negate(point)) == encoded(times(-scalar))


TIMES_GENERATOR = G1.multiplier(G1.generator)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SCALARS, SCALARS), max_size=40))
def test_sums_of_multiples_are_those_of_the_textbook(terms: list[tuple[int, int]]) -> None:
    points = [G1.multiply(G1.generator, b) for _, b in terms]
    assert G1.encode(G1.combine([a for a, _ in terms], points)) == encoded(times(sum(a * b for a, b in terms)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SCALARS, SCALARS), max_size=20))
def test_sums_in_g2_are_those_of_their_terms(terms: list[tuple[int, int]]) -> None:
    points = [G2.multiply(G2.generator, b) for _, b in terms]
    expected = G2.multiply(G2.generator, sum(a * b for a, b in terms))
    assert G2.combine([a for a, _ in terms], points) == expected
    assert G2.sum(G2.multiply(point, a) for (a, _), point in zip(terms, points, strict=True)) == expected


@GROUPS
def test_special_points_in_sums(group) -> None:
    """Equal points, opposite ones and the identity are exceptions of the usual formulas of addition."""
    g, zero = group.generator, group.identity
    minus = group.negate(g)
    special = [g, minus, zero, group.add(g, g)]
    worth = {g: 1, minus: -1, zero: 0, special[3]: 2}
    for a, b, c in product(special, repeat=3):
        expected = group.multiply(g, worth[a] + worth[b] + worth[c])
        assert group.add(group.add(a, b), c) == expected
        assert group.combine([1, 1, 1], [a, b, c]) == expected
        assert group.combine([-3, 2, 0], [a, b, c]) == group.multiply(g, 2 * worth[b] - 3 * worth[a])
    assert group.combine([0, 0], [g, g]) == group.combine([5, 7], [zero, zero]) == group.combine([], []) == zero
    assert group.combine([0, 2, 0], [g, g, g]) == group.combine([2], [g]) == group.add(g, g)
    assert group.negate(zero) == zero
    assert group.encode(zero) == group.encode(group.multiply(g, 0))


@GROUPS
def test_a_table_has_every_multiple(group) -> None:
    point = group.multiply(group.generator, 31337)
    times_point = group.multiplier(point)
    for scalar in (0, 1, 2, 127, 128, 255, 256, 2**200 - 1, ORDER - 1, ORDER, -1, 0x80 << 240, int("80" * 31, 16)):
        assert times_point(scalar) == group.multiply(point, scalar)
    with pytest.raises(ValueError, match="identity"):
        group.multiplier(group.identity)


def test_a_point_outside_the_subgroup_is_told_from_one_inside() -> None:
    outside = G1.decode_on_curve(ORDER_ELEVEN)
    assert G1.sum([outside] * 10) == G1.negate(outside) and G1.sum([outside] * 11) == G1.identity
    for point in (outside, G1.add(outside, G1.generator)):
        assert not G1.contains(point)
        assert G1.decode_on_curve(G1.encode(point)) == point
        with pytest.raises(InvalidPoint, match="NOT_IN_GROUP"):
            G1.decode(G1.encode(point))
    for group in (G1, G2):
        assert group.contains(group.generator) and group.contains(group.identity)
        for bad in (group.encode(group.identity), b"", b"\xff" * group.encoded_length):
            with pytest.raises(InvalidPoint):
                group.decode_on_curve(bad)


@GROUPS
def test_what_is_no_point_of_the_group_never_reaches_the_library(group) -> None:
    """It would be read past its end: encodings, points of the other group, and what is not bytes."""
    g = group.generator
    other = G2 if group is G1 else G1
    for bad in (group.encode(g), other.generator, g[:-1], g + b"\0", bytearray(g), None, 5):
        for call in (
            lambda bad=bad: group.encode(bad),
            lambda bad=bad: group.contains(bad),
            lambda bad=bad: group.multiply(bad, 3),
            lambda bad=bad: group.multiplier(bad),
            lambda bad=bad: group.add(bad, g),
            lambda bad=bad: group.add(g, bad),
            lambda bad=bad: group.negate(bad),
            lambda bad=bad: group.combine([1, 1], [g, bad]),
        ):
            with pytest.raises(TypeError, match="not a point"):
                call()
    good = (G1.generator, G2.generator)
    for bad in ((G2.generator, G2.generator), (G1.generator, G1.generator), (G1.encode(G1.generator), G2.generator)):
        for sides in (([bad], [good]), ([good], [bad])):
            with pytest.raises(TypeError, match="not a point"):
                BLS12_381.products_equal(*sides)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 70])
def test_products_of_many_pairings(count: int) -> None:
    scalars = range(1, count + 1)
    left = [(G1.multiply(G1.generator, a), G2.multiply(G2.generator, a + 1)) for a in scalars]
    total = sum(a * (a + 1) for a in scalars)
    assert BLS12_381.products_equal(left, [(G1.multiply(G1.generator, total), G2.generator)])
    assert not BLS12_381.products_equal(left, [(G1.multiply(G1.generator, total + 1), G2.generator)])
    # A pairing with the identity is 1, wherever it stands.
    ones = [(G1.identity, G2.generator), (G1.generator, G2.identity), (G1.identity, G2.identity)]
    assert BLS12_381.products_equal([*ones, *left, *ones], [*ones, (G1.multiply(G1.generator, total), G2.generator)])
    assert BLS12_381.products_equal(ones, ones)
    assert not BLS12_381.products_equal(ones, left)


def test_a_library_without_the_functions_is_refused_at_once() -> None:
    assert "p1s_mult_pippenger" in BLST
    other = next(Path(sysconfig.get_paths()["platlib"]).glob("blake3/*.so"))
    with pytest.raises(ImportError, match="does not export blst_"):
        load(str(other))
