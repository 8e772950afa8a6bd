"""Whole clusters without lies: silence, slowness, odd schedules, idle nodes. Scenarios 24, 25, 34, 35, 37, 38."""

import pytest
from byzantine.harness import ALL_SIZES, SIZES, Monitor, attacked, faulty_nodes, parameters, proposers, verify
from byzantine.puppet import Silent, Sleeper

from honeybadger.protocols.messages import Echo, Ready, Val
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.schedulers import delayed, fifo, lifo, shuffled, starve

SCHEDULERS = {
    "fifo": fifo,
    "lifo": lifo,
    "shuffled": shuffled,
    "delayed": delayed(10_000),
    "starve": starve([0], patience=5_000),
    "starve broadcast": starve([1], (Val, Echo, Ready), patience=5_000),
}


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("encryption", ["always", "never"])
def test_tiny_clusters(nodes, encryption):
    """N = 1, 2, 3, with f = 0: three epochs, nothing left over."""
    cluster = SimulatedCluster(nodes, 1, parameters=parameters(nodes, encryption=encryption))
    Monitor(cluster)
    for k in range(3):
        tx = [b"tx %d" % k]
        cluster.submit(k % nodes, tx)
        cluster.nodes[k % nodes].poke()
        cluster.run_until_committed(tx)
    cluster.network.run()
    verify(cluster)
    assert not cluster.network.faults
    assert all(len(p) == nodes for _, p, _ in cluster.applications[0].blocks)


@pytest.mark.parametrize(
    ("nodes", "schedule"), [(4, "every-round"), (6, "every-round"), *((n, "fixed-fixed-coin") for n in ALL_SIZES)]
)
def test_all_correct(nodes, schedule):
    cluster = attacked(nodes, lambda me: Silent(), faulty=[], settings=parameters(nodes, coin_schedule=schedule))
    assert not cluster.network.faults


@pytest.mark.parametrize(("nodes", "faults"), [(4, 0), (7, 1), (10, 1), (9, 0)])
def test_fewer_faults_than_possible(nodes, faults):
    """Scenario 37: N far above 3f+1."""
    cluster = SimulatedCluster(
        nodes, 2, faults=faults, byzantine={me: Silent() for me in range(faults)}, parameters=parameters(nodes)
    )
    Monitor(cluster)
    cluster.submit(nodes - 1, [b"tx"])
    cluster.start()
    cluster.run_until_committed([b"tx"])
    verify(cluster)
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_silent_from_the_start(nodes):
    """Scenario 24: progress; the subset excludes the silent."""
    cluster = attacked(nodes, lambda me: Silent())
    assert not proposers(cluster) & set(faulty_nodes(nodes))
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", SIZES)
def test_one_too_many_silent(nodes):
    """Scenario 25: f+1 silent: no progress, nothing decided wrongly; progress when one returns."""
    away = [faulty_nodes(nodes)[0] - 1, *faulty_nodes(nodes)]
    sleepers = {me: Sleeper() for me in away}
    cluster = SimulatedCluster(nodes, 3, byzantine=sleepers, parameters=parameters(nodes))
    Monitor(cluster)
    cluster.submit(0, [b"tx"])
    cluster.start()
    with pytest.raises(Stalled, match="nothing left"):
        cluster.run_until_committed([b"tx"])
    assert not any(application.blocks for application in cluster.applications.values())
    assert all(node.epoch == 1 for node in cluster.nodes.values())
    sleepers[away[0]].wake()
    cluster.run_until_committed([b"tx"])
    verify(cluster)
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", [4, 5, 7])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(nodes, scheduler):
    """Scenario 34: progress whenever everything is delivered in the end, with f silent nodes."""
    settings = parameters(nodes, pipeline_depth=3)
    cluster = attacked(nodes, lambda me: Silent(), scheduler=SCHEDULERS[scheduler], settings=settings, epochs=1)
    cluster.network.run(max_steps=60_000)
    verify(cluster)
    assert not cluster.network.faults
    heights = {len(application.blocks) for application in cluster.applications.values()}
    assert len(heights) == 1, "nobody is left behind"


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("busy", [1, None])
def test_idle_nodes_propose_empty_batches(nodes, busy):
    """Scenario 38: empty queues at N-1 nodes, and at N-f-1 nodes."""
    cluster = SimulatedCluster(nodes, 4, parameters=parameters(nodes))
    Monitor(cluster)
    busy = len(faulty_nodes(nodes)) + 1 if busy is None else busy
    transactions = [b"tx %d" % me for me in range(busy)]
    for me, tx in enumerate(transactions):
        cluster.submit(me, [tx])
    cluster.start()
    cluster.run_until_committed(transactions)
    cluster.network.run()
    verify(cluster)
    assert not cluster.network.faults


def test_nothing_happens_without_transactions():
    cluster = SimulatedCluster(4, 1)
    cluster.start()
    assert not cluster.network.pending()


@pytest.mark.parametrize("encryption", ["always", "never"])
def test_censored_node(encryption):
    """Scenario 35: one node's broadcasts are starved; its transaction commits through the others' queues."""
    target = 2
    cluster = SimulatedCluster(
        4, 5, scheduler=starve([target], (Val,), 30_000), parameters=parameters(4, encryption=encryption)
    )
    Monitor(cluster)
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
    cluster = attacked(4, lambda me: Silent(), settings=parameters(4, encryption=encryption), epochs=5)
    assert len(cluster.applications[0].blocks) >= 5
    assert not cluster.network.faults


def test_same_seed_same_run():
    """Determinism: the same messages in the same order, block for block."""

    def trace(seed):
        cluster = SimulatedCluster(4, seed)
        trail = []
        transmit = cluster.network.transmit
        cluster.network.transmit = lambda *args: (trail.append(args), transmit(*args))[1]
        cluster.submit(0, [b"tx"])
        cluster.start()
        cluster.run_until_committed([b"tx"])
        return trail, cluster.applications[0].blocks

    assert trace(1) == trace(1)
    assert trace(1)[0] != trace(2)[0]


@pytest.mark.soak
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_many_epochs(scheduler):
    cluster = attacked(10, lambda me: Silent(), scheduler=SCHEDULERS[scheduler], epochs=40)
    assert not cluster.network.faults
