"""`cluster load` with nodes that are not there: it goes on with N-f, and names who is missing, not who is healthy."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from support.client import node_status
from support.requests import committed, submitted

from bench.load import steady
from bench.load.steady import LoadResult, SteadyLoad
from honeybadger.client import status as client_status
from honeybadger.cluster.errors import ClusterError
from honeybadger.network.client_protocol import Reply, Request, Status, StatusRequest
from honeybadger.protocols.quorums import Quorums


class Nodes:
    """Stands for the four nodes, the connections to them, and the clock. `peers`: how many others each is connected to;
    `gone`: from which second on a node answers nothing more."""

    def __init__(self, monkeypatch, peers: list[int], gone: dict[int, float]) -> None:
        self.now = 0.0
        self.peers, self.gone = peers, gone
        self.height = 0
        self.said: list[str] = []
        fake = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(steady, "time", fake)
        monkeypatch.setattr(client_status, "time", fake)
        monkeypatch.setattr(steady, "Connections", lambda *_: nullcontext(self))
        self._replies: list[tuple[int, Reply]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def load(self) -> LoadResult:
        manifest: Any = SimpleNamespace(members=range(4), quorums=Quorums(4, 1))
        return SteadyLoad(manifest, curve=False).run(20, 1.0, 50, 10.0, self.said.append)

    def send(self, node: int, request: Request) -> bool:
        """As `Connections` does."""
        if self.now < self.gone.get(node, 1e9):
            if isinstance(request, StatusRequest):
                status = {**node_status(self.height), "peers_connected": self.peers[node]}
                self._replies.append((node, Status(request.request, status)))
            else:
                self.height += 1
                positions = list(range(len(submitted(request))))  # type: ignore[union-attr]
                self._replies.append((node, committed(request.request, self.height, 1, positions)))
        return True

    def replies(self, wait_s: float) -> list[tuple[int, Reply]]:
        """As `Connections` does."""
        if not self._replies:
            self.now += wait_s
        taken, self._replies = self._replies, []
        return taken


@pytest.fixture
def nodes(monkeypatch):
    return lambda peers, gone=None: Nodes(monkeypatch, peers, gone or {})


def test_with_all_nodes_nobody_is_missing(nodes):
    four = nodes([3, 3, 3, 3])
    found = four.load()
    assert found.ok and (found.offered, found.committed, found.missing, four.said) == (20, 20, [], [])


@pytest.mark.parametrize("down", range(4))
def test_with_one_node_down_it_goes_on_and_names_it(nodes, down):
    three = nodes([2, 2, 2, 2], {down: 0.0})
    found = three.load()
    assert (found.offered, found.committed, found.unanswered) == (20, 20, 0), "nothing is offered to who is not there"
    assert (found.missing, found.same_ledger, found.ok) == ([down], True, False)
    assert f"no answer from node {down}" in three.said[0]
    assert f"without node {down}" in three.said[-1]


def test_a_node_that_knows_too_few_others_is_missing_too(nodes):
    three = nodes([2, 2, 2, 0])
    found = three.load()
    assert (found.committed, found.missing) == (20, [3])
    assert "node 3 is connected to 0 of 3 others" in three.said[0]


def test_with_fewer_than_a_quorum_it_refuses_and_blames_who_is_not_there(nodes):
    with pytest.raises(ClusterError) as caught:
        nodes([1, 1, 1, 1], {1: 0.0, 2: 0.0}).load()
    assert str(caught.value) == "fewer than 3 of 4 nodes were ready within 10 s: no answer from nodes 1 and 2"


def test_a_node_that_goes_away_meanwhile_is_named_and_what_it_never_answers_counts(nodes):
    found = nodes([3, 3, 3, 3], {2: 0.5}).load()
    assert found.missing == [2] and found.same_ledger and not found.ok
    assert found.unanswered == found.offered - found.committed > 0
    assert found.latency_at_least == ["mean", "p99"] and found.latency_p99_s >= 10
