"""Scenario 16: what one faulty node can make another one keep. Objects are counted, not resident memory."""

import gc
import sys
from itertools import product
from types import FunctionType

import pytest
from support.byzantine.bench import run_with_lingering
from support.byzantine.harness import parameters

from crypto.bls.ciphertext import Ciphertext
from honeybadger.adversary.dispersal import dispersal, echo_of
from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.binary_agreement import COIN_WINDOW, Round
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.common_coin import CommonCoin
from honeybadger.protocols.honey_badger.epoch import Epoch
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    BVal,
    CoinShare,
    Conf,
    DecryptionShares,
    EchoHash,
    HoneyBadgerFault,
    Ready,
    Term,
    Want,
)
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.network import InMemoryNetwork


def reachable(root, *kinds):
    """The objects of these kinds that hang from `root`, not counting what hangs from the network or the context."""
    seen, queue, found = set(), [root], []
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, type(sys) | type | InMemoryNetwork | Context | JournalModel):
            continue
        seen.add(id(item))
        if isinstance(item, kinds):
            found.append(item)
        # What a function closes over, not the globals of its module.
        queue.extend([item.__closure__] if isinstance(item, FunctionType) else gc.get_referents(item))
    return found


def target(nodes=4, **changes):
    """A cluster of which node 0 alone is looked at."""
    cluster = SimulatedCluster(nodes, 1, parameters=parameters(nodes, **changes))
    return cluster, cluster.nodes[0]


def size(node):
    """Everything that a flood could make grow, in objects."""
    epochs = list(node._epochs.values())
    broadcasts = [b for epoch in epochs for b in epoch.subset.broadcasts]
    agreements = [a for epoch in epochs for a in epoch.subset.agreements]
    return {
        "epochs": len(epochs),
        "votes": sum(len(b._vote_root) for b in broadcasts),
        "asked": sum(len(answered) for answered in node._answers._answered.values()),
        "shards": sum(len(r.shards) for b in broadcasts for r in b._roots.values()),
        "roots": sum(len(b._roots) + len(b._ready_count) for b in broadcasts),
        "rounds": sum(len(a._rounds) for a in agreements),
        "votes ahead": sum(len(a._ahead._votes) for a in agreements),
        "coins": sum((a._coin is not None) + len(a._ahead._shares) for a in agreements),
        "early": sum(len(epoch._early_shares) for epoch in epochs),
    }


def test_far_rounds():
    """Rounds r+1 … r+10^6: the window's worth is stored, once, however often it is sent."""
    cluster, node = target(coin_schedule="every-round")
    for number in [*range(COIN_WINDOW + 40), *range(200, 10**6, 9973)] * 2:
        for message in (
            BVal(1, 2, number, True),
            BVal(1, 2, number, False),
            Aux(1, 2, number, True),
            Conf(1, 2, number, 3),
            CoinShare(1, 2, number, bytes(48)),
        ):
            node.handle(3, message)
    assert size(node)["rounds"] == 4, "the round in which each of the four agreements is"
    assert size(node)["coins"] == COIN_WINDOW + 1
    assert size(node)["votes ahead"] == 4 * (COIN_WINDOW + 1)
    assert {(f.node, f.kind) for f in cluster.network.faults} == {(3, HoneyBadgerFault.FUTURE_ROUND)}


def test_replayed_and_varied_messages():
    """READYs of 1,000 roots, ECHOs and hashes of 50, WANTs, shares, TERMs, again and again: one slot per sender."""
    cluster, node = target()
    for k in range(50):
        vals = dispersal([bytes([k]) * 64] * 4, 1, 2)
        node.handle(3, echo_of(vals[3]))
        node.handle(3, EchoHash(1, 2, vals[3].root))
    for k in range(1000):
        node.handle(3, Want(1, 2, k.to_bytes(32, "big")))
        node.handle(3, Want(k, 2, vals[3].root))
        node.handle(3, Ready(1, 2, k.to_bytes(32, "big")))
        node.handle(3, DecryptionShares(1, [(j, bytes(48)) for j in range(k % 5)]))
        node.handle(3, Term(1, 2, bool(k & 1)))
    counts = size(node)
    assert counts["votes"] == 2, "and node 0's, for its own proposal"
    assert counts["shards"] == 1
    assert counts["roots"] == 2
    assert counts["asked"] == 0
    assert counts["early"] == 1
    assert {f.kind for f in cluster.network.faults} == {FaultKind.EQUIVOCATION, FaultKind.FUTURE_EPOCH}


def test_erased_once_all_terms_are_in():
    """After a quiet end nothing of a committed epoch is left."""
    cluster, node = target()
    cluster.submit(0, [b"tx"])
    cluster.start()
    cluster.run_until_committed([b"tx"])
    cluster.network.run()
    assert all(not n._lingering for n in cluster.nodes.values())
    assert len(reachable(node, Epoch)) == len(node._epochs)
    assert not reachable(node, Round, CommonCoin, ReliableBroadcast) or node._epochs


