"""Scenario 26: a node dies at every point of an epoch at which it writes a vote down, and comes back."""

import random

import pytest
from crash_runs import POINTS, CrashPoint, crash_cluster, crash_in_tick, finish, remembers

from honeybadger.simulation.journals import Forgetful
from honeybadger.simulation.one_shot import SaidTwice


def crash_everywhere(nodes, me, point, seed, ks=None, **how):
    """One run for every k; returns how many crashes there were."""
    count = remembers(crash_cluster(nodes, seed, **how), me)
    crashes = 0
    for k in ks or range(1, count + 1):
        cluster = crash_cluster(nodes, seed, **how)
        crash_in_tick(cluster, me, k, point, random.Random(f"{seed} {k}").randrange(150))
        cluster.start()
        finish(cluster)
        assert not cluster.network.faults
        crashes += cluster.live[me].incarnation - 1
    return crashes


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("me", range(4))
def test_every_point(me, point):
    """No conflicting one-shot message, agreement, progress."""
    assert crash_everywhere(4, me, point, seed=10 * me + point.value) > 15


@pytest.mark.parametrize("point", POINTS)
def test_every_point_with_encryption_and_a_coin_each_round(point):
    from byzantine.harness import parameters

    settings = parameters(4, encryption="always", coin_schedule="every-round", pipeline_depth=2)
    assert crash_everywhere(4, 1, point, 3, range(1, 30, 4), parameters=settings) > 5


@pytest.mark.parametrize("point", POINTS)
def test_points_of_seven_nodes(point):
    assert crash_everywhere(7, 2, point, 5, range(2, 30, 9)) == 4


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("point", POINTS)
def test_every_point_for_long(nodes, seed, point):
    for me in range(nodes):
        crash_everywhere(nodes, me, point, 100 + seed, encryption="always", depth=1 + seed % 3)


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


@pytest.mark.parametrize("seed", range(4))
def test_a_node_that_dies_again_and_again(seed):
    """Three crashes in a row, also of the incarnation that is just catching up."""
    cluster = crash_cluster(4, seed)
    me = seed % 4
    rng = random.Random(seed)
    for _ in range(3):
        crash_at = rng.randrange(20, 250)
        cluster.at(crash_at, cluster.live[me].crash)
        cluster.at(crash_at + rng.randrange(60), lambda: cluster.restart(me))
    cluster.start()
    finish(cluster)
    assert not cluster.network.faults
