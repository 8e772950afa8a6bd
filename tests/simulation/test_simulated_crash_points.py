"""Scenario 26: a node dies at every point of an epoch at which it writes a vote down, and comes back."""

import random

import pytest
from support.byzantine.harness import parameters
from support.simulation.crash_runs import POINTS, CrashPoint, crash_cluster, crash_in_tick, finish

from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.search.said_once import SaidTwice


class Forgetful(JournalModel):
    def remember(self, epoch, vote, proposer, round_number, value):
        return value


def crash_everywhere(nodes, me, point, seed, ks, **how):
    """One run for every k; returns how many crashes there were."""
    crashes = 0
    for k in ks:
        cluster = crash_cluster(nodes, seed, **how)
        crash_in_tick(cluster, me, k, point, random.Random(f"{seed} {k}").randrange(150))
        cluster.start()
        finish(cluster)
        crashes += cluster.live[me].incarnation - 1
    return crashes


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("me", [*(pytest.param(me, marks=pytest.mark.soak) for me in (0, 1, 3)), 2])
def test_every_point(me, point):
    """No conflicting one-shot message, agreement, progress."""
    seed = 10 * me + point.value
    unharmed = crash_cluster(4, seed)
    unharmed.start()
    finish(unharmed)
    assert crash_everywhere(4, me, point, seed, range(1, 1 + unharmed.live[me].remembered)) > 15


@pytest.mark.parametrize("point", POINTS)
def test_some_points_with_encryption_and_a_coin_each_round(point):
    settings = parameters(4, encryption="always", coin_schedule="every-round", pipeline_depth=2)
    assert crash_everywhere(4, 1, point, 3, (3, 12, 21), parameters=settings) == 3


@pytest.mark.parametrize("point", POINTS)
def test_some_points_of_seven_nodes(point):
    assert crash_everywhere(7, 2, point, 5, range(2, 30, 9)) == 4


def test_without_a_journal_the_monitor_sees_two_values():
    """Oracle: a node that remembers nothing contradicts itself on the wire; so the monitor can fail."""
    seen = 0
    for k in range(1, 12):
        cluster = crash_cluster(4, k, make_journal=lambda node: Forgetful(), encryption="always")
        crash_in_tick(cluster, 0, k, CrashPoint.AFTER_SEND, 40)
        cluster.start()
        try:
            finish(cluster)
        except SaidTwice:
            seen += 1
    assert seen > 5
