"""Every strategy that a node process can run, on whole clusters: progress, agreement, and whom correct nodes accuse."""

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from support.byzantine import STRATEGIES
from support.byzantine.attacks import Copier, FrontRunner, NoVoter, TermSpam
from support.byzantine.harness import accused, attacked, faulty_nodes, parameters, proposers, rushing

from honeybadger.adversary import EXPECTED_FAULTS, POSSIBLE_FAULTS
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import HoneyBadgerFault
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.schedulers import lifo, shuffled

ROOT = Path(__file__).parents[2]
#: whole nodes record these, the protocol alone does not
OUTSIDE = {FaultKind.BAD_CERTIFICATE}
SEVEN = pytest.param(7, marks=pytest.mark.soak)


class Flooder(Simulated):
    """Its messages reach nodes whatever their windows are, as if its links disregarded them."""

    def start(self, node):
        for endpoint in node.outbox._network._endpoints.values():
            endpoint.horizon = lambda: float("inf")
        node.outbox.send_now = node.outbox.send
        super().start(node)


def adversaries(cluster):
    return [node.strategy.protocol.adversary for node in cluster.byzantine.values()]


def run(name, nodes, **how):
    """A run with f nodes of this strategy (or these); returns the cluster, checked, and the faults by accused node."""
    faulty = how.setdefault("faulty", faulty_nodes(nodes))
    how.setdefault("scheduler", shuffled)
    names = dict(zip(faulty, [name] * len(faulty) if isinstance(name, str) else name, strict=True))
    cluster = attacked(nodes, lambda context: STRATEGIES[names[context.me]](context), **how)
    kinds = defaultdict(set)
    for fault in cluster.network.faults:
        kinds[fault.node].add(fault.kind)
    assert set(kinds) <= set(faulty)
    for me, its in names.items():
        assert kinds[me] <= POSSIBLE_FAULTS[its]
    return cluster, kinds


def test_the_tables_name_all_of_our_own_strategies():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    ours = {*points["honeybadger.strategies"], *points["honeybadger.strategies.honeybadger"]}
    assert ours == set(EXPECTED_FAULTS) == set(POSSIBLE_FAULTS)
    assert all(EXPECTED_FAULTS[name] <= POSSIBLE_FAULTS[name] for name in STRATEGIES)


