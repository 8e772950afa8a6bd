"""Whole clusters in the suites without pairings: honest, under the lies that concern keys, and with many coins."""

import pytest
from support.byzantine import STRATEGIES
from support.byzantine.harness import accused, attacked, faulty_nodes, parameters
from support.suites import OTHERS, suite_or_skip

from honeybadger.adversary import EXPECTED_FAULTS, POSSIBLE_FAULTS
from honeybadger.protocols.faults import FaultKind

#: shares and ciphertexts that are wrong
LIES = ["bad-coin-shares", "bad-decryption-shares", "garbage-proposals", "stale-shares"]
SCHEDULES = pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])


def settings(name, nodes, **changes):
    return parameters(nodes, suite=suite_or_skip(name).name, **changes)


@OTHERS
@SCHEDULES
@pytest.mark.parametrize("nodes", [4, 7])
def test_all_correct(name, schedule, nodes):
    cluster = attacked(nodes, faulty=[], settings=settings(name, nodes, coin_schedule=schedule), epochs=3)
    assert not cluster.network.faults


@OTHERS
@pytest.mark.parametrize("strategy", LIES)
def test_liars_stop_nothing_and_are_named(name, strategy):
    """As many epochs as it takes the strategy to go through its turns, with a coin in every round."""
    chosen = settings(name, 4, coin_schedule="every-round")
    cluster = attacked(4, STRATEGIES[strategy], settings=chosen, epochs=10)
    found = {fault.kind for fault in cluster.network.faults}
    assert found <= POSSIBLE_FAULTS[strategy]
    assert found >= EXPECTED_FAULTS[strategy] - {FaultKind.BAD_CERTIFICATE}, "no certificates are made here"
    assert accused(cluster) <= set(faulty_nodes(4))


@OTHERS
def test_two_liars_among_seven(name):
    turns = iter(["bad-coin-shares", "bad-decryption-shares"])
    cluster = attacked(7, lambda context: STRATEGIES[next(turns)](context), settings=settings(name, 7), epochs=3)
    assert accused(cluster) <= set(faulty_nodes(7))
