"""Following the ledger through nodes that lie, are silent, flood, die or lag: what is read is true and without gaps."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from support.client import Chain, Honest, Script, ScriptedNodes, scripted_cluster, silent

from honeybadger.client import ClientError, Cluster, TimedOut
from honeybadger.client.evidence import Evidence
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger import build_block, encode_body
from honeybadger.ledger.proof import build_proof
from honeybadger.network.client_protocol import (
    BUSY,
    LONGEST_BLOCK_REPLY,
    NO_SUCH_BLOCK,
    BlockQuery,
    Locate,
    Located,
    NoBlock,
    Request,
)

CONTENTS = [[b"%d-%d" % (height, i) * 3 for i in range(20)] for height in range(1, 7)]
CHAIN = Chain(CONTENTS, [1, 2, 3, 4])
CERTIFICATES = CHAIN.certificates
FORGED = CHAIN.forged([[b"forged", b"%d" % height] for height in range(1, 7)])


def honest(upto: int = 6, certified: bool = True) -> Honest:
    return Honest(CHAIN.blocks[:upto], CERTIFICATES if certified else {})


@contextmanager
def reading(*scripts: Script, **options: Any) -> Iterator[tuple[Cluster, ScriptedNodes]]:
    with scripted_cluster(CHAIN, *scripts, **{"patience_s": 0.3, **options}) as both:
        yield both


def read(cluster: Cluster, first: int = 1, last: int = 6) -> None:
    """All blocks of the range are there, in order, and are the chain's."""
    blocks = list(cluster.follow(first, last, 20.0))
    assert [block.block for block in blocks] == CHAIN.blocks[first - 1 : last]
    assert [block.transactions for block in blocks] == CONTENTS[first - 1 : last]


def bent(**changes: Any) -> Script:
    """Honest, but for these fields of its answers; a callable gets the honest value."""
    node = honest()

    def script(request: Request) -> list[Any]:
        [reply] = node(request)
        if isinstance(reply, NoBlock) or not isinstance(request, BlockQuery):
            return [reply]
        changed = {name: new(getattr(reply, name)) if callable(new) else new for name, new in changes.items()}
        return [msgspec.structs.replace(reply, **changed)]

    return script


def forged(query: Request) -> list[Any]:
    """Another block for every height, with the certificate of the true one."""
    return Honest(FORGED, CERTIFICATES)(query)


LIARS: dict[str, tuple[Script, str]] = {
    "a forged block with another's certificate": (forged, "its certificate for block 1 does not hold"),
    "a junk certificate": (bent(certificate=b"x" * 48), "its certificate for block 1 does not hold"),
    "a certificate of another block": (bent(certificate=CERTIFICATES[2]), "its certificate for block 1 does not hold"),
    "another chain": (
        Honest([build_block(bytes(32), bytes(32), 1, 1, (0,), [b"x"])], CERTIFICATES),
        "header belongs to chain " + "00" * 32,
    ),
    "another height in the header": (bent(header=CHAIN.blocks[3].header.encode()), "header says height 4"),
    "another height in the answer": (bent(height=lambda h: h + 1), "it answers for block 2 from byte 0, not 1 from 0"),
    "an unreadable header": (bent(header=b"\xff\x00"), "header cannot be decoded"),
    "a body of another block": (
        bent(part=encode_body(CONTENTS[1]), body_bytes=len(encode_body(CONTENTS[1]))),
        "Merkle root of the body differs",
    ),
    "an endless body": (bent(body_bytes=2**40), "1099511627776 bytes cannot be its body"),
    "an empty part": (bent(part=b""), "a part of 0 bytes"),
    "malformed": (lambda request: [b"\xc1"], "it sends what no node sends"),
    "a negative length": (bent(body_bytes=-1), "it sends what no node sends"),
    "floods": (lambda request: [NoBlock(0, BUSY)] * 500, "it sends more answers than it was asked questions"),
}


@pytest.mark.parametrize("kind", LIARS)
def test_a_liar_is_named_and_its_blocks_are_not_believed(kind: str) -> None:
    liar, why = LIARS[kind]
    with reading(liar, honest(), honest(), honest()) as (cluster, nodes):
        read(cluster)
        read(cluster)
        assert list(cluster.liars) == [0] and why in cluster.liars[0]
        asked = len(nodes.seen[0])
        cluster.block(3)
        assert len(nodes.seen[0]) == asked, "a liar is asked no more"


