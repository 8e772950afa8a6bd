"""The node's real vote journal on disk, under simulated nodes that are killed and started again."""

import random

import pytest
from support.simulation.crash_runs import POINTS, DiskJournal, crash_cluster, crash_in_tick, finish

from honeybadger.node.journal import Journal

CHAIN = b"simulated chain".ljust(32, b".")


def with_disks(tmp_path, nodes, seed, **how):
    def make(node):
        path = tmp_path / f"{seed}-{node}"
        path.mkdir()
        return DiskJournal(path, lambda folder, first_epoch: Journal(folder, CHAIN, 0, "os", first_epoch))

    return crash_cluster(nodes, seed, make_journal=make, **how)


@pytest.mark.parametrize("point", POINTS)
def test_crash_points(tmp_path, point):
    """Scenario 26."""
    for k in range(1, 32, 3):
        cluster = with_disks(tmp_path, 4, k)
        crash_in_tick(cluster, k % 4, k, point, random.Random(k).randrange(100))
        cluster.start()
        finish(cluster)
        assert not cluster.network.faults


@pytest.mark.parametrize("encryption", ["never", "always"])
def test_all_killed_together(tmp_path, encryption):
    """Scenario 28."""
    for steps in range(20, 320, 60):
        cluster = with_disks(tmp_path, 4, steps, encryption=encryption)

        def all_die(cluster=cluster):
            for node in cluster.live.values():
                node.crash()
            for me in cluster.correct:
                cluster.restart(me)

        cluster.at(steps, all_die)
        cluster.start()
        finish(cluster)
        assert not cluster.network.faults


def test_lost_segments(tmp_path):
    """Scenario 27: the segments are gone, the bound is not: silent through it; the others go on without this node."""
    cluster = with_disks(tmp_path, 4, 1)
    cluster.start()
    cluster.run(lambda: cluster.network.steps > 120)
    node = cluster.live[0]
    node.crash()
    node.journal.lose()
    silent = []
    transmit = cluster.network.transmit
    cluster.network.transmit = lambda s, r, m: (silent.append(m.epoch) if s == 0 else None, transmit(s, r, m))[1]
    cluster.restart(0)
    assert node.journal.silent_through > 0
    finish(cluster)
    assert all(epoch > node.journal.silent_through for epoch in silent)
    assert not cluster.network.faults


def test_pruned_behind_certified_blocks_only(tmp_path):
    """After a restart the votes of a durable, uncertified block are there; of the certified ones, those of the last
    `pipeline_depth`, whose shards others may want."""
    cluster = with_disks(tmp_path, 4, 2)
    cluster.start()
    finish(cluster)
    for transaction in (b"second", b"third"):
        cluster.submit(0, [transaction])
        cluster.poke(0)
        cluster.run_until_committed([transaction])
        finish(cluster)
    height = cluster.ledgers[0].certified
    cluster.certify = lambda node, epoch: False
    cluster.submit(0, [b"more"])
    cluster.poke(0)
    cluster.run_until_committed([b"more"])
    assert cluster.ledgers[0].durable > height == cluster.ledgers[0].certified
    node = cluster.live[0]
    node.crash()
    cluster.restart(0)
    epochs = list(node.journal.real.epochs())
    assert height > 2 and height + 1 in epochs
    assert min(epochs) == height + 1 - cluster.parameters.pipeline_depth
    cluster.certify = lambda node, epoch: True
    finish(cluster)
