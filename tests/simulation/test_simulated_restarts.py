"""Scenarios 25, 27 and 28: too many down, a lost journal, all down at once."""

import random

import pytest
from crash_runs import crash_cluster, finish

from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.journals import JournalModel, PinsOnly
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.schedulers import delayed


def all_die(cluster, returning=None):
    """Everybody dies at once and is started again at once; only `returning`, if given."""
    for node in cluster.live.values():
        node.crash()
    for me in cluster.correct if returning is None else returning:
        cluster.restart(me)


@pytest.mark.parametrize("nodes", [4, 7])
def test_one_too_many_down(nodes):
    """Scenario 25: f+1 crash: nothing is committed, nothing decided wrongly; progress when one returns."""
    f = Quorums.largest_faults(nodes)
    cluster = crash_cluster(nodes, 1)
    cluster.start()
    finish(cluster)
    height = len(cluster.ledgers[0].blocks)
    for me in range(f + 1):
        cluster.live[me].crash()
    cluster.submit(nodes - 1, [b"later"])
    cluster.poke(nodes - 1)
    with pytest.raises(Stalled, match="nothing left"):
        cluster.run_until_committed([b"later"])
    assert all(len(ledger.blocks) == height for ledger in cluster.ledgers.values())
    cluster.restart(0)
    cluster.run(lambda: all(node.protocol.epoch > height + 1 for node in cluster.live.values() if node.up))
    for me in range(1, f + 1):
        cluster.restart(me)
    finish(cluster)
    assert b"later" in cluster.ledgers[0].transactions
    assert not cluster.network.faults


@pytest.mark.parametrize("seed", range(6))
def test_lost_journal(seed):
    """Scenario 27: silent through the bound, then it takes part again; the others are not held up."""
    me = seed % 4
    cluster = crash_cluster(4, seed)
    cluster.excused.add(me)
    cluster.start()
    cluster.run(lambda: cluster.network.steps > 30 + 40 * seed)
    cluster.live[me].crash()
    journal = cluster.live[me].journal
    journal.lose(margin=3)
    bound = journal.silent_through
    spoke = []
    transmit = cluster.network.transmit
    cluster.network.transmit = lambda s, r, m: (spoke.append((s, m.epoch)), transmit(s, r, m))[1]
    cluster.restart(me)
    for epoch in range(1, bound + 3):
        cluster.submit((me + 1) % 4, [b"more %d" % epoch])
        cluster.poke((me + 1) % 4)
        cluster.run_until_committed([b"more %d" % epoch])
    finish(cluster)
    mine = {epoch for sender, epoch in spoke if sender == me}
    assert bound + 1 in mine and min(mine) == bound + 1
    assert not cluster.network.faults


@pytest.mark.parametrize("encryption", ["never", "always"])
@pytest.mark.parametrize("nodes", [4, 7])
def test_all_restart_together(nodes, encryption):
    """Scenario 28, at many points of an epoch: they resume from their journals."""
    for steps in range(5, 330, 12) if (nodes, encryption) == (4, "never") else (60, 130, 200):
        all_restart_after(steps, nodes, encryption)


def all_restart_after(steps, nodes, encryption, make_journal=JournalModel):
    cluster = crash_cluster(nodes, steps, encryption=encryption, make_journal=lambda node: make_journal())
    cluster.at(steps, lambda: all_die(cluster))
    cluster.start()
    finish(cluster)
    assert not cluster.network.faults


def test_bvals_must_be_sent_again():
    """Oracle: votes that only pin a node stall four correct nodes, all of which return.

    Three hold AUX(1) for BVAL(1) that nobody remembers to have sent: after the restart all but one input 0.
    """
    stalled = 0
    for steps in range(201, 260, 4):
        try:
            all_restart_after(steps, 4, "never", PinsOnly)
        except Stalled:
            stalled += 1
    assert stalled


