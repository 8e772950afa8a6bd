"""Whole clusters without lies: silence, slowness, odd schedules, idle nodes. Scenarios 24, 25, 34, 35, 37, 38."""

import pytest
from support.byzantine.harness import attacked, faulty_nodes, parameters, proposers, verify, watched

from honeybadger.protocols.honey_badger.messages import Echo, Ready, Val
from honeybadger.simulation.cluster import Strategy
from honeybadger.simulation.schedulers import Late, Starve, Together, fifo, lifo, shuffled

#: f = 1 and 2, and a size that is not 3f+1; the others in long runs only
ALL_SIZES = [4, 6, 7, *(pytest.param(nodes, marks=pytest.mark.soak) for nodes in (5, 8, 9, 10))]
SCHEDULERS = {
    "fifo": fifo,
    "lifo": lifo,
    "shuffled": shuffled,
    "delayed": Late(10_000),
    "starve": Together(shuffled, Starve([0], patience=5_000)),
    "starve broadcast": Together(shuffled, Starve([1], (Val, Echo, Ready), patience=5_000)),
}


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("encryption", ["always", "never"])
def test_tiny_clusters(nodes, encryption):
    """N = 1, 2, 3, with f = 0: three epochs, nothing left over."""
    cluster = watched(nodes, 1, parameters=parameters(nodes, encryption=encryption))
    for k in range(3):
        tx = [b"tx %d" % k]
        cluster.submit(k % nodes, tx)
        cluster.poke(k % nodes)
        cluster.run_until_committed(tx)
    cluster.network.run()
    verify(cluster)
    assert all(len(p) == nodes for _, p, _ in cluster.applications[0].blocks)


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_all_correct(nodes):
    schedule = "every-round" if nodes == 4 else "fixed-fixed-coin"
    attacked(nodes, faulty=[], settings=parameters(nodes, coin_schedule=schedule))


@pytest.mark.parametrize(("nodes", "faults"), [(4, 0), (7, 1), (10, 1), (9, 0)])
def test_fewer_faults_than_possible(nodes, faults):
    """Scenario 37: N far above 3f+1."""
    cluster = watched(nodes, 2, faults=faults, byzantine={me: Strategy() for me in range(faults)})
    cluster.submit(nodes - 1, [b"tx"])
    cluster.start()
    cluster.run_until_committed([b"tx"])
    verify(cluster)
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_silent_from_the_start(nodes):
    """Scenario 24: progress; the subset excludes the silent."""
    cluster = attacked(nodes)
    assert not proposers(cluster) & set(faulty_nodes(nodes))
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(nodes, scheduler):
    """Scenario 34: progress whenever everything is delivered in the end, with f silent nodes."""
    settings = parameters(nodes, pipeline_depth=3)
    cluster = attacked(nodes, scheduler=SCHEDULERS[scheduler], settings=settings, epochs=1)
    cluster.network.run(max_steps=60_000)
    verify(cluster)
    assert not cluster.network.faults
    heights = {len(application.blocks) for application in cluster.applications.values()}
    assert len(heights) == 1, "nobody is left behind"


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("busy", ["one", "f+1"])
def test_idle_nodes_propose_empty_batches(nodes, busy):
    """Scenario 38: empty queues at N-1 nodes, and at N-f-1 nodes."""
    cluster = watched(nodes, 4)
    transactions = [b"tx %d" % me for me in range(1 if busy == "one" else cluster.quorums.weak)]
    for me, tx in enumerate(transactions):
        cluster.submit(me, [tx])
    cluster.start()
    cluster.run_until_committed(transactions)
    cluster.network.run()
    verify(cluster)


@pytest.mark.parametrize("encryption", ["always", "never"])
def test_censored_node(encryption):
    """Scenario 35: one node's broadcasts are starved; its transaction commits through the others' queues."""
    target = 2
    scheduler = Together(shuffled, Starve([target], (Val,), 30_000))
    cluster = watched(4, 5, scheduler=scheduler, parameters=parameters(4, encryption=encryption))
    for me in cluster.correct:
        cluster.submit(me, [b"censored"])
        cluster.submit(me, [b"tx %d %d" % (me, k) for k in range(6)])
    cluster.start()
    cluster.run_until_committed([b"censored"])
    assert max(len(application.blocks) for application in cluster.applications.values()) <= 4
    verify(cluster)


@pytest.mark.parametrize("encryption", ["every:2", "first:1,of:3"])
def test_mixed_encryption(encryption):
    """Encrypted and plaintext epochs follow each other in one pipeline."""
    cluster = attacked(4, settings=parameters(4, encryption=encryption), epochs=5)
    assert len(cluster.applications[0].blocks) >= 5
    assert not cluster.network.faults
