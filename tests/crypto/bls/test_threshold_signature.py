"""Threshold signatures by pairings: an independent definition, purposes, and the search for liars."""

import hashlib
import random
from itertools import combinations

import pytest
from support.points import malformed, spoil

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.signature import SignatureKey, SignatureShare, coin_bit
from crypto.bls.suite import make_suite
from crypto.dealer import deal
from crypto.errors import CryptoError
from crypto.shamir import interpolation_at_zero

G1 = BLS12_381.g1
MESSAGE = b"chain, epoch 7, proposer 2, round 0"


@pytest.fixture(scope="module")
def shares(secret) -> dict[int, bytes]:
    return {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}


@pytest.fixture(scope="module")
def signature(public, shares) -> bytes:
    return public.coin.combine(MESSAGE, shares)[0]


def test_the_signature_is_the_secret_times_the_hash(public, secret, signature) -> None:
    x0, x1 = (int.from_bytes(keys.coin.to_bytes(), "big") for keys in secret[:2])
    dst = b"HONEYBADGER-COIN-V1-BLS12381G1_XMD:SHA-256_SSWU_RO_"
    assert public.coin.verify(MESSAGE, signature)
    assert signature == G1.encode(G1.multiply(G1.hash(MESSAGE, dst), 2 * x0 - x1))
    for bad in (spoil(signature), *malformed(signature)):
        assert not public.coin.verify(MESSAGE, bad)


def test_the_purpose_separates_even_one_and_the_same_key(public, secret, signature) -> None:
    """The secret of the coin key, used under another purpose, signs nothing that the coin accepts."""
    other = SignatureKey(2, public.coin.parts, b"OTHER", 4)
    scalar = int.from_bytes(secret[1].coin.to_bytes(), "big")
    share = SignatureShare(1, scalar, other).sign_share(MESSAGE)
    assert other.verify_share(1, MESSAGE, share)
    assert not public.coin.verify_share(1, MESSAGE, share)
    assert not other.verify(MESSAGE, signature)
    assert other.dst != public.coin.dst != public.certificate.dst
    for purpose in (b"", b"X" * 65):
        with pytest.raises(CryptoError):
            SignatureKey(2, public.coin.parts, purpose, 4)


@pytest.mark.parametrize("liar, checks", [(0, 4), (1, 3)])
def test_one_liar_among_four_costs_no_superfluous_check(pairing, liar: int, checks: int) -> None:
    """The result; share 0; share 1 unless share 0 explains it all; the replacement."""
    public, secret = deal(4, 1, random.Random(4).randbytes, make_suite(pairing))
    shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
    pairing.reset()
    signature, bad = public.coin.combine(MESSAGE, {**shares, liar: spoil(shares[liar])})
    assert signature and bad == frozenset({liar})
    assert pairing.checks == checks


def test_interpolation_is_computed_once_for_each_set_of_senders(public, shares) -> None:
    interpolation_at_zero.cache_clear()
    public.coin.combine(MESSAGE, {1: shares[1], 3: shares[3]})
    public.coin.combine(MESSAGE, {3: shares[3], 1: shares[1]})
    assert interpolation_at_zero.cache_info().misses == 1


def test_every_subset_of_liars_is_named(pairing) -> None:
    public, secret = deal(7, 2, random.Random(9).randbytes, make_suite(pairing))
    shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
    expected = public.coin.combine(MESSAGE, shares)[0]
    for liars in combinations(range(5), 2):
        # Errors that are all alike could cancel: the coefficients of nodes 0 and 1 are 3 and -3.
        received = {i: spoil(s, i * i + 7) if i in liars else s for i, s in shares.items()}
        signature, bad = public.coin.combine(MESSAGE, received)
        assert signature == expected
        used = frozenset(range(3))  # the first three are tried; others only to replace a bad one
        assert frozenset(liars) & used <= bad <= frozenset(liars)


def test_the_coin_is_a_bit_of_the_hash_and_falls_both_ways(public, secret) -> None:
    bits = []
    for epoch in range(24):
        message = b"epoch %d" % epoch
        signature, _ = public.coin.combine(message, {k.index: k.coin.sign_share(message) for k in secret[:2]})
        assert coin_bit(signature) == int(hashlib.sha256(signature).hexdigest(), 16) % 2
        bits.append(coin_bit(signature))
    assert set(bits) == {0, 1}