def test_lingering_agreements_keep_nothing_but_votes():
    """Committed epochs live on as votes; their batches must not (1,000 epochs of megabytes)."""
    node = run_with_lingering(5, pipeline_depth=3).nodes[0]
    assert len(node._lingering) == 3
    assert not reachable(node._lingering, ReliableBroadcast, CommonCoin, Ciphertext, DecryptionShares)
    long = [item for item in reachable(node._lingering, bytes) if len(item) > 64]
    assert not long, "a proposal or a transaction"


def test_flood_on_lingering_agreements():
    """BVALs of old epochs: at most the window's rounds per agreement."""
    cluster = run_with_lingering(3)
    node = cluster.nodes[0]
    assert list(node._lingering) == [3]
    for number in [*range(300), 10**6]:
        for proposer in range(5):
            node.handle(3, BVal(3, proposer, number, True))
            node.handle(3, BVal(0, proposer, number, True))
    agreements = node._lingering[3]
    assert len(agreements) == 4
    assert all(len(a._rounds) == a.round + 1 for a in agreements.values())
    assert all(len(a._ahead._votes) <= 4 * (a.round + a.window + 1) for a in agreements.values())
    assert {(f.node, f.kind) for f in cluster.network.faults} == {(3, HoneyBadgerFault.FUTURE_ROUND)}


def linger(node, epochs):
    """As after that many committed epochs in whose agreements 2f+1 TERMs never come."""
    for number in range(1, epochs + 1):
        epoch = Epoch(number, node._context, node._code, set(), node._wanted, lambda: None, lambda: None)
        for agreement in epoch.subset.agreements:
            agreement.decision = 1
        node._current = number + 1
        node._linger(epoch)


def weight(node):
    """Bytes of all objects that hang from the epochs, those in progress and those that linger."""
    return sum(map(sys.getsizeof, reachable([node._epochs, node._lingering], object)))


@pytest.mark.parametrize(
    ("nodes", "bvals_mib", "all_mib"), [(16, 1, 2.5), pytest.param(64, 9, 17, marks=pytest.mark.soak)]
)
def test_one_liar(nodes, bvals_mib, all_mib):
    """docs/memory.md: all that one node may say in agreements, in all epochs that are kept, after 200 others."""
    cluster = SimulatedCluster(nodes, 1)
    node = cluster.nodes[0]
    linger(node, 200)
    before = weight(node)
    shares = [number.to_bytes(48, "big") for number in range(121)]
    for kinds, most_mib in ((("bval",), bvals_mib), (("aux", "conf", "share"), all_mib)):
        for epoch, proposer in product([*range(1, 200, 10), *range(node.epoch - 1, node.horizon + 1)], range(nodes)):
            for number, share in enumerate(shares):
                if "bval" in kinds:
                    node.handle(nodes - 1, BVal(epoch, proposer, number, True))
                    continue
                node.handle(nodes - 1, Aux(epoch, proposer, number, True))
                node.handle(nodes - 1, Conf(epoch, proposer, number, 3))
                if number % 3 == 2:
                    node.handle(nodes - 1, CoinShare(epoch, proposer, number, share))
        held = (weight(node) - before) / 2**20
        print(f"held after the flood: {held:.2f} MiB")
        assert held < most_mib
    assert not cluster.network.faults, "all of it is legal"


@pytest.mark.parametrize(("broadcast", "kept"), [("hash-echo", 3), ("avid", 3), ("bracha", 0)])
def test_held_bytes_are_told_and_stay_below_their_caps(broadcast, kept):
    """Every node sends the largest ECHO that is allowed, all under roots of their own, in every instance.

    Bracha's keeps only what f+1 nodes send; see `test_bracha_keeps_what_was_sent_by_enough_and_no_more`.
    """
    _, node = target(max_proposal_bytes=50_000, broadcast=broadcast)
    longest = node._open(1).subset.broadcasts[0]._longest_shard
    before = node.held_bytes()
    for proposer in range(4):
        for sender in (1, 2, 3):
            shards = [bytes([sender]) * longest] * 4
            for _ in range(2):
                node.handle(sender, echo_of(dispersal(shards, 1, proposer, broadcast != "bracha")[sender]))
    held = node.held_bytes()
    assert before.epochs[1] == before.instance == 0
    # Beside the shards there is only the small proposal that node 0 made when it heard of the epoch.
    assert kept * longest < held.instance < kept * longest + 1000 and held.instance <= held.instance_cap
    assert 4 * kept * longest < held.epochs[1] < 4 * kept * longest + 1000 and held.epochs[1] <= held.epoch_cap
    assert all(b._vote_root.keys() >= {1, 2, 3} for b in node._epochs[1].subset.broadcasts), "all were accepted"


@pytest.mark.parametrize("broadcast", BROADCASTS)
def test_held_bytes_follow_a_run(broadcast):
    cluster = SimulatedCluster(4, 1, parameters=parameters(4, broadcast=broadcast))
    seen = []
    for me in cluster.correct:
        cluster.submit(me, [b"x" * 400])
    cluster.start()
    while cluster.network.step():
        for node in cluster.nodes.values():
            held = node.held_bytes()
            seen += [(whole, held.epoch_cap) for whole in held.epochs.values()]
            assert held.instance <= held.instance_cap
    assert max(whole for whole, _ in seen) > 4 * 400
    assert all(whole <= cap for whole, cap in seen)
