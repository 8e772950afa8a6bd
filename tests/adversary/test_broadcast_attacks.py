"""Scenarios 1 to 6 and 37 on whole clusters: f nodes attack reliable broadcast."""

import pytest
from byzantine.broadcast import (
    SPOILERS,
    EchoReplay,
    Equivocator,
    Impostor,
    NonCodeword,
    PartialDispersal,
    Spoiler,
    TwoRoots,
    WrongIndex,
)
from byzantine.harness import ALL_SIZES, SIZES, accused, attacked, faulty_nodes, proposers

from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import Echo, Val
from honeybadger.protocols.quorums import Quorums


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("broken", ["first", "last", "many"])
def test_shards_that_are_no_codeword(nodes, broken):
    """Scenarios 1, 37: nobody delivers, the proposer is left out and found guilty."""
    where = {"first": [0], "last": [nodes - 1], "many": range(0, nodes, 2)}[broken]
    cluster = attacked(nodes, lambda me: NonCodeword(where))
    faulty = set(faulty_nodes(nodes))
    assert not proposers(cluster) & faulty
    assert accused(cluster, FaultKind.BAD_CODEWORD) == faulty


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("broken", [0, -1])
def test_shards_of_unequal_length(nodes, broken):
    """Scenario 3: a root over leaves of unequal length is no codeword."""
    cluster = attacked(nodes, lambda me: NonCodeword([broken], unequal=True))
    assert not proposers(cluster) & set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("share", [0.5, 0.3, 0.8])
def test_two_roots(nodes, share):
    """Scenarios 2, 37: at most one of the two is delivered, everywhere the same."""
    cluster = attacked(nodes, lambda me: TwoRoots(share), starved=share == 0.8)
    committed = set(cluster.applications[0].transactions)
    assert not {b"a", b"b"} <= committed or len(faulty_nodes(nodes)) > 1


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("nodes", [4, 6])
def test_spoilt_vals(nodes, kind):
    """Scenario 3: dropped and logged; the proposer is left out."""
    cluster = attacked(nodes, lambda me: Spoiler(kind, Val), epochs=1)
    faulty = set(faulty_nodes(nodes))
    assert not proposers(cluster) & faulty
    assert accused(cluster, FaultKind.BAD_BRANCH, FaultKind.BAD_SHARD_LENGTH) == faulty
    length = FaultKind.BAD_SHARD_LENGTH in {fault.kind for fault in cluster.network.faults}
    assert length == (kind in ("empty shard", "huge shard"))


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("nodes", [4, 8])
def test_spoilt_echoes(nodes, kind):
    """Scenario 3: dropped and logged; everybody's proposals get through without these echoes."""
    cluster = attacked(nodes, lambda me: Spoiler(kind, Echo), epochs=1)
    assert accused(cluster, FaultKind.BAD_BRANCH, FaultKind.BAD_SHARD_LENGTH) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", SIZES)
def test_shards_of_the_wrong_node(nodes):
    """Scenario 3: a valid shard and branch for another index."""
    cluster = attacked(nodes, lambda me: WrongIndex(), epochs=1)
    assert not proposers(cluster) & set(faulty_nodes(nodes))
    assert accused(cluster, FaultKind.BAD_BRANCH) == set(faulty_nodes(nodes))


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_replayed_echoes(nodes):
    """Scenario 4: others' shards do not count for the sender."""
    cluster = attacked(nodes, lambda me: EchoReplay(), epochs=1)
    # A copy can only follow the original, so it may come too late to be looked at.
    assert accused(cluster, FaultKind.BAD_BRANCH) == accused(cluster) != set()


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_second_echoes_and_readies(nodes):
    """Scenario 5: only the first counts; the second is evidence."""
    cluster = attacked(nodes, lambda me: Equivocator(), epochs=1)
    assert accused(cluster) == set(faulty_nodes(nodes))
    details = {f.detail.split()[-1] for f in cluster.network.faults if f.kind == FaultKind.EQUIVOCATION}
    assert details >= {"ECHO", "READY"}


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("short", [1, 0, -1])
def test_partial_dispersal(nodes, short):
    """Scenarios 6, 37: shards for N-2f-1, N-2f, N-f correct nodes; all deliver, or none."""
    quorums = Quorums(nodes, Quorums.largest_faults(nodes))
    count = quorums.quorum if short < 0 else quorums.data_shards - short
    faulty = faulty_nodes(nodes)
    cluster = attacked(nodes, lambda me: PartialDispersal(count, faulty), starved=True, epochs=1)
    if short == 1:
        assert not proposers(cluster) & set(faulty)
    else:
        # The slow correct nodes cannot fill the subset in time; it takes the faulty ones, who disperse enough.
        assert proposers(cluster) & set(faulty)


@pytest.mark.parametrize("nodes", [4, 5])
def test_val_in_anothers_broadcast(nodes):
    """VAL of anybody but the proposer is refused and logged."""
    cluster = attacked(nodes, lambda me: Impostor(), epochs=1)
    assert accused(cluster, FaultKind.NOT_THE_PROPOSER) == set(faulty_nodes(nodes))
