"""Whole clusters in the suites without pairings: honest, under the lies that concern keys, and with many coins."""

import pytest
from support.byzantine import STRATEGIES
from support.byzantine.harness import accused, attacked, faulty_nodes, parameters
from support.suites import OTHERS, suite_or_skip

from honeybadger.adversary import EXPECTED_FAULTS, POSSIBLE_FAULTS
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import HoneyBadgerFault

#: shares and ciphertexts that are wrong
LIES = ["bad-coin-shares", "bad-decryption-shares", "garbage-proposals", "stale-shares"]
#: what cannot happen here: no certificates are made, and every round has a coin
ABSENT = {FaultKind.BAD_CERTIFICATE, HoneyBadgerFault.UNEXPECTED_COIN_SHARE}


def settings(name, nodes, **changes):
    return parameters(nodes, suite=suite_or_skip(name).name, **changes)


@OTHERS
@pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
def test_all_correct(name, schedule):
    cluster = attacked(4, faulty=[], settings=settings(name, 4, coin_schedule=schedule), epochs=3)
    assert not cluster.network.faults


@pytest.mark.parametrize("strategy", LIES)
def test_liars_stop_nothing_and_are_named(strategy):
    """As many epochs as it takes the strategy to go through its turns, with a coin in every round."""
    chosen = settings("charm", 4, coin_schedule="every-round")
    cluster = attacked(4, STRATEGIES[strategy], settings=chosen, epochs=10)
    found = {fault.kind for fault in cluster.network.faults}
    assert found <= POSSIBLE_FAULTS[strategy]
    assert found >= EXPECTED_FAULTS[strategy] - ABSENT
    assert accused(cluster) <= set(faulty_nodes(4))


def test_two_liars_among_seven():
    turns = iter(["bad-coin-shares", "bad-decryption-shares"])
    cluster = attacked(7, lambda context: STRATEGIES[next(turns)](context), settings=settings("charm", 7), epochs=3)
    assert accused(cluster) <= set(faulty_nodes(7))
