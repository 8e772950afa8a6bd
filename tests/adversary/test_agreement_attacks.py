"""Scenarios 8, 10, 14, 16, 37, 41 on whole clusters: f nodes attack agreement and the coin."""

import pytest
from byzantine.agreement import (
    COIN_SHARE_KINDS,
    BadCoinShares,
    Contradictor,
    FarVoter,
    NoVoter,
    TermSpam,
)
from byzantine.harness import ALL_SIZES, accused, attacked, faulty_nodes, parameters

from honeybadger.protocols.base import FaultKind


def every_round(nodes):
    return parameters(nodes, coin_schedule="every-round")


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("kind", COIN_SHARE_KINDS)
def test_bad_coin_shares(nodes, kind):
    """Scenarios 8, 41: rejected by index and identity, the sender flagged; the coin is the same everywhere."""
    cluster = attacked(nodes, lambda me: BadCoinShares(kind), settings=every_round(nodes))
    assert accused(cluster) <= set(faulty_nodes(nodes))
    assert accused(cluster, FaultKind.BAD_COIN_SHARE) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("split", [False, True])
def test_contradictory_votes(nodes, split):
    """Scenarios 10, 37: one AUX, CONF and TERM per sender; both BVALs are legal."""
    cluster = attacked(nodes, lambda me: Contradictor(split), settings=every_round(nodes), epochs=1)
    faults = {(f.node, f.kind) for f in cluster.network.faults}
    if split:
        assert not faults, "no single node sees a contradiction"
    else:
        assert faults == {(k, FaultKind.EQUIVOCATION) for k in faulty_nodes(nodes)}


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("value", [False, True, None])
def test_term_spam(nodes, value):
    """Scenario 14: f TERMs of any value, before any input, decide nothing wrong."""
    cluster = attacked(nodes, lambda me: TermSpam(value))
    for application in cluster.applications.values():
        # All correct proposals are quick enough to be in, whatever the TERMs say.
        assert all(len(proposers) >= cluster.quorums.quorum for _, proposers, _ in application.blocks)


@pytest.mark.parametrize("nodes", [4, 7])
def test_votes_against_everything(nodes):
    """f votes of 0 exclude nobody's proposal that all correct nodes have delivered."""
    cluster = attacked(nodes, lambda me: NoVoter(), settings=every_round(nodes))
    assert not cluster.network.faults


@pytest.mark.parametrize("nodes", [4, 7])
def test_votes_far_ahead(nodes):
    """Scenario 16: refused beyond the windows, with the right kinds of fault."""
    cluster = attacked(nodes, lambda me: FarVoter(), epochs=1)
    faults = {(f.node, f.kind) for f in cluster.network.faults}
    for me in faulty_nodes(nodes):
        assert (me, FaultKind.FUTURE_ROUND) in faults
    assert {node for node, _ in faults} == set(faulty_nodes(nodes))
