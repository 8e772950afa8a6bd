"""The scheduler that learns the coin early: it stalls MMR14, and delays the others by a few rounds."""

import pytest
from support.byzantine.harness import parameters

from honeybadger.simulation import attacked_agreement
from honeybadger.simulation.attacked_agreement import attempt
from honeybadger.simulation.coin_attack import CoinAttack
from honeybadger.simulation.lone_agreement import IdealCoinKey

SCHEDULES = pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
#: with a decision in half of the rounds at least, one of 100 runs is longer with probability below 1e-7
BOUND = 32


@SCHEDULES
@pytest.mark.parametrize("seed", range(8))
def test_mmr14_is_stalled_as_long_as_it_runs(seed, schedule):
    """Scenarios 11 and 12, with the attack as a scheduler that learns the coin from shares."""
    outcome = attempt("mmr14", seed, attack=True, most_rounds=200, schedule=schedule)
    assert outcome.stalled and outcome.safe
    assert outcome.rounds == 200


def test_mmr14_is_stalled_with_real_coins_too():
    outcome = attempt("mmr14", 1, attack=True, most_rounds=12, ideal_coins=False)
    assert outcome.stalled and outcome.safe


@SCHEDULES
@pytest.mark.parametrize("agreement", ["mmr14-conf", "crain20"])
def test_the_others_decide_in_a_bounded_number_of_rounds(agreement, schedule):
    """Scenarios 11 and 12."""
    outcomes = [attempt(agreement, seed, attack=True, most_rounds=200, schedule=schedule) for seed in range(100)]
    assert all(not one.stalled and one.safe for one in outcomes)
    assert max(one.rounds for one in outcomes) <= BOUND
    assert min(one.rounds for one in outcomes) > 1, "the attack does cost something"


@pytest.mark.parametrize("agreement", ["mmr14", "mmr14-conf", "crain20"])
def test_all_decide_without_the_attack(agreement):
    outcomes = [attempt(agreement, seed, attack=False, most_rounds=200) for seed in range(100)]
    assert all(not one.stalled and one.safe for one in outcomes)
    assert max(one.rounds for one in outcomes) <= BOUND


class Guesses(CoinAttack):
    """Steers to the opposite of a guess."""

    def _steer(self, node, number, coin):
        super()._steer(node, number, number & 1)


def test_without_the_coin_the_same_moves_stall_nothing(monkeypatch):
    """Oracle: what stalls MMR14 is that the coin is known early."""
    monkeypatch.setattr(attacked_agreement, "CoinAttack", Guesses)
    outcomes = [attempt("mmr14", seed, attack=True, most_rounds=200) for seed in range(20)]
    assert not any(one.stalled for one in outcomes)
    assert all(one.safe for one in outcomes)


def test_the_faulty_nodes_share_alone_shows_no_coin():
    """It is one share short, whatever it makes of it."""
    key = IdealCoinKey(2, 3, 1)
    mine = {3: key.sign_share(b"coin")}
    assert key.toss(b"coin", mine, set()) == (None, frozenset())
    assert key.toss(b"coin", {**mine, 0: bytes(48)}, set()) == (None, frozenset({0}))
    coin, bad = key.toss(b"coin", {**mine, 0: IdealCoinKey(2, 0, 1).sign_share(b"coin")}, set())
    assert coin in (0, 1) and not bad


def test_a_seed_repeats_its_run():
    again = [attempt("mmr14-conf", 5, attack=True, most_rounds=200) for _ in range(2)]
    assert again[0] == again[1]


def test_whole_nodes_run_each_agreement():
    """Encrypted epochs of four nodes, and all commit the same."""
    from honeybadger.simulation.cluster import SimulatedCluster

    for agreement in ("mmr14", "crain20"):
        for schedule in ("every-round", "fixed-fixed-coin"):
            chosen = parameters(4, agreement=agreement, coin_schedule=schedule)
            cluster = SimulatedCluster(4, 3, parameters=chosen)
            transactions = [b"%d" % k for k in range(8)]
            for me in range(4):
                cluster.submit(me, transactions[2 * me : 2 * me + 2])
            cluster.start()
            cluster.run_until_committed(transactions)
            cluster.check()
            assert not cluster.network.faults