def test_honest_nodes_are_not_accused_and_share_the_work() -> None:
    with reading(*[honest() for _ in range(4)]) as (cluster, nodes):
        read(cluster)
        read(cluster, 3, 5)
        assert cluster.liars == {} and all(nodes.seen)


@pytest.mark.parametrize(
    "bad",
    [
        silent,
        lambda request: [bytes(LONGEST_BLOCK_REPLY + 1)],
        lambda request: [NoBlock(request.request, BUSY)],
        lambda request: [NoBlock(request.request, NO_SUCH_BLOCK)],
    ],
    ids=["silent", "too long", "busy", "withholds"],
)
def test_a_node_that_does_not_serve_costs_some_time_and_is_not_accused(bad: Script) -> None:
    with reading(bad, honest(), honest(), honest()) as (cluster, nodes):
        began = time.monotonic()
        read(cluster)
        assert time.monotonic() - began < 5
        assert cluster.liars == {} and len(nodes.seen[0]) <= 6


def test_one_honest_node_is_enough_where_there_are_certificates() -> None:
    """More than f are bad here; with f+1 bad ones in every round it takes a little longer."""
    with reading(forged, silent, honest(3), honest()) as (cluster, _):
        read(cluster)
        assert list(cluster.liars) in ([0], [])


def test_if_all_lie_it_says_so() -> None:
    with reading(*[forged] * 4) as (cluster, _), pytest.raises(ClientError, match="no node is left that has not lied"):
        read(cluster)


def test_without_certificates_f_plus_one_nodes_must_agree() -> None:
    with reading(Honest(FORGED, {}), honest(certified=False), honest(certified=False), silent) as (cluster, _):
        read(cluster)
    for vote in (silent, Honest(FORGED, {})):
        with reading(vote, honest(certified=False), silent, silent) as (cluster, _), pytest.raises(TimedOut):
            cluster.block(1, timeout_s=1.5)
    # A node changes its mind: it has one vote.
    blocks = itertools.cycle([FORGED, CHAIN.blocks])
    fickle = reading(lambda request: Honest(next(blocks), {})(request), silent, silent, silent)
    with fickle as (cluster, _), pytest.raises(TimedOut, match=r"block 1 did not come within 1\.5 s"):
        cluster.block(1, timeout_s=1.5)


def test_slow_nodes_are_asked_where_quick_ones_do_not_settle_it() -> None:
    uncertified = honest(certified=False)

    def slowly(request: Request) -> Any:
        time.sleep(0.05)
        return uncertified(request)

    with reading(uncertified, uncertified, slowly, slowly) as (cluster, nodes):
        for height in (2, 3, 4):
            cluster.block(height)
        nodes.scripts[0] = Honest(FORGED, {})
        assert cluster.block(1).block == CHAIN.blocks[0]


def test_a_trusted_node_needs_no_other() -> None:
    with reading(honest(certified=False), silent, silent, silent, nodes=[0], confirmations=1) as (cluster, nodes):
        read(cluster)
        assert not any(nodes.seen[1:])


def test_it_waits_for_blocks_and_goes_on_when_nodes_die_and_return() -> None:
    with reading(*[honest(2) for _ in range(4)]) as (cluster, nodes):
        follower = cluster.follow(1)
        got = [next(follower).height for _ in range(2)]
        for upto, dead in ((4, (0, 1)), (6, (2, 3))):
            for node in range(4):
                nodes.scripts[node] = silent if node in dead else honest(upto)
            got += [next(follower).height for _ in range(2)]
        assert got == [1, 2, 3, 4, 5, 6]
        follower.close()
        with pytest.raises(TimedOut, match="block 7 did not come"):
            list(cluster.follow(6, timeout_s=0.5))


def test_a_slow_node_is_asked_less() -> None:
    quick, slow = honest(), honest()

    def slowly(request: Request) -> Any:
        time.sleep(0.2)
        return slow(request)

    with reading(slowly, quick, quick, quick, patience_s=3.0) as (cluster, nodes):
        for _ in range(3):
            read(cluster)
        assert len(nodes.seen[0]) <= 3 and cluster.liars == {}


