"""Shares that are points: errors that cancel, points outside the subgroup, and what liars cost."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from support.points import G1, ORDER_ELEVEN, malformed, spoil

from crypto.bls.ciphertext import Ciphertext
from crypto.bls.suite import make_suite
from crypto.dealer import deal

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


def scheme_of(kind: str, nodes: int, faults: int, pairing) -> Scheme:
    randbytes = random.Random(nodes).randbytes
    public, secret = deal(nodes, faults, randbytes, make_suite(pairing))
    if kind == "signature":
        shares = {keys.index: keys.coin.sign_share(MESSAGE) for keys in secret}
        combine = partial(public.coin.combine, MESSAGE)
        value, _ = combine(shares)
        assert public.coin.verify(MESSAGE, value)
        pairing.reset()
        verify = partial(public.coin.verify_share, message=MESSAGE)
        return Scheme(faults, shares, value, combine, lambda index, share: verify(index, share=share), 1)

    checked = Ciphertext(public.encryption.encrypt(MESSAGE, b"label", randbytes), b"label", pairing)
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
def scheme(kind, pairing) -> Scheme:
    return scheme_of(kind, 4, 1, pairing)


@pytest.fixture(params=[(4, 1), (16, 5)], ids=str)
def cluster(request, kind, pairing) -> Scheme:
    return scheme_of(kind, *request.param, pairing)


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


def test_f_liars_at_the_front_are_named_at_bounded_cost(cluster, pairing) -> None:
    faults, shares = cluster.faults, cluster.shares
    assert cluster.combine(shares) == (cluster.value, NOBODY)
    assert (pairing.checks, pairing.miller_loops) == (cluster.result_checks, 2 * cluster.result_checks)

    pairing.reset()
    received = {i: spoil(share, i + 1) if i < faults else share for i, share in shares.items()}
    liars = frozenset(range(faults))
    assert cluster.combine(received) == (cluster.value, liars)
    assert pairing.checks <= 1 + 2 * (faults + 1) + 1

    # From now on they are suspects: nothing is wasted on them.
    pairing.reset()
    assert cluster.combine(received, suspects=liars) == (cluster.value, NOBODY)
    assert pairing.checks == cluster.result_checks

    pairing.reset()  # Suspects that are needed are verified one by one, then the result.
    assert cluster.combine(received, suspects=frozenset(shares)) == (cluster.value, liars)
    assert pairing.checks == faults + faults + 1 + cluster.result_checks
