"""Shares of both threshold schemes: any set of enough good ones gives the value, and who sends bad ones is named."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import pytest
from support.points import G1, ORDER_ELEVEN, malformed, spoil

from crypto.bls.ciphertext import Ciphertext
from crypto.bls.suite import make_suite
from crypto.dealer import deal
from crypto.errors import CryptoError

MESSAGE = b"chain, epoch 7, proposer 2, round 0"
NOBODY = frozenset()


@dataclass
class Scheme:
    """The shares of all nodes; `combine(shares, suspects=())`: value and liars; `verify(index, share)`.

    `result_checks`: pairing checks that a right result costs.
    """

    faults: int
    shares: dict[int, bytes]
    value: bytes
    combine: Callable[..., tuple[bytes | None, frozenset[int]]]
    verify: Callable[[int, bytes], bool]
    result_checks: int


def scheme_of(kind: str, nodes: int, faults: int, suite) -> Scheme:
    randbytes = random.Random(nodes).randbytes
    public, secret = deal(nodes, faults, randbytes, make_suite(suite))
    if kind == "signature":
        shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
        combine = partial(public.coin.combine, MESSAGE)
        value, _ = combine(shares)
        assert public.coin.verify(MESSAGE, value)
        suite.reset()
        verify = partial(public.coin.verify_share, message=MESSAGE)
        return Scheme(faults, shares, value, combine, lambda index, share: verify(index, share=share), 1)

    checked = Ciphertext(public.encryption.encrypt(MESSAGE, b"label", randbytes), b"label", suite)
    shares = {keys.index: keys.encryption.decryption_share(checked) for keys in secret}

    def decrypt(received, suspects=()):
        outcome = public.encryption.decrypt(checked, received, suspects)
        assert outcome.done == (outcome.plaintext is not None)
        return outcome.plaintext, outcome.bad

    return Scheme(
        faults, shares, MESSAGE, decrypt, lambda index, share: public.encryption.verify_share(index, checked, share), 0
    )


@pytest.fixture(params=["signature", "encryption"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def scheme(kind, suite) -> Scheme:
    return scheme_of(kind, 4, 1, suite)


@pytest.fixture(params=[(4, 1), (16, 5)], ids=str)
def cluster(request, kind, suite) -> Scheme:
    return scheme_of(kind, *request.param, suite)


def test_every_set_of_shares_gives_the_same_value(scheme) -> None:
    for size in (2, 3, 4):
        for chosen in combinations(scheme.shares, size):
            some = {index: scheme.shares[index] for index in reversed(chosen)}
            assert scheme.combine(some) == (scheme.value, NOBODY)


def test_shares_verify_for_their_node_only(scheme) -> None:
    for index, share in scheme.shares.items():
        assert scheme.verify(index, share)
        assert not scheme.verify((index + 1) % 4, share)
        for bad in (spoil(share), *malformed(share)):
            assert not scheme.verify(index, bad)


def test_an_index_out_of_range_is_misuse(scheme) -> None:
    for index in (-1, 4, 99):
        with pytest.raises(CryptoError):
            scheme.verify(index, scheme.shares[0])
        with pytest.raises(CryptoError):
            scheme.combine({**scheme.shares, index: scheme.shares[0]})


def test_too_few_shares_give_nothing(scheme) -> None:
    shares = scheme.shares
    assert scheme.combine({}) == (None, NOBODY)
    assert scheme.combine({0: shares[0]}) == (None, NOBODY)
    assert scheme.combine({0: b"not even looked at"}) == (None, NOBODY)
    assert scheme.combine({0: shares[0], 1: spoil(shares[1])}) == (None, {1})


def test_a_share_of_another_node_does_not_count_twice(scheme) -> None:
    assert scheme.combine({0: scheme.shares[0], 1: scheme.shares[0]}) == (None, {1})


def test_bad_shares_are_named_and_replaced(scheme) -> None:
    shares = scheme.shares
    for bad in (spoil(shares[0]), shares[1], *malformed(shares[0])):
        assert scheme.combine({**shares, 0: bad}) == (scheme.value, {0})
    for bad in malformed(shares[0]):
        assert scheme.combine({0: bad, 1: shares[1]}) == (None, {0})


def test_bad_shares_whose_errors_cancel_do_no_harm(scheme) -> None:
    """Lagrange coefficients of nodes 0 and 1 are 2 and -1: errors e and 2e cancel. The value is still the only one."""
    wrong = {0: spoil(scheme.shares[0], 1), 1: spoil(scheme.shares[1], 2)}
    assert not scheme.verify(0, wrong[0])
    assert scheme.combine(wrong) == (scheme.value, NOBODY)


def test_errors_outside_the_subgroup_that_cancel_do_no_harm(scheme) -> None:
    """Of errors t and 2t of order 11, at nodes 0 and 1, nothing is left: 2t - 2t. Alone, each is seen and named."""
    t = G1.decode_on_curve(ORDER_ELEVEN)
    wrong = {index: G1.encode(G1.add(G1.decode(scheme.shares[index]), G1.multiply(t, index + 1))) for index in (0, 1)}
    assert scheme.combine(wrong) == (scheme.value, NOBODY)
    for index in (0, 1):
        assert not scheme.verify(index, wrong[index])
        assert scheme.combine({**scheme.shares, index: wrong[index]}) == (scheme.value, {index})
        assert scheme.combine({**scheme.shares, **wrong}, suspects=[0, 1]) == (scheme.value, NOBODY)


def test_one_liar_among_many_hides_in_no_batch(cluster) -> None:
    """Wherever it stands among the shares that come first, and whatever the others are suspected of."""
    faults, shares = cluster.faults, cluster.shares
    for liar in range(faults + 1):
        received = {**shares, liar: spoil(shares[liar])}
        assert cluster.combine(received) == (cluster.value, {liar})
        others = frozenset(shares) - {liar}
        assert cluster.combine(received, suspects=others) == (cluster.value, {liar})


def test_f_liars_at_the_front_are_named_at_bounded_cost(cluster, suite) -> None:
    faults, shares = cluster.faults, cluster.shares
    assert cluster.combine(shares) == (cluster.value, NOBODY)
    assert (suite.checks, suite.miller_loops) == (cluster.result_checks, 2 * cluster.result_checks)

    suite.reset()
    received = {i: spoil(share, i + 1) if i < faults else share for i, share in shares.items()}
    liars = frozenset(range(faults))
    assert cluster.combine(received) == (cluster.value, liars)
    assert suite.checks <= 1 + 2 * (faults + 1) + 1

    # From now on they are suspects: nothing is wasted on them.
    suite.reset()
    assert cluster.combine(received, suspects=liars) == (cluster.value, NOBODY)
    assert suite.checks == cluster.result_checks

    suite.reset()  # Suspects that are needed are verified one by one, then the result.
    assert cluster.combine(received, suspects=frozenset(shares)) == (cluster.value, liars)
    assert suite.checks == faults + faults + 1 + cluster.result_checks


def test_a_suspect_helps_out_and_cannot_hide_behind_another(scheme) -> None:
    shares = scheme.shares
    received = {0: spoil(shares[0]), 1: shares[1], 3: shares[3]}
    assert scheme.combine(received, suspects=[3]) == (scheme.value, {0})
    received = {0: shares[0], 2: spoil(shares[2]), 3: shares[3]}
    assert scheme.combine(received, suspects=[2, 3]) == (scheme.value, {2})
