"""Scenarios 17 to 21, 36 and 41 on whole clusters: encryption, decryption and content."""

import pytest
from byzantine.agreement import OtherChain
from byzantine.harness import SIZES, accused, attacked, faulty_nodes, parameters, proposers, rushing
from byzantine.proposals import (
    PLAINTEXTS,
    BadDecryptionShares,
    Copier,
    EarlyShares,
    FrontRunner,
    GarbageProposal,
    Replayer,
    WrongShareSet,
)

from honeybadger.adversary.garbage import CIPHERTEXTS
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import DecryptionShares


def from_faulty(cluster):
    """Transactions that came in through faulty proposers only."""
    own = {tx for node in cluster.byzantine.values() for tx in node.strategy.own_transactions}
    return {tx for app in cluster.applications.values() for tx in app.transactions} & own


@pytest.mark.parametrize("nodes", [4, 5])
@pytest.mark.parametrize("kind", CIPHERTEXTS)
def test_included_garbage(nodes, kind):
    """Scenario 20: included, empty, identical everywhere; the proposer is named for the ciphertext."""
    cluster = attacked(nodes, lambda me: GarbageProposal(kind), starved=True)
    faulty = set(faulty_nodes(nodes))
    assert proposers(cluster) >= faulty, "the attack must be included to prove anything"
    assert not from_faulty(cluster)
    assert accused(cluster) == accused(cluster, FaultKind.BAD_CIPHERTEXT) == faulty


@pytest.mark.parametrize("kind", PLAINTEXTS)
def test_included_malformed_batches(kind):
    """Scenario 20: as above, for what decrypts to a malformed batch."""
    cluster = attacked(4, lambda me: GarbageProposal(kind), starved=True, epochs=1)
    assert proposers(cluster) >= {3}
    assert not from_faulty(cluster)
    assert {(f.node, f.kind) for f in cluster.network.faults} == {(3, FaultKind.BAD_CONTRIBUTION)}


@pytest.mark.parametrize("kind", ["plain", "junk", "nothing"])
def test_plaintext_epochs(kind):
    """Scenario 20 without encryption: the bytes are the batch. ("plain" is a valid empty batch then.)"""
    settings = parameters(4, encryption="never")
    cluster = attacked(4, lambda me: GarbageProposal(kind), starved=True, settings=settings)
    assert 3 in proposers(cluster)
    assert accused(cluster, FaultKind.BAD_CONTRIBUTION) == (set() if kind == "plain" else {3})


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("later", [0, 1])
def test_copied_ciphertext(nodes, later):
    """Scenario 18: the label of another proposer or epoch; no share is revealed for the copy."""
    cluster = attacked(nodes, lambda me: Copier(nodes - 1 - len(faulty_nodes(nodes)), later), starved=True, epochs=3)
    assert any(node.strategy.copied for node in cluster.byzantine.values())
    assert proposers(cluster) & set(faulty_nodes(nodes))
    assert accused(cluster, FaultKind.BAD_CIPHERTEXT) == proposers(cluster) & set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("kind", ["random point", "junk", "identity", "other node"])
def test_bad_decryption_shares(nodes, kind):
    """Scenarios 21, 41: f bad shares come first; all decrypt, the senders are flagged."""
    faulty = set(faulty_nodes(nodes))

    def schedule(step, sender, recipient, message, rng):
        # A copied share can only follow the original: give it time to arrive first.
        slow = isinstance(message, DecryptionShares) and not {sender, recipient} & faulty
        return rushing(faulty)(step, sender, recipient, message, rng) + (8_000 if slow else 0)

    cluster = attacked(nodes, lambda me: BadDecryptionShares(kind), scheduler=schedule, epochs=1)
    assert accused(cluster) == accused(cluster, FaultKind.BAD_DECRYPTION_SHARE) == faulty


@pytest.mark.parametrize("nodes", SIZES)
def test_one_bad_share_per_ciphertext(nodes):
    """Scenario 21: each faulty node spoils the share of one other ciphertext."""
    first = faulty_nodes(nodes)[0]
    cluster = attacked(nodes, lambda me: BadDecryptionShares(only=me - first), epochs=1)
    assert accused(cluster, FaultKind.BAD_DECRYPTION_SHARE) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("kind", WrongShareSet.KINDS)
def test_wrong_share_sets(nodes, kind):
    """Scenario 19: shares for anything but the agreed, valid proposals are not used at all."""
    cluster = attacked(nodes, lambda me: WrongShareSet(kind), epochs=1)
    assert accused(cluster) == accused(cluster, FaultKind.WRONG_SHARE_SET) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", SIZES)
def test_shares_before_the_decision(nodes):
    """Scenario 19: early shares wait; if the set is the agreed one they turn out bad, else wrong."""
    cluster = attacked(nodes, lambda me: EarlyShares())
    kinds = (FaultKind.BAD_DECRYPTION_SHARE, FaultKind.WRONG_SHARE_SET)
    assert accused(cluster) == accused(cluster, *kinds) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("starved", [False, True])
def test_front_runner_is_too_late(nodes, starved):
    """Scenario 36: what is fixed after the first share was revealed is never part of the epoch."""
    scheduler = None if starved else rushing(faulty_nodes(nodes))
    faulty = faulty_nodes(nodes) if not starved else faulty_nodes(nodes)[:1]
    cluster = attacked(nodes, lambda me: FrontRunner(), scheduler=scheduler, faulty=faulty)
    assert all(node.strategy.ran for node in cluster.byzantine.values())
    assert not proposers(cluster) & set(faulty)


@pytest.mark.parametrize("nodes", [4, 7])
def test_replays(nodes):
    """Scenario 17: old messages, again and in later epochs, have no effect; only their sender is blamed."""
    cluster = attacked(nodes, lambda me: Replayer(), epochs=5)
    assert accused(cluster) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
def test_other_chain(nodes, schedule):
    """Scenario 17: coin shares and ciphertexts are bound to the chain."""
    settings = parameters(nodes, coin_schedule=schedule)
    cluster = attacked(nodes, lambda me: OtherChain(), starved=True, settings=settings, epochs=3)
    faulty = set(faulty_nodes(nodes))
    assert accused(cluster, FaultKind.BAD_CIPHERTEXT) == proposers(cluster) & faulty != set()
    assert not from_faulty(cluster)