@pytest.mark.parametrize(("nodes", "epochs"), [(4, 10), pytest.param(7, 3, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", STRATEGIES)
def test_expected_faults(name, nodes, epochs):
    """They show everything that the table promises, about each of the f nodes, and every epoch is committed.

    A faulty node lies to others only, so its own object keeps up and the attack goes on; but a silent one asks nobody
    for the shards that silent holders owe it.
    """
    cluster, kinds = run(name, nodes, epochs=epochs)
    for me in faulty_nodes(nodes):
        assert kinds[me] >= EXPECTED_FAULTS[name] - OUTSIDE
    liar = cluster.byzantine[nodes - 1].strategy.protocol
    if name != "silent" or nodes == 4:
        cluster.network.run(lambda: liar.epoch > epochs)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize(
    "order",
    [
        pytest.param({"scheduler": rushing([1])}, id="rushing", marks=pytest.mark.soak),
        pytest.param({"scheduler": lifo}, id="lifo", marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
        pytest.param({"scheduler": None, "starved": True}, id="starved"),
    ],
)
def test_other_orders_and_coins(name, order):
    """The attacker first; newest first; a slow correct node, so that the attacker is needed. A coin in each round."""
    settings = parameters(4, coin_schedule="every-round", pipeline_depth=2)
    run(name, 4, seed=5, faulty=[1], settings=settings, **order)


@pytest.mark.parametrize("nodes", [6, *(pytest.param(nodes, marks=pytest.mark.soak) for nodes in (5, 8, 9, 10))])
@pytest.mark.parametrize("name", ["bad-shards", "equivocate-broadcast", "equivocate-votes", "bad-decryption-shares"])
def test_other_sizes(name, nodes):
    """Scenario 37: N-f and 2f+1 are not the same here."""
    cluster, _ = run(name, nodes, epochs=2)
    if name == "bad-shards":
        assert not proposers(cluster) & set(faulty_nodes(nodes)), "what is no codeword is in no block"


@pytest.mark.parametrize("nodes", [4, SEVEN])
@pytest.mark.parametrize("name", ["bad-coin-shares", "stale-shares"])
def test_bad_coin_shares_where_there_are_coins(name, nodes):
    """Scenarios 8, 41: the coin is the same everywhere, or the nodes would not agree."""
    settings = parameters(nodes, coin_schedule="every-round")
    faulty = faulty_nodes(nodes)
    _, kinds = run(name, nodes, epochs=6 if nodes == 4 else 2, scheduler=rushing(faulty), settings=settings)
    assert all(HoneyBadgerFault.BAD_COIN_SHARE in kinds[me] for me in faulty)


@pytest.mark.parametrize("agreement", ["mmr14", "crain20"])
@pytest.mark.parametrize("name", ["equivocate-votes", "bad-coin-shares"])
def test_other_agreements(name, agreement):
    """Liars are named as with the default; with Crain's, what the liar contradicts are AUX2s too."""
    settings = parameters(4, agreement=agreement, coin_schedule="every-round")
    cluster, kinds = run(name, 4, epochs=6, settings=settings)
    if name == "equivocate-votes":
        assert all(kinds[me] >= EXPECTED_FAULTS[name] - OUTSIDE for me in faulty_nodes(4))
        seconds = [fault for fault in cluster.network.faults if "AUX2" in fault.detail]
        assert bool(seconds) == (agreement == "crain20")


#: what is proven where no broadcast has codewords, and a value may have any length up to the limit
IN_BRACHA = {"bad-shards": {HoneyBadgerFault.BAD_BRANCH}}


@pytest.mark.parametrize("nodes", [4, SEVEN])
@pytest.mark.parametrize("broadcast", ["avid", "bracha"])
@pytest.mark.parametrize(
    "name", ["bad-shards", "equivocate-broadcast", "silent-holder", "garbage-proposals", "replay", "flood"]
)
def test_other_broadcasts(name, broadcast, nodes):
    """What lies about broadcasts finds something to lie about in each of them."""
    cluster, kinds = run(name, nodes, epochs=10, settings=parameters(nodes, broadcast=broadcast))
    expected = EXPECTED_FAULTS[name] - OUTSIDE
    if broadcast == "bracha":
        expected = IN_BRACHA.get(name, expected)
    for me in faulty_nodes(nodes):
        assert kinds[me] >= expected
    if name == "bad-shards" and broadcast == "avid":
        assert not proposers(cluster) & set(faulty_nodes(nodes)), "what is no codeword is in no block"


@pytest.mark.parametrize("broadcast", ["hash-echo", "avid", "bracha"])
def test_attacks_on_votes_by_hash_say_where_they_are_none(broadcast):
    why = {name: kind.unfit(parameters(4, broadcast=broadcast)) for name, kind in STRATEGIES.items()}
    assert {name for name in why if why[name]} == (
        set() if broadcast == "hash-echo" else {"withhold-shards", "want-flood"}
    )


@pytest.mark.parametrize("nodes", [4, SEVEN, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.parametrize("value", [False, True, None])
def test_term_spam(nodes, value):
    """Scenario 14: f TERMs of any value, before any input, decide nothing wrong."""
    cluster = attacked(nodes, lambda context: TermSpam(context, value))
    for application in cluster.applications.values():
        # All correct proposals are quick enough to be in, whatever the TERMs say.
        assert all(len(proposers) >= cluster.quorums.quorum for _, proposers, _ in application.blocks)


@pytest.mark.parametrize("nodes", [4, SEVEN])
def test_votes_against_everything(nodes):
    """f votes of 0 exclude nobody's proposal that all correct nodes have delivered."""
    cluster = attacked(nodes, NoVoter, settings=parameters(nodes, coin_schedule="every-round"))
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("later", [0, 1])
def test_copied_ciphertext(nodes, later):
    """Scenario 18: the label of another proposer or epoch makes it worth nothing."""
    victim = faulty_nodes(nodes)[0] - 1
    cluster = attacked(nodes, lambda context: Copier(context, victim, later), starved=True, epochs=3)
    assert any(adversary.ran for adversary in adversaries(cluster))
    included = proposers(cluster) & set(faulty_nodes(nodes))
    assert included and accused(cluster, HoneyBadgerFault.BAD_CIPHERTEXT) == included


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("starved", [False, True])
def test_front_runner_is_too_late(nodes, starved):
    """Scenario 36: what is fixed after the first share was revealed is never part of the epoch."""
    faulty = faulty_nodes(nodes) if not starved else faulty_nodes(nodes)[:1]
    cluster = attacked(nodes, FrontRunner, starved=starved, faulty=faulty)
    assert all(adversary.ran for adversary in adversaries(cluster))
    assert not proposers(cluster) & set(faulty)


@pytest.mark.parametrize(
    ("name", "encryption"), [*((name, "every:2") for name in STRATEGIES), ("garbage-proposals", "never")]
)
def test_plaintext_epochs(name, encryption):
    """Strategies that lie about ciphertexts do so only where there are any."""
    _, kinds = run(name, 4, epochs=4, settings=parameters(4, encryption=encryption))
    if encryption == "never":
        assert kinds[3] == {HoneyBadgerFault.BAD_CONTRIBUTION}


@pytest.mark.parametrize("nodes", [4, SEVEN])
def test_flood_beyond_the_window(nodes):
    """With links that disregard windows the far epochs arrive, are refused and kept nowhere."""
    cluster, kinds = run("flood", nodes, epochs=6, strategy=Flooder)
    for me in faulty_nodes(nodes):
        assert kinds[me] >= {FaultKind.FUTURE_EPOCH, HoneyBadgerFault.FUTURE_ROUND, FaultKind.NOT_A_MEMBER}
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
