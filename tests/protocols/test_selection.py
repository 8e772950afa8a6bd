"""Which waiting transactions a node proposes: a random choice, or the oldest."""

import pytest
from support.byzantine.harness import parameters

from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.transactions import EMPTY

WAITING = [b"%03d" % k for k in range(100)]


def first_block(selection, seed=1):
    """Block 1, where each of four nodes proposes 4 of the same 100 transactions that wait in the same order."""
    cluster = SimulatedCluster(
        4, seed, parameters=parameters(4, batch_size=16, encryption="never", selection=selection)
    )
    for me in range(4):
        cluster.submit(me, WAITING)
    cluster.start()
    cluster.run_until_epoch(1)
    cluster.check()
    return cluster.applications[0].blocks[0][2]


@pytest.mark.parametrize("seed", range(3))
def test_the_oldest_are_the_same_at_all_nodes(seed):
    """What it costs: N proposals of the same transactions make a block of B/N."""
    assert sorted(first_block("oldest", seed)) == WAITING[:4]


@pytest.mark.parametrize("seed", range(3))
def test_random_ones_differ(seed):
    block = first_block("random", seed)
    assert len(block) > 8
    assert set(block) - set(WAITING[:4])


def test_nothing_is_proposed_while_the_disk_lags(monkeypatch):
    cluster = SimulatedCluster(4, 1, parameters=parameters(4, selection="oldest"))
    cluster.submit(0, WAITING)
    node, application = cluster.nodes[0], cluster.applications[0]
    monkeypatch.setattr(type(application), "busy", True)
    assert node._select(1) is EMPTY
    monkeypatch.setattr(type(application), "busy", False)
    assert list(node._select(1)) == WAITING[: cluster.parameters.transactions_per_node(4)]


def test_what_was_not_accepted_is_the_oldest_again():
    """Reserved for an epoch, and back at the head of the queue if the epoch leaves it out."""
    cluster = SimulatedCluster(4, 1, parameters=parameters(4, batch_size=16, selection="oldest"))
    cluster.submit(0, WAITING)
    node, application = cluster.nodes[0], cluster.applications[0]
    assert list(node._select(1)) == WAITING[:4]
    application.release(1)
    assert list(node._select(2)) == WAITING[:4]