def test_blocks_that_do_not_link_are_the_end() -> None:
    """More than f nodes are faulty: two certified chains."""
    chains = [CHAIN.blocks[0], FORGED[1]]
    both = Honest(chains, {1: CERTIFICATES[1], 2: CHAIN.certify(FORGED[1])})
    with reading(*[both] * 4) as (cluster, _), pytest.raises(ClientError, match="block 2 does not follow block 1"):
        list(cluster.follow(1, 2, 5.0))


def test_there_is_no_block_before_the_first() -> None:
    with reading(*[silent] * 4) as (cluster, _):
        for first in (0, -1):
            with pytest.raises(ValueError, match="height 1"):
                next(cluster.follow(first))


# -- where a transaction is ---------------------------------------------------------------------------------


def says(height: int, otherwise: Callable[[Request], Any]) -> Script:
    """Claims that any transaction is at this height."""
    return lambda request: [Located(request.request, height)] if isinstance(request, Locate) else otherwise(request)


def test_evidence_convinces_who_has_the_manifest_only() -> None:
    transaction = CONTENTS[3][7]
    with reading(*[honest() for _ in range(4)]) as (cluster, _):
        evidence = cluster.prove(transaction)
        assert evidence is not None and (evidence.height, evidence.certificate) == (4, CERTIFICATES[4])
        assert evidence.block_hash == CHAIN.blocks[3].header.hash
        assert cluster.prove(b"nowhere") is None and cluster.find(b"nowhere") is None
    assert evidence.check(CHAIN.manifest, transaction)
    other = Chain(CONTENTS, [1, 2, 3, 4])
    changed = msgspec.structs.replace(CHAIN.manifest.consensus, chain="another")
    same_keys = Manifest(changed, CHAIN.manifest.members, CHAIN.manifest.runtime)
    for manifest in (other.manifest, same_keys):
        assert not evidence.check(manifest, transaction)
    replace = msgspec.structs.replace
    for proof, certificate, what in (
        (evidence.proof, CERTIFICATES[4], CONTENTS[3][8]),
        (evidence.proof, CERTIFICATES[3], transaction),
        (evidence.proof, b"", transaction),
        (build_proof(FORGED[3], 0), CERTIFICATES[4], b"forged"),
        (replace(evidence.proof, header=b"\xff"), CERTIFICATES[4], transaction),
        (replace(evidence.proof, position=8), CERTIFICATES[4], transaction),
    ):
        assert not Evidence(proof, certificate).check(CHAIN.manifest, what)


def test_a_wrong_height_is_a_lie_and_a_denial_is_outvoted() -> None:
    transaction = CONTENTS[3][7]
    with reading(says(2, honest()), honest(), honest(), honest()) as (cluster, _):
        for _ in range(4):
            block = cluster.find(transaction)
            assert block is not None and block.height == 4
        assert "block 2 holds a transaction which is not there" in cluster.liars[0]
    with reading(says(99, honest()), honest(), honest(), honest()) as (cluster, _):
        # In one round: over many, the liar could come between the same two each time.
        assert cluster._reader.locate(b"nowhere") is None
    with reading(says(0, honest()), honest(), honest(), honest()) as (cluster, _):
        assert all(cluster.find(transaction) for _ in range(8)) and cluster.liars == {}


def test_f_plus_one_must_deny_before_it_is_believed() -> None:
    alone = reading(says(0, silent), silent, silent, silent)
    with alone as (cluster, _), pytest.raises(TimedOut, match="said where the transaction is within 1 s"):
        cluster.find(CONTENTS[0][0], timeout_s=1.0)


def test_a_certificate_that_comes_later_is_waited_for() -> None:
    transaction = CONTENTS[1][0]
    with reading(*[honest(certified=False) for _ in range(4)]) as (cluster, nodes):
        with pytest.raises(TimedOut):
            cluster.prove(transaction, timeout_s=1.0)
        nodes.scripts[2] = honest()
        evidence = cluster.prove(transaction)
        assert evidence is not None and evidence.check(CHAIN.manifest, transaction)


def test_status_is_typed() -> None:
    with reading(honest(), lambda request: [b"\xc1"], silent, honest(3)) as (cluster, _):
        told = cluster.status(timeout_s=0.5)
        assert [status and status.height for status in told] == [6, None, None, 3]
