"""Twins: f identities exist twice; the others agree, go on, and accuse nobody else."""

import pytest
from support.byzantine.harness import accused, faulty_nodes, parameters, verify, watched

from honeybadger.protocols.faults import FaultKind
from honeybadger.simulation.schedulers import Late, lifo, shuffled
from honeybadger.simulation.twins import Twins

SCHEDULERS = (shuffled, lifo, Late(2_000))


def with_twins(nodes, seed, encryption="never", cut=True):
    """Three transactions per node; for a while the correct nodes cannot all reach each other."""
    twins = {me: Twins(seed * 10 + me) for me in faulty_nodes(nodes)}
    settings = parameters(nodes, encryption=encryption, pipeline_depth=1 + seed % 2)
    cluster = watched(nodes, seed, scheduler=SCHEDULERS[seed % 3], byzantine=twins, parameters=settings)
    wanted = [b"tx %d of %d" % (k, me) for me in cluster.correct for k in range(3)]
    for me in cluster.correct:
        cluster.submit(me, [tx for tx in wanted if tx.endswith(b" of %d" % me)])
    if cut:
        half = len(cluster.correct) // 2
        cluster.network.cut([cluster.correct[:half], [*cluster.correct[half:], *twins]])
    cluster.start()
    if cut:
        cluster.network.run()
        cluster.check()
        cluster.network.heal()
    cluster.run_until_committed(wanted)
    cluster.network.run()
    verify(cluster)
    assert accused(cluster) <= set(twins)
    return cluster


@pytest.mark.parametrize("seed", range(12))
def test_twins_of_four(seed):
    with_twins(4, seed)


@pytest.mark.parametrize("seed", range(4))
def test_two_pairs_of_twins_of_seven(seed):
    with_twins(7, seed, "never" if seed else "always")


def test_twins_are_caught():
    """So the attack is one: over some seeds, correct nodes see the two voices of one identity."""
    caught = {fault.kind for seed in range(12) for fault in with_twins(4, seed, cut=False).network.faults}
    assert FaultKind.EQUIVOCATION in caught
