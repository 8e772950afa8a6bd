"""Scenarios 25, 27 and 28: too many down, a lost journal, all down at once."""

import random

import pytest
from support.simulation.crash_runs import crash_cluster, finish

from honeybadger.protocols.quorums import BYZANTINE
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.network import Stalled


class PinsOnly(JournalModel):
    """Keeps a node from contradicting itself, but does not let it send its votes again."""

    def epochs(self):
        return ()

    def votes(self, epoch):
        return ()


def all_die(cluster, returning=None):
    """Everybody dies at once and is started again at once; only `returning`, if given."""
    for node in cluster.live.values():
        node.crash()
    for me in cluster.correct if returning is None else returning:
        cluster.restart(me)


@pytest.mark.parametrize("nodes", [4, 7])
def test_one_too_many_down(nodes):
    """Scenario 25: f+1 crash: nothing is committed, nothing decided wrongly; progress when one returns."""
    f = BYZANTINE.largest_faults(nodes)
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


@pytest.mark.parametrize("seed", range(6))
def test_lost_journal(seed):
    """Scenario 27: silent through the bound, then it takes part again; the others are not held up."""
    me = seed % 4
    cluster = crash_cluster(4, seed)
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


@pytest.mark.parametrize(
    ("nodes", "encryption", "moments"),
    [(4, "never", range(5, 330, 12)), (4, "always", [60, 130, 200]), (7, "never", [60, 200]), (7, "always", [130])],
)
def test_all_restart_together(nodes, encryption, moments):
    """Scenario 28, at many points of an epoch: they resume from their journals."""
    for steps in moments:
        cluster = crash_cluster(nodes, steps, encryption=encryption)
        cluster.at(steps, lambda cluster=cluster: all_die(cluster))
        cluster.start()
        finish(cluster)


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


@pytest.mark.parametrize(("nodes", "holders"), [(4, [0]), (4, [3]), (7, [1]), (7, [0, 6])])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("all_return", [True, False])
def test_newest_block_at_no_more_than_f_nodes(nodes, holders, seed, all_return):
    """Scenario 28: nobody can take the block over, so the epoch is run again, by its holders too."""
    f = BYZANTINE.largest_faults(nodes)
    others = [me for me in range(nodes) if me not in holders]
    newest_block_at(nodes, holders, seed, () if all_return else others[:f])


@pytest.mark.parametrize("seed", range(3))
def test_restart_behind_the_durable_block_stalls(seed):
    """Oracle: if a block's holder leaves out the epoch that nobody else has, and f are gone, no quorum runs it."""
    with pytest.raises(Stalled, match="nothing left"):
        newest_block_at(4, [0], seed, gone=[3], restart_at_durable=True)


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
    cluster.run(lambda: not cluster.planned and all(cluster.ledgers[me].certified for me in others))
    cluster.check()


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
