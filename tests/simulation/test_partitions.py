"""Scenarios 29, 30 and 35: partitions that heal, and a scheduler that censors one node."""

import pytest
from support.byzantine.harness import parameters, verify
from support.simulation.crash_runs import crash_cluster, finish

from honeybadger.protocols.honey_badger.messages import Echo, Val
from honeybadger.protocols.quorums import BYZANTINE
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.schedulers import shuffled


@pytest.mark.parametrize(("nodes", "epochs"), [(4, 50), pytest.param(7, 12, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kept", [6, None])
def test_minority_apart(nodes, epochs, kept):
    """Scenario 29: N-f go on; f catch up when it heals, by certified blocks or, if links kept all, by themselves."""
    f = BYZANTINE.largest_faults(nodes)
    minority, majority = list(range(f)), list(range(f, nodes))
    cluster = crash_cluster(nodes, 1)
    if kept is None:
        cluster.far_behind = None
    cluster.network.cut([minority, majority])
    cluster.start()
    for k in range(epochs):
        cluster.submit(nodes - 1, [b"more %d" % k])
        cluster.poke(nodes - 1)
        cluster.run(lambda k=k: all(b"more %d" % k in cluster.ledgers[me]._committed for me in majority))
    assert not any(cluster.ledgers[me].blocks for me in minority)
    height = len(cluster.ledgers[nodes - 1].blocks)
    assert height >= epochs
    cluster.network.heal(lambda s, r, m: kept is not None and r in minority and m.epoch <= height - kept)
    finish(cluster)
    adopted = cluster.live[0].adopted
    assert adopted >= height - kept if kept is not None else adopted == 0


@pytest.mark.parametrize(
    ("nodes", "groups"), [(4, [[0, 1], [2, 3]]), (7, [[0, 1, 2], [3, 4, 5, 6]]), (7, [[0, 1], [2, 3], [4, 5, 6]])]
)
@pytest.mark.parametrize("steps", [0, 60, 150])
def test_no_side_has_a_quorum(nodes, groups, steps):
    """Scenario 30: nothing is committed while it lasts; then everything that was held back arrives."""
    cluster = crash_cluster(nodes, steps + 2)
    cluster.start()
    cluster.run(lambda: cluster.network.steps >= steps)
    cluster.network.cut(groups)
    with pytest.raises(Stalled, match="nothing left"):
        finish(cluster)
    cluster.check()
    heights = [len(ledger.blocks) for ledger in cluster.ledgers.values()]
    cluster.submit(0, [b"later"])
    cluster.poke(0)
    with pytest.raises(Stalled, match="nothing left"):
        cluster.run_until_committed([b"later"])
    assert [len(ledger.blocks) for ledger in cluster.ledgers.values()] == heights
    cluster.network.heal()
    finish(cluster)


def epochs_until_included(encryption, seed):
    """All nodes have a transaction among others; the scheduler may keep one proposal per epoch out of the subset.

    It knows what it can read: of plaintext epochs it delays the first proposal that has the transaction, of encrypted
    ones that of node 2. Returns the epoch whose block has the transaction.
    """
    tx, victims = b"CENSOR", {}

    def censor(step, sender, recipient, message, rng):
        late = False
        if isinstance(message, Val | Echo):
            j = message.proposer
            if encryption == "always":
                late = j == 2
            elif tx in cluster.applications[j]._reserved.get(message.epoch, ()):
                late = victims.setdefault(message.epoch, j) == j
        return shuffled(step, sender, recipient, message, rng) + (5_000 if late else 0)

    cluster = SimulatedCluster(4, seed, scheduler=censor, parameters=parameters(4, encryption=encryption))
    for me in cluster.correct:
        cluster.submit(me, [tx, *(b"%d other %d" % (k, me) for k in range(20))])
    cluster.start()
    cluster.run_until_committed([tx])
    verify(cluster)
    return next(epoch for epoch, _, txs in cluster.applications[0].blocks if tx in txs)


def test_encryption_hides_what_to_censor():
    """Scenario 35: included within a bound; later, on average, where the scheduler can read the proposals."""
    encrypted = [epochs_until_included("always", seed) for seed in range(6)]
    plain = [epochs_until_included("never", seed) for seed in range(6)]
    print(f"epochs until the transaction is included: encrypted {encrypted}, plain {plain}")
    assert max(encrypted) <= 8
    assert sum(encrypted) < sum(plain)
