"""Nodes that lie to the watcher: it shows them as silent, and no block of theirs as what all agreed on."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from support.client import Honest
from support.requests import refused
from support.watch import BEARER, CHAIN, FakeNode, Watched, node_status, watched

from honeybadger.ledger.block import Block
from honeybadger.network.client_protocol import BUSY, BlockQuery, Located, NoBlock, Status, encoder
from honeybadger.watch import api, blocks

LIAR = 3


@pytest.fixture
def cluster() -> Iterator[Watched]:
    with watched() as cluster:
        yield cluster


def serve(block: Block, signed: bytes) -> Callable[[BlockQuery], Any]:
    return Honest([block], {block.header.height: signed}).part


def test_no_forged_block_is_shown(cluster: Watched) -> None:
    for height in (1, 2, 3, 4):
        # As many as there may be: a threshold of f shares is not one of f+1.
        forged = CHAIN.forged([[b"forged"]] * height)[-1]
        for signed in (CHAIN.certificates[5 - height], b"", bytes(96)):
            cluster.nodes[LIAR].part = serve(forged, signed)  # type: ignore[method-assign]
            page = cluster.get(f"/blocks/{height}")
            assert page["certified"] is (height < 4) and b"forged".hex() not in page["transactions"]
            assert LIAR not in page["confirmed_by"]


def test_what_only_a_liar_has_is_not_shown(cluster: Watched) -> None:
    forged = CHAIN.forged([[b"forged"]] * 5)[-1]
    cluster.nodes[LIAR].part = serve(forged, b"")  # type: ignore[method-assign]
    cluster.nodes[LIAR].locate = lambda query: Located(query.request, 5)  # type: ignore[method-assign]
    for _ in range(3):
        assert "there is no block 5" in cluster.get("/blocks/5", 404)
        assert "not in the ledger" in cluster.get(f"/proofs/{b'forged'.hex()}", 404)
    assert cluster.get(f"/proofs/{b'first'.hex()}")["height"] == 1, "though one node says it is elsewhere"


@pytest.mark.parametrize(
    "change",
    [
        {"part": b"x" * 20},
        {"part": b"x" * 512 * 1024},
        {"part": b""},
        {"body_bytes": 2**40},
        {"body_bytes": 1},
        {"height": 9},
        {"header": b"x"},
        {"header": bytes(300_000)},
    ],
)
def test_a_body_is_taken_from_a_node_that_has_it(cluster: Watched, change: dict[str, Any]) -> None:
    liar = cluster.nodes[LIAR]
    honest = liar.part
    liar.part = lambda query: msgspec.structs.replace(honest(query), **change)  # type: ignore[method-assign]
    for height in (3, 4):
        assert len(cluster.get(f"/blocks/{height}?limit=1")["transactions"]) == 1


def test_when_no_node_serves_a_body_this_is_said(cluster: Watched) -> None:
    for node in cluster.nodes:
        node.part = lambda query, honest=node.part: msgspec.structs.replace(  # type: ignore[method-assign]
            honest(query), part=b"x" * len(honest(query).part)
        )
    assert "no node is left that has not lied" in cluster.get("/blocks/1", 503)
    assert cluster.get("/blocks/1?limit=0")["certified"] is True
    for node in cluster.nodes:
        node.restore()
    assert cluster.get("/blocks/1")["tx_count"] == 2, "nodes are not excluded for good when too few would be left"


def test_a_body_that_is_too_large_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGEST_BODY", 1000)
    with watched() as cluster:
        assert "limit=0 gives its header" in cluster.get("/blocks/2", 422)
        assert cluster.get("/blocks/2?limit=0")["tx_count"] == 2500
        assert "more than 1000 bytes" in cluster.get(f"/proofs/{b'tx 7'.hex()}", 422)


def test_a_busy_node_is_asked_again_and_one_that_does_not_answer_is_passed_over(
    cluster: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = [True] * 6

    def part(query: BlockQuery, node: FakeNode) -> Any:
        return NoBlock(query.request, BUSY) if busy and busy.pop() else Honest.part(node, query)

    for node in cluster.nodes:
        node.part = partial(part, node=node)  # type: ignore[method-assign]
    assert len(cluster.get("/blocks/1")["confirmed_by"]) == 1 and not busy
    for node in cluster.nodes[:3]:
        node.part = lambda query: None  # type: ignore[method-assign]
    # However long the three keep it waiting, the fourth is asked in the end.
    monkeypatch.setattr(blocks, "READ_S", 25.0)
    monkeypatch.setattr(api, "ANSWER_S", 28.0)
    assert cluster.get("/blocks/2?limit=0")["confirmed_by"] == [3]


NONSENSE: list[Any] = [
    {},
    node_status(0, height=-1),
    node_status(0, height="1"),
    node_status(0, protocol="x" * 41),
    node_status(0, unwell="x" * 201),
    node_status(0, more="x" * 300_000),
    node_status(0, faults=[[1, "BAD_BRANCH", 1]] * 10_001),
    node_status(0, phases={"current": {"epoch": 1, "seconds": {}}}),
    node_status(0, phases={"current": {"epoch": 1, "seconds": {str(i): 0.0 for i in range(17)}}}),
    node_status(0, detail=msgspec.msgpack.Ext(1, b"x")),
    node_status(0, detail=b"x" * 300_000),
]
GARBAGE = [b"", b"\xc1", b"\x93\x05" + b"\x81" * 5000, encoder.encode(Status(0, {}))[:-1]]


@pytest.mark.parametrize(
    "replies",
    [*([Status(0, one)] for one in NONSENSE), *([one] * 50 for one in GARBAGE), [Status(0, node_status(0))] * 50],
)
def test_a_node_that_talks_nonsense_or_floods_shows_as_silent_until_it_does_so_no_more(
    cluster: Watched, replies: list[Any]
) -> None:
    node = cluster.nodes[0]
    node.answer = lambda _: replies  # type: ignore[method-assign]
    cluster.until(lambda: cluster.get("/status")[0] is None)
    assert cluster.get("/health")["well"] == 3
    node.restore()
    cluster.until(lambda: cluster.get("/status")[0] is not None)
    assert not cluster.said


def test_a_node_that_never_answers_submissions_is_chosen_once(cluster: Watched) -> None:
    liar = cluster.nodes[1]
    honest = liar.answer
    liar.answer = lambda request: honest(request) if request.request == 0 else []  # type: ignore[method-assign]
    answers = [cluster.ask("/transactions", b'{"transactions": ["00"]}', headers=BEARER)[0] for _ in range(8)]
    assert sorted(answers) == [202] * 7 + [504]


def test_no_node_answers_for_another(cluster: Watched) -> None:
    liar = cluster.nodes[LIAR]
    honest = liar.answer

    def more(request: Any) -> list[Any]:
        """The replies to the submissions that follow, to whichever node they go."""
        return [*honest(request), *(refused(request.request + ahead, "full", [0]) for ahead in (1, 2, 3))]

    liar.answer = lambda request: more(request) if request.request else honest(request)  # type: ignore[method-assign]
    assert [cluster.post({"transactions": ["00"]}, 202, query=f"?node={node}")["taken"] for node in (LIAR, 0)] == [1, 1]
