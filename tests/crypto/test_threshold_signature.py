"""Threshold signatures: uniqueness, every refusal, and the search for liars."""

import hashlib
import random
from itertools import combinations

import pytest

from crypto.bls12_381 import BLS12_381
from crypto.dealer import deal
from crypto.errors import CryptoError
from crypto.shamir import lagrange_at_zero
from crypto.threshold_signature import SignaturePublicKey, SignatureSecretKey, coin_bit

G1 = BLS12_381.g1
MESSAGE = b"chain, epoch 7, proposer 2, round 0"


@pytest.fixture(scope="module")
def shares(secret) -> dict[int, bytes]:
    return {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}


@pytest.fixture(scope="module")
def signature(public, shares) -> bytes:
    return public.coin.combine(MESSAGE, shares)[0]


def spoil(share: bytes, by: int = 1) -> bytes:
    """A well-formed point that is not the share."""
    return G1.encode(G1.add(G1.decode(share), G1.multiply(G1.generator, by)))


def malformed(share: bytes) -> list[bytes]:
    """Every kind of bytes that are no acceptable point."""
    identity = G1.encode(G1.identity)
    order_three = b"\x80" + bytes(47)
    uncompressed_flag = bytes([share[0] & 0x7F]) + share[1:]
    return [b"", share[:-1], share + b"\0", identity, order_three, uncompressed_flag, b"\xff" * 48]


def test_every_set_of_shares_gives_the_same_signature(public, shares, signature) -> None:
    assert len(signature) == 48
    assert public.coin.verify(MESSAGE, signature)
    for size in (2, 3, 4):
        for chosen in combinations(shares, size):
            some = {index: shares[index] for index in reversed(chosen)}
            assert public.coin.combine(MESSAGE, some) == (signature, frozenset())


def test_the_signature_is_the_secret_times_the_hash(public, secret, signature) -> None:
    x0, x1 = (int.from_bytes(keys.coin.to_bytes(), "big") for keys in secret[:2])
    dst = b"HONEYBADGER-COIN-V1-BLS12381G1_XMD:SHA-256_SSWU_RO_"
    assert signature == G1.encode(G1.multiply(G1.hash(MESSAGE, dst), 2 * x0 - x1))


def test_shares_verify_for_their_node_message_and_key_only(public, secret, shares) -> None:
    for index, share in shares.items():
        assert public.coin.verify_share(index, MESSAGE, share)
        assert not public.coin.verify_share((index + 1) % 4, MESSAGE, share)
        assert not public.coin.verify_share(index, MESSAGE + b"!", share)
        assert not public.coin.verify_share(index, MESSAGE, spoil(share))
        assert not public.certificate.verify_share(index, MESSAGE, share)
        assert not public.coin.verify_share(index, MESSAGE, secret[index].certificate.sign_share(MESSAGE))
        for bad in malformed(share):
            assert not public.coin.verify_share(index, MESSAGE, bad)


@pytest.mark.parametrize("index", [-1, 4, 99])
def test_an_index_out_of_range_is_misuse(public, shares, index: int) -> None:
    with pytest.raises(CryptoError):
        public.coin.verify_share(index, MESSAGE, shares[0])
    with pytest.raises(CryptoError):
        public.coin.combine(MESSAGE, {**shares, index: shares[0]})


def test_signatures_verify_for_their_message_and_key_only(public, shares, signature) -> None:
    assert not public.coin.verify(MESSAGE + b"!", signature)
    assert not public.certificate.verify(MESSAGE, signature)
    assert not public.coin.verify(MESSAGE, shares[0])
    assert not public.coin.verify(MESSAGE, spoil(signature))
    for bad in malformed(signature):
        assert not public.coin.verify(MESSAGE, bad)


def test_the_purpose_separates_even_one_and_the_same_key(public, secret, signature) -> None:
    """The secret of the coin key, used under another purpose, signs nothing that the coin accepts."""
    other = SignaturePublicKey(2, public.coin.commitment, b"OTHER", 4)
    scalar = int.from_bytes(secret[1].coin.to_bytes(), "big")
    share = SignatureSecretKey(1, scalar, other).sign_share(MESSAGE)
    assert other.verify_share(1, MESSAGE, share)
    assert not public.coin.verify_share(1, MESSAGE, share)
    assert not other.verify(MESSAGE, signature)
    assert other.dst != public.coin.dst != public.certificate.dst


@pytest.mark.parametrize("purpose", [b"", b"X" * 65])
def test_a_purpose_has_a_sensible_length(public, purpose: bytes) -> None:
    with pytest.raises(CryptoError):
        SignaturePublicKey(2, public.coin.commitment, purpose, 4)


def test_too_few_shares_give_nothing(public, shares) -> None:
    assert public.coin.combine(MESSAGE, {}) == (None, frozenset())
    assert public.coin.combine(MESSAGE, {0: shares[0]}) == (None, frozenset())
    assert public.coin.combine(MESSAGE, {0: b"not even looked at"}) == (None, frozenset())
    result = public.coin.combine(MESSAGE, {0: shares[0], 1: spoil(shares[1])})
    assert result == (None, frozenset({1}))


def test_a_share_of_another_node_does_not_count_twice(public, shares) -> None:
    result = public.coin.combine(MESSAGE, {0: shares[0], 1: shares[0]})
    assert result == (None, frozenset({1}))


def test_malformed_shares_are_named_and_replaced(public, shares, signature) -> None:
    for bad in malformed(shares[0]):
        assert public.coin.combine(MESSAGE, {**shares, 0: bad}) == (signature, frozenset({0}))
        assert public.coin.combine(MESSAGE, {0: bad, 1: shares[1]}) == (None, frozenset({0}))


