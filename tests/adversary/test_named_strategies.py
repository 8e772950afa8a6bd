"""Every strategy that a node process can run, on whole clusters: progress, agreement, and whom correct nodes accuse."""

from collections import defaultdict
from dataclasses import replace

import pytest
from byzantine.harness import LIMIT, Monitor, faulty_nodes, parameters, rushing, starve_some

from honeybadger.adversary import EXPECTED_FAULTS, POSSIBLE_FAULTS, STRATEGIES
from honeybadger.adversary.simulated import Simulated
from honeybadger.protocols.base import FaultKind
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.network import Endpoint, NetworkOutbox
from honeybadger.simulation.schedulers import lifo, shuffled

#: whole nodes record these, the protocol alone does not
OUTSIDE = {FaultKind.BAD_CERTIFICATE}


class Unwindowed(NetworkOutbox):
    """As the outbox of a node whose links can be told to disregard the receiver's window."""

    def send_now(self, node, message):
        self.send(node, message)


class Flooder(Simulated):
    """Its messages reach nodes whatever their windows are."""

    def start(self, node):
        node.context = replace(node.context, outbox=Unwindowed(node.outbox._network, node.me))
        super().start(node)


def run(name, nodes, *, epochs, seed=1, scheduler=shuffled, faulty=None, settings=None, strategy=Simulated):
    """A run of `epochs` epochs with f nodes of this strategy (or these); returns the cluster, checked, and the faults.

    The correct nodes get a transaction each now and then; what they commit is what was submitted to them.
    """
    faulty = faulty_nodes(nodes) if faulty is None else faulty
    names = [name] * len(faulty) if isinstance(name, str) else name
    byzantine = {me: strategy(STRATEGIES[its]) for me, its in zip(faulty, names, strict=True)}
    cluster = SimulatedCluster(
        nodes, seed, scheduler=scheduler, parameters=settings or parameters(nodes), byzantine=byzantine
    )
    Monitor(cluster)
    if strategy is Flooder:
        for me, protocol in cluster.nodes.items():
            cluster.network.attach(me, Endpoint(protocol.handle))
    cluster.start()
    for epoch in range(1, epochs + 1):
        me = cluster.correct[epoch % len(cluster.correct)]
        cluster.submit(me, [b"transaction %d" % epoch])
        cluster.nodes[me].poke()
        cluster.run_until_epoch(epoch, LIMIT)
    cluster.check()
    for application in cluster.applications.values():
        assert set(application.transactions) <= cluster.submitted
    kinds = defaultdict(set)
    for fault in cluster.network.faults:
        kinds[fault.node].add(fault.kind)
    assert set(kinds) <= set(faulty)
    for me, its in zip(faulty, names, strict=True):
        assert kinds[me] <= POSSIBLE_FAULTS[its]
    return cluster, kinds


def test_tables_name_the_same_strategies():
    assert set(STRATEGIES) == set(EXPECTED_FAULTS) == set(POSSIBLE_FAULTS)
    assert all(EXPECTED_FAULTS[name] <= POSSIBLE_FAULTS[name] for name in STRATEGIES)


@pytest.mark.parametrize(("nodes", "epochs"), [(4, 10), (7, 7)])
@pytest.mark.parametrize("name", STRATEGIES)
def test_expected_faults(name, nodes, epochs):
    """They show everything that the table promises, about each of the f nodes, and every epoch is committed.

    A faulty node lies to others only, so its own object keeps up and the attack goes on.
    """
    cluster, kinds = run(name, nodes, epochs=epochs)
    for me in faulty_nodes(nodes):
        assert kinds[me] >= EXPECTED_FAULTS[name] - OUTSIDE
    transactions = set(cluster.applications[0].transactions)
    assert len(transactions) >= epochs - 2, "what was submitted in all but the last epochs is committed"
    liar = cluster.byzantine[nodes - 1].strategy.protocol
    cluster.network.run(lambda: liar.epoch > epochs, LIMIT)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("order", ["rushing", "lifo", "starved"])
def test_other_orders_and_coins(name, order):
    """The attacker first; newest first; a slow correct node, so that the attacker is needed. A coin in each round."""
    schedulers = {"rushing": rushing([1]), "lifo": lifo, "starved": starve_some(4, [1])}
    settings = parameters(4, coin_schedule="every-round", pipeline_depth=2)
    run(name, 4, epochs=3, seed=5, scheduler=schedulers[order], faulty=[1], settings=settings)


@pytest.mark.parametrize("name", ["bad-coin-shares", "stale-shares"])
def test_bad_coin_shares_where_there_are_coins(name):
    settings = parameters(4, coin_schedule="every-round")
    _, kinds = run(name, 4, epochs=6, scheduler=rushing([3]), settings=settings)
    assert FaultKind.BAD_COIN_SHARE in kinds[3]


@pytest.mark.parametrize("encryption", ["never", "every:2"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_plaintext_epochs(name, encryption):
    """Strategies that lie about ciphertexts do so only where there are any."""
    settings = parameters(4, encryption=encryption)
    _, kinds = run(name, 4, epochs=6, settings=settings)
    if name == "garbage-proposals" and encryption == "never":
        assert kinds[3] == {FaultKind.BAD_CONTRIBUTION}


@pytest.mark.parametrize("nodes", [4, 7])
def test_flood_beyond_the_window(nodes):
    """With links that disregard windows the far epochs arrive, are refused and kept nowhere."""
    cluster, kinds = run("flood", nodes, epochs=6, strategy=Flooder)
    for me in faulty_nodes(nodes):
        assert kinds[me] >= {FaultKind.FUTURE_EPOCH, FaultKind.FUTURE_ROUND, FaultKind.NOT_A_MEMBER}
    for protocol in cluster.nodes.values():
        assert max(protocol._epochs, default=0) <= protocol.horizon


@pytest.mark.parametrize("name", STRATEGIES)
def test_same_seed_same_run(name):
    """Everything a strategy does comes from its context's randomness and from what it hears."""
    first, second = (run(name, 4, epochs=2, seed=9)[0] for _ in range(2))
    assert first.network.steps == second.network.steps
    assert first.network.faults == second.network.faults
    assert [a.blocks for a in first.applications.values()] == [a.blocks for a in second.applications.values()]


def test_liars_may_meet_liars():
    """Node 5 copies the proposal of node 6 in its fifth epoch, and that is no codeword."""
    run(("garbage-proposals", "bad-shards"), 7, epochs=5)


def test_silence_is_complete():
    """Not a single protocol message leaves a silent node."""
    said = []

    def schedule(step, sender, recipient, message, rng):
        said.append((sender, recipient))
        return shuffled(step, sender, recipient, message, rng)

    run("silent", 4, epochs=3, scheduler=schedule)
    assert (0, 3) in said
    assert {recipient for sender, recipient in said if sender == 3} <= {3}
