"""`cluster load` with nodes that are not there: it goes on with N-f, and names who is missing, not who is healthy."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from bench import steady_load
from bench.steady_load import LoadResult, SteadyLoad
from honeybadger.cluster.errors import ClusterError
from honeybadger.network.client_protocol import Committed, Reply, Request, Status, StatusRequest
from honeybadger.protocols.quorums import Quorums


class Nodes:
    """Stands for the four nodes, their clients, and the clock. `peers`: how many others each is connected to; `gone`:
    from which second on a node answers nothing more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, peers: list[int], gone: dict[int, float]) -> None:
        self.now = 0.0
        self.peers, self.gone = peers, gone
        self.height = 0
        self.said: list[str] = []
        fake = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(steady_load, "time", fake)
        monkeypatch.setattr(steady_load, "NodeClient", lambda context, host, port, *_: Client(self, port))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def load(self) -> LoadResult:
        members = [SimpleNamespace(host="", client_port=node, public_key="") for node in range(4)]
        manifest: Any = SimpleNamespace(members=members, quorums=Quorums(4, 1))
        return SteadyLoad(manifest, curve=False).run(20, 1.0, 50, 10.0, self.said.append)


class Client:
    def __init__(self, nodes: Nodes, me: int) -> None:
        self._nodes, self._me = nodes, me
        self._replies: deque[Reply] = deque()

    def send(self, request: Request) -> bool:
        nodes, me = self._nodes, self._me
        if nodes.now >= nodes.gone.get(me, 1e9):
            return True
        if isinstance(request, StatusRequest):
            status = {"peers_connected": nodes.peers[me], "height": nodes.height, "tip": "00"}
            self._replies.append(Status(request.request, status))
        else:
            nodes.height += 1
            self._replies.append(Committed(request.request, nodes.height, 1, list(range(len(request.transactions)))))  # type: ignore[union-attr]
        return True

    def receive_now(self) -> Reply | None:
        return self._replies.popleft() if self._replies else None

    def receive(self, timeout_s: float) -> Reply | None:
        if not self._replies:
            self._nodes.now += timeout_s
        return self.receive_now()

    def close(self) -> None:
        """Nothing is open."""


def test_with_all_nodes_nobody_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, [3, 3, 3, 3], {})
    found = nodes.load()
    assert found.ok and (found.offered, found.committed, found.missing, nodes.said) == (20, 20, [], [])


@pytest.mark.parametrize("down", range(4))
def test_with_one_node_down_it_goes_on_and_names_it(monkeypatch: pytest.MonkeyPatch, down: int) -> None:
    nodes = Nodes(monkeypatch, [2, 2, 2, 2], {down: 0.0})
    found = nodes.load()
    assert (found.offered, found.committed, found.unanswered) == (20, 20, 0), "nothing is offered to who is not there"
    assert (found.missing, found.same_ledger, found.ok) == ([down], True, False)
    assert f"no answer from node {down}" in nodes.said[0]
    assert f"without node {down}" in nodes.said[-1]


def test_a_node_that_knows_too_few_others_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, [2, 2, 2, 0], {})
    found = nodes.load()
    assert (found.committed, found.missing) == (20, [3])
    assert "node 3 is connected to 0 of 3 others" in nodes.said[0]


def test_with_fewer_than_a_quorum_it_refuses_and_blames_who_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, [1, 1, 1, 1], {1: 0.0, 2: 0.0})
    with pytest.raises(ClusterError) as caught:
        nodes.load()
    assert str(caught.value) == "fewer than 3 of 4 nodes were ready within 10 s: no answer from nodes 1 and 2"


def test_a_node_that_goes_away_meanwhile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, [3, 3, 3, 3], {2: 0.5})
    found = nodes.load()
    assert found.missing == [2] and found.same_ledger and not found.ok
    assert found.unanswered == found.offered - found.committed > 0