def test_bad_shares_whose_errors_cancel_do_no_harm(public, secret) -> None:
    """Two colluders may make two wrong shares that combine to the right signature; it is still unique."""
    message = b"cancel"
    right = {keys.index: keys.coin.sign_share(message) for keys in secret}
    # Lagrange coefficients of nodes 0 and 1 are 2 and -1: errors e and 2e cancel.
    wrong = {0: spoil(right[0], 1), 1: spoil(right[1], 2)}
    assert not public.coin.verify_share(0, message, wrong[0])
    signature, bad = public.coin.combine(message, wrong)
    assert signature == public.coin.combine(message, right)[0]
    assert bad == frozenset()


@pytest.fixture(params=[(4, 1), (7, 2), (16, 5)], ids=str)
def cluster(request, suite):
    nodes, faults = request.param
    public, secret = deal(nodes, faults, random.Random(nodes).randbytes, suite)
    shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
    suite.reset()
    return public.coin, shares, faults


def test_without_liars_two_pairings_are_enough(cluster, suite) -> None:
    coin, shares, _ = cluster
    assert coin.combine(MESSAGE, shares)[0]
    assert (suite.checks, suite.miller_loops) == (1, 2)


def test_f_liars_at_the_front_are_named_at_bounded_cost(cluster, suite) -> None:
    coin, shares, faults = cluster
    received = {i: spoil(share, i + 1) if i < faults else share for i, share in shares.items()}
    signature, bad = coin.combine(MESSAGE, received)
    assert bad == frozenset(range(faults))
    assert suite.checks <= 1 + 2 * (faults + 1) + 1
    assert coin.verify(MESSAGE, signature)

    # From now on they are suspects: nothing is wasted on them.
    suite.reset()
    assert coin.combine(MESSAGE, received, suspects=bad) == (signature, frozenset())
    assert suite.checks == 1


@pytest.mark.parametrize("liar, checks", [(0, 4), (1, 3)])
def test_one_liar_among_four_costs_no_superfluous_check(suite, liar: int, checks: int) -> None:
    """The result; share 0; share 1 unless share 0 explains it all; the replacement."""
    public, secret = deal(4, 1, random.Random(4).randbytes, suite)
    shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
    suite.reset()
    signature, bad = public.coin.combine(MESSAGE, {**shares, liar: spoil(shares[liar])})
    assert signature and bad == frozenset({liar})
    assert suite.checks == checks


def test_interpolation_is_computed_once_for_each_set_of_senders(public, shares) -> None:
    lagrange_at_zero.cache_clear()
    public.coin.combine(MESSAGE, {1: shares[1], 3: shares[3]})
    public.coin.combine(MESSAGE, {3: shares[3], 1: shares[1]})
    assert lagrange_at_zero.cache_info().misses == 1


def test_every_subset_of_liars_is_named(suite) -> None:
    public, secret = deal(7, 2, random.Random(9).randbytes, suite)
    shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
    expected = public.coin.combine(MESSAGE, shares)[0]
    for liars in combinations(range(7), 2):
        # Errors that are all alike could cancel: the coefficients of nodes 0 and 1 are 3 and -3.
        received = {i: spoil(s, i * i + 7) if i in liars else s for i, s in shares.items()}
        signature, bad = public.coin.combine(MESSAGE, received)
        assert signature == expected
        used = frozenset(range(3))  # the first three are tried; others only to replace a bad one
        assert frozenset(liars) & used <= bad <= frozenset(liars)


def test_suspects_are_used_if_they_are_needed_but_only_verified(cluster, suite) -> None:
    coin, shares, faults = cluster
    everyone = frozenset(shares)
    signature, bad = coin.combine(MESSAGE, shares, suspects=everyone)
    assert signature and not bad
    assert suite.checks == faults + 1 + 1  # each of them alone, then the result

    received = {i: spoil(share) if i < faults else share for i, share in shares.items()}
    assert coin.combine(MESSAGE, received, suspects=everyone) == (signature, frozenset(range(faults)))


def test_an_honest_suspect_helps_out_after_a_failure(public, shares, signature) -> None:
    received = {0: spoil(shares[0]), 1: shares[1], 3: shares[3]}
    assert public.coin.combine(MESSAGE, received, suspects=[3]) == (signature, frozenset({0}))


def test_a_lying_suspect_cannot_hide_behind_an_honest_one(public, shares, signature) -> None:
    received = {0: shares[0], 2: spoil(shares[2]), 3: shares[3]}
    assert public.coin.combine(MESSAGE, received, suspects=[2, 3]) == (signature, frozenset({2}))


def test_one_node_needs_nobody() -> None:
    public, (keys,) = deal(1, 0, random.Random(1).randbytes)
    signature, bad = public.coin.combine(b"m", {0: keys.coin.sign_share(b"m")})
    assert public.coin.verify(b"m", signature) and not bad


def test_the_coin_is_a_bit_of_the_hash_and_falls_both_ways(public, secret) -> None:
    bits = []
    for epoch in range(24):
        message = b"epoch %d" % epoch
        signature, _ = public.coin.combine(message, {k.index: k.coin.sign_share(message) for k in secret[:2]})
        assert coin_bit(signature) == int(hashlib.sha256(signature).hexdigest(), 16) % 2
        bits.append(coin_bit(signature))
    assert set(bits) == {0, 1}


def test_nothing_secret_is_shown(secret) -> None:
    assert repr(secret[2].coin) == "<SignatureSecretKey of node 2>"
    text = repr(secret[2])
    for key in (secret[2].coin, secret[2].encryption, secret[2].certificate):
        scalar = key.to_bytes()
        assert scalar.hex() not in text and str(int.from_bytes(scalar, "big")) not in text
