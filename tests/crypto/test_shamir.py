"""Secret sharing: interpolation, refusals, Feldman commitments."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.bls.bls12_381 import BLS12_381
from crypto.errors import CryptoError, InvalidKey
from crypto.shamir import Polynomial, committed_share, interpolation_at_zero, random_scalar
from crypto.shared_key import KeyShare, SharedKey

ORDER = BLS12_381.order
G1, G2 = BLS12_381.g1, BLS12_381.g2


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 10), st.integers(0, ORDER - 1))
def test_any_degree_plus_one_shares_give_the_secret(data: st.DataObject, degree: int, shared: int) -> None:
    others = data.draw(st.lists(st.integers(0, ORDER - 1), min_size=degree, max_size=degree))
    polynomial = Polynomial([shared, *others], ORDER)
    indices = data.draw(st.lists(st.integers(0, 99), min_size=degree + 1, max_size=degree + 1, unique=True))
    factors, scale = interpolation_at_zero(tuple(indices), ORDER)
    total = sum(c * polynomial.share(i) for c, i in zip(factors, indices, strict=True))
    assert scale * total % ORDER == shared


def test_the_factors_of_interpolation_are_short() -> None:
    """They are what combining costs; Lagrange's coefficients themselves are as long as the order."""
    assert interpolation_at_zero((0, 1), ORDER) == ((2, -1), 1)
    assert interpolation_at_zero((0, 2), ORDER) == ((3, -1), pow(2, -1, ORDER))
    for nodes, bits in ((4, 3), (16, 22), (32, 50), (64, 115)):
        indices = random.Random(nodes).sample(range(nodes), (nodes - 1) // 3 + 1)
        factors, _ = interpolation_at_zero(tuple(indices), ORDER)
        assert max(abs(factor) for factor in factors) < 1 << bits


def test_no_share_is_the_secret_itself() -> None:
    polynomial = Polynomial([5, 1], ORDER)
    assert polynomial.share(0) == 6  # node 0 is at 1, not at 0
    assert repr(polynomial) == "<Polynomial of degree 1>"
    with pytest.raises(CryptoError):
        polynomial.share(-1)
    with pytest.raises(CryptoError):
        Polynomial([], ORDER)


def test_interpolation_refuses_bad_indices() -> None:
    for indices in ((), (1, 1), (0, 2, 0), (-1, 2)):
        with pytest.raises(CryptoError):
            interpolation_at_zero(indices, ORDER)


@pytest.mark.parametrize("group", [G1, G2], ids=["G1", "G2"])
def test_commitments_give_every_public_share(group) -> None:
    polynomial = Polynomial.random(4, ORDER, random.Random(1).randbytes)
    commitment = polynomial.commit(group)
    for index in (0, 1, 2, 3, 30, 62, 63, 64, 254):
        expected = group.multiply(group.generator, polynomial.share(index))
        assert committed_share(group, commitment, index) == expected


def test_scalars_are_never_zero_and_depend_on_all_the_bytes() -> None:
    assert random_scalar(ORDER, bytes) == 1
    assert random_scalar(ORDER, lambda n: (ORDER - 2).to_bytes(n, "big")) == ORDER - 1
    assert random_scalar(ORDER, lambda n: (ORDER - 1).to_bytes(n, "big")) == 1
    asked = []
    random_scalar(ORDER, lambda n: asked.append(n) or bytes(n))
    assert asked == [48]


def make_public(coefficients: list[int], nodes: int = 4) -> SharedKey:
    commitment = [G1.encode(point) for point in Polynomial(coefficients, ORDER).commit(G1)]
    return SharedKey(len(coefficients), commitment, nodes, G1)


def test_a_share_must_match_the_commitment() -> None:
    public = make_public([10, 20])
    for index in range(4):
        KeyShare(index, 10 + 20 * (index + 1), public)
    for index, scalar in [(0, 31), (0, 50), (1, 30), (0, -30), (0, 30 - ORDER), (0, 30 + ORDER)]:
        with pytest.raises(InvalidKey):
            KeyShare(index, scalar, public)
    for index in (-1, 4):
        with pytest.raises(InvalidKey, match="no node"):
            KeyShare(index, 10 + 20 * (index + 1), public)
        with pytest.raises(CryptoError, match="no node"):
            public.public_share(index)
    public = make_public([20, ORDER - 20])  # node 0 would hold 20 - 20
    with pytest.raises(InvalidKey, match="between"):
        KeyShare(0, 0, public)
    with pytest.raises(InvalidKey, match="identity"):
        public.public_share(0)
    KeyShare(1, ORDER - 20, public)


def test_a_public_key_is_validated() -> None:
    one = G1.encode(G1.generator)
    for threshold, commitment, nodes in [(0, [], 4), (5, [one] * 5, 4), (2, [one], 4), (2, [one] * 3, 4)]:
        with pytest.raises(InvalidKey):
            SharedKey(threshold, commitment, nodes, G1)
    for bad in (G1.encode(G1.identity), one[:-1], b"\x80" + bytes(47), G2.encode(G2.generator)):
        with pytest.raises(InvalidKey):
            SharedKey(2, [one, bad], 4, G1)
