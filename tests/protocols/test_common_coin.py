"""Scenarios 8, 9 and 41: the common coin and shares that are not what they should be."""

import random

import pytest
from support.byzantine.scripted import CHAIN, Recorder

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.suite import NON_SUBGROUP
from honeybadger.protocols.honey_badger.common_coin import CommonCoin, coin_identity
from honeybadger.protocols.honey_badger.messages import HoneyBadgerFault
from honeybadger.simulation.cluster import dealt_keys

IDENTITY_OF_COIN = coin_identity(CHAIN, 3, 2, 5)


def coin_of(me, nodes, faults, suspects=None, identity=IDENTITY_OF_COIN):
    public, secret = dealt_keys(nodes, faults)
    recorder, values = Recorder(), []
    suspects = set() if suspects is None else suspects
    coin = CommonCoin(me, identity, public, secret[me], suspects, recorder, values.append)
    return coin, recorder, values


def share(node, nodes, faults, identity=IDENTITY_OF_COIN):
    return dealt_keys(nodes, faults)[1][node].coin.sign_share(identity)


def expected(nodes, faults):
    coin, _, values = coin_of(0, nodes, faults)
    coin.release()
    for node in range(1, faults + 1):
        coin.handle_share(node, share(node, nodes, faults))
    coin.try_combine()
    assert len(values) == 1
    return values[0]


def bad_shares(nodes, faults):
    g1 = BLS12_381.g1
    return {
        "random point": g1.encode(g1.multiply(g1.generator, 77)),
        "other round": share(1, nodes, faults, coin_identity(CHAIN, 3, 2, 6)),
        "other instance": share(1, nodes, faults, coin_identity(CHAIN, 3, 1, 5)),
        "other epoch": share(1, nodes, faults, coin_identity(CHAIN, 4, 2, 5)),
        "other chain": share(1, nodes, faults, coin_identity(bytes(32), 3, 2, 5)),
        "other node": share(2, nodes, faults),
        "identity": bytes([0xC0]) + bytes(47),
        "non-subgroup": NON_SUBGROUP,
        "bad encoding": random.Random(1).randbytes(48),
        "infinity with junk": bytes([0xC0]) + bytes(46) + b"\1",
        "uncompressed flag": bytes([0x17]) + bytes(47),
    }


@pytest.mark.parametrize("kind", bad_shares(4, 1))
def test_a_bad_share_is_rejected_and_its_sender_flagged(kind):
    """Scenarios 8, 41: the coin is the one that other nodes get."""
    coin, recorder, values = coin_of(0, 4, 1)
    coin.release()
    coin.handle_share(1, bad_shares(4, 1)[kind])
    assert not values
    assert recorder.faults == [(1, HoneyBadgerFault.BAD_COIN_SHARE)]
    coin.handle_share(1, share(1, 4, 1))
    assert not values, "one share per sender"
    coin.handle_share(2, share(2, 4, 1))
    assert values == [expected(4, 1)]


def test_identity_binds_every_field():
    """Chain, epoch, proposer and round: no two coins share an identity (scenario 44)."""
    identities = {
        coin_identity(chain, epoch, proposer, number)
        for chain in (CHAIN, bytes(32))
        for epoch in (1, 2, 300)
        for proposer in (0, 1, 2)
        for number in (0, 1, 2)
    }
    assert len(identities) == 2 * 27


def test_coins_differ():
    """Over 64 rounds both values occur, as fair coins would have it."""
    bits = set()
    for number in range(64):
        identity = coin_identity(CHAIN, 1, 0, number)
        coin, _, values = coin_of(0, 1, 0, identity=identity)
        coin.release()
        coin.try_combine()
        bits.add(values[0])
    assert bits == {0, 1}


def test_nothing_is_combined_before_the_own_release():
    coin, _, values = coin_of(0, 4, 1)
    for node in (1, 2, 3):
        coin.handle_share(node, share(node, 4, 1))
    assert not values
    coin.release()
    coin.try_combine()
    assert values == [expected(4, 1)]


@pytest.mark.parametrize(("nodes", "faults"), [(4, 1), (7, 2), (10, 3)])
def test_bad_shares_first(nodes, faults, monkeypatch):
    """Scenario 9: exactly the liars are named, with a bounded number of checks, and suspected afterwards."""
    checks = []
    original = type(BLS12_381).products_equal
    monkeypatch.setattr(
        type(BLS12_381), "products_equal", lambda self, *args: (checks.append(1), original(self, *args))[1]
    )
    value = expected(nodes, faults)
    assert len(checks) == 1, "without attackers one check is enough"
    suspects: set[int] = set()
    coin, recorder, values = coin_of(0, nodes, faults, suspects)
    liars = list(range(1, faults + 1))
    for node in liars:
        coin.handle_share(node, bad_shares(nodes, faults)["random point"])
    checks.clear()
    coin.release()
    coin.try_combine()
    for node in range(faults + 1, 2 * faults + 1):
        coin.handle_share(node, share(node, nodes, faults))
    assert values == [value]
    assert recorder.faults == [(node, HoneyBadgerFault.BAD_COIN_SHARE) for node in liars]
    assert suspects == set(liars)
    assert len(checks) <= 1 + 2 * faults + 3 * faults
    # Next time the suspects cost nothing if there are enough others.
    checks.clear()
    coin, recorder, values = coin_of(0, nodes, faults, suspects)
    for node in range(1, nodes):
        coin.handle_share(node, bytes(48) if node in liars else share(node, nodes, faults))
    coin.release()
    coin.try_combine()
    assert values == [value]
    assert len(checks) == 1