def newest_block_at(nodes, holders, seed, gone=(), restart_at_durable=False):
    """All die at the moment at which only `holders` have block 1 on disk; all but `gone` return."""
    cluster = crash_cluster(nodes, seed)
    cluster.disk = lambda node, epoch: node in holders
    cluster.start()
    cluster.run(lambda: all(cluster.ledgers[me].durable for me in holders))
    assert sum(ledger.durable for ledger in cluster.ledgers.values()) == len(holders)
    cluster.disk = lambda node, epoch: True
    if restart_at_durable:
        for node in cluster.live.values():
            node.first_epoch = lambda node=node: node.ledger.durable + 1
    back = [me for me in cluster.correct if me not in gone]
    all_die(cluster, back)
    cluster.run(lambda: all(cluster.ledgers[me].certified for me in back))
    for me in gone:
        cluster.restart(me)
    finish(cluster)
    assert not cluster.network.faults


@pytest.mark.parametrize(("nodes", "holders"), [(4, [0]), (4, [3]), (7, [1]), (7, [0, 6])])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("all_return", [True, False])
def test_newest_block_at_no_more_than_f_nodes(nodes, holders, seed, all_return):
    """Scenario 28: nobody can take the block over, so the epoch is run again, by its holders too."""
    f = Quorums.largest_faults(nodes)
    others = [me for me in range(nodes) if me not in holders]
    newest_block_at(nodes, holders, seed, () if all_return else others[:f])


@pytest.mark.parametrize("seed", range(3))
def test_restart_behind_the_durable_block_stalls(seed):
    """Oracle: if a block's holder leaves out the epoch that nobody else has, and f are gone, no quorum runs it."""
    with pytest.raises(Stalled, match="nothing left"):
        newest_block_at(4, [0], seed, gone=[3], restart_at_durable=True)


@pytest.mark.parametrize("seed", range(12))
def test_certified_amid_a_repetition(seed):
    """All die when two have block 1 on disk, uncertified; while they run the epoch again, it is certified."""
    cluster = crash_cluster(4, seed, scheduler=delayed(600))
    cluster.certify = lambda node, epoch: False
    cluster.start()
    cluster.run(lambda: sum(ledger.durable for ledger in cluster.ledgers.values()) >= 2)
    all_die(cluster)
    assert not any(ledger.certified for ledger in cluster.ledgers.values())
    start = cluster.network.steps
    cluster.run(lambda: cluster.network.steps > start + seed % 100)
    cluster.certify = lambda node, epoch: True
    finish(cluster)
    assert not cluster.network.faults


def random_deaths(seed, encryption="never", make_journal=JournalModel):
    """Three of four nodes die and return amid an epoch, together or one by one; the fourth never returns."""
    cluster = crash_cluster(4, seed, encryption=encryption, make_journal=lambda node: make_journal())
    gone, rng = seed % 4, random.Random(seed)
    others = [me for me in range(4) if me != gone]
    if seed % 2:
        cluster.at(rng.randrange(20, 300), lambda: all_die(cluster, others))
    else:
        cluster.at(rng.randrange(60, 200), cluster.live[gone].crash)
        for me in others:
            steps = rng.randrange(60, 300)
            cluster.at(steps, cluster.live[me].crash)
            cluster.at(steps + rng.randrange(5, 60), lambda me=me: cluster.restart(me))
    cluster.start()
    cluster.run(lambda: not cluster._events and all(cluster.ledgers[me].certified for me in others))
    cluster.check()
    assert not cluster.network.faults


@pytest.mark.parametrize("seed", range(40))
def test_a_node_that_never_returns(seed):
    """f nodes are gone for good, and all others have restarted: they go on, since they say again what they had said."""
    random_deaths(seed)


def test_votes_must_be_sent_again():
    """Oracle: ECHOs, READYs and BVALs that nodes sent because of one that is gone are missing after a restart."""
    stalled = 0
    for seed in range(40):
        try:
            random_deaths(seed, make_journal=PinsOnly)
        except Stalled:
            stalled += 1
    assert stalled > 5


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("encryption", ["never", "always"])
def test_nodes_that_never_return_for_long(encryption):
    for seed in range(1000, 2000):
        random_deaths(seed, encryption)


def test_lost_bound_is_not_lost_votes_only():
    """The model's `lose` keeps the bound: what was reserved, and no less."""
    journal = JournalModel()
    journal.reserve(7)
    assert journal.remember(7, 4, 0, 0, b"a") == b"a"
    journal.sync()
    journal.lose()
    assert journal.silent_through == 7
    assert journal.recall(7, 4, 0, 0) is None
