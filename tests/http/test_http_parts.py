"""Shares of processor time, what events tell, and what other nodes claim."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import zmq

from honeybadger.cluster.keygen import make_cluster
from honeybadger.http import budget as budget_module
from honeybadger.http.budget import BURST_S, BUSY_FLOOR, BUSY_SHARE, IDLE_FLOOR, CpuShare
from honeybadger.http.cluster_view import ClusterView
from honeybadger.network.client_protocol import Committed, Status, encoder
from honeybadger.node import observed as observed_module
from honeybadger.node.observed import EPOCHS, RATE_S, Observed
from honeybadger.protocols.parameters import Parameters

OWN = {
    "height": 7,
    "epoch": 8,
    "tip": "ab",
    "protocol": "honeybadger",
    "peers_connected": 3,
    "mempool": 0,
    "mempool_bytes": 0,
    "uptime_s": 1.5,
    "faults": [[3, "BAD_BRANCH", 2]],
    "detail": {"anything": 1},
}


class Clock:
    """Stands still but for sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
        self.now = 100.0
        for module in modules:
            monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Processor(Clock):
    """A clock and a processor of which a thread gets a fixed part, beside what is charged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: float) -> None:
        super().__init__(monkeypatch, budget_module)
        monkeypatch.setattr(budget_module.time, "thread_time", lambda: part * self.now)
        monkeypatch.setattr(budget_module.gevent, "sleep", self.sleep)

    def take(self, share: CpuShare, seconds: float) -> float:
        """How long it takes to be served so many seconds of work."""
        before = self.now
        for _ in range(round(seconds / 0.001)):
            share.wait("somebody")
            share.charge(0.001)
        return self.now - before


@pytest.mark.parametrize("part", [1.0, 0.5, 0.1])
def test_a_share_is_kept_whatever_is_asked(monkeypatch: pytest.MonkeyPatch, part: float) -> None:
    processor = Processor(monkeypatch, part)
    busy = CpuShare(lambda: True)
    # What was saved up comes at once, the rest as it is earned.
    took = processor.take(busy, 1.0)
    assert took == pytest.approx((1.0 - BURST_S) / (BUSY_SHARE * part + BUSY_FLOOR), rel=0.02)
    # A quiet time saves up so much and no more.
    processor.now += 10_000
    assert processor.take(busy, 0.2) == pytest.approx((0.2 - BURST_S) / (BUSY_SHARE * part + BUSY_FLOOR), rel=0.05)


def test_a_part_of_the_share_is_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch, 0.5)
    took = processor.take(CpuShare(lambda: True, 0.4), 1.0)
    assert took == pytest.approx((1.0 - BURST_S) / (0.4 * (BUSY_SHARE * 0.5 + BUSY_FLOOR)), rel=0.02)


def test_while_there_is_nothing_else_to_do_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch, 0.01)
    assert processor.take(CpuShare(lambda: False), 1.1) == pytest.approx(1.0 / IDLE_FLOOR, rel=0.02)


def test_phases_of_the_current_and_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, observed_module)
    observed = Observed()
    assert observed.phases() == {"current": None, "last": None}
    for phase, after in (("proposed", 0.0), ("broadcast", 0.2), ("agreed", 0.1)):
        clock.now += after
        observed(phase, {"epoch": 5})
    clock.now += 1
    assert observed.phases()["current"] == {
        "epoch": 5,
        "seconds": {"proposed": 0.0, "broadcast": 0.2, "agreed": 0.3},
        "age_s": 1.3,
    }
    observed("committed", {"epoch": 5})
    # What comes late changes nothing, and an epoch that was passed over is not in progress.
    observed("agreed", {"epoch": 5})
    observed("proposed", {"epoch": 4})
    assert observed.phases()["current"] is None
    assert observed.phases()["last"]["seconds"]["committed"] == 1.3
    assert observed.phase_count == {"proposed": 2, "broadcast": 1, "agreed": 1, "committed": 1}
    assert observed.phase_seconds["committed"] == pytest.approx(1.3)


def test_epochs_are_forgotten_and_blocks_are_no_phases() -> None:
    observed = Observed()
    for epoch in range(1, 1000):
        observed("proposed", {"epoch": epoch})
        observed("block", {"epoch": epoch, "transactions": 2, "bytes": 20})
        observed("adopted", {"epoch": epoch})
    assert len(observed._epochs) == EPOCHS
    assert set(observed.phase_count) == {"proposed"}
    assert (observed.blocks, observed.transactions, observed.transaction_bytes) == (999, 1998, 19980)


def test_throughput_is_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, observed_module)
    observed = Observed()
    for _ in range(20):
        clock.now += 1
        observed("block", {"epoch": 1, "transactions": 300, "bytes": 1})
    assert observed.tx_per_s == pytest.approx(300, rel=0.25)
    clock.now += RATE_S + 1
    assert observed.tx_per_s == 0


class Claims:
    """Stands for a connection to another node, which says what it likes."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.socket = self

    def recv(self, flags: int) -> bytes:
        assert flags == zmq.NOBLOCK
        if not self.replies:
            raise zmq.Again
        return self.replies.pop(0)


def view() -> ClusterView:
    manifest, _ = make_cluster(4, 1, Parameters(), [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)])
    return ClusterView(None, manifest, True, 0, lambda: OWN)


def said(**changes: Any) -> bytes:
    return encoder.encode(Status(0, {**OWN, **changes}))


def test_what_other_nodes_say_is_shown_as_theirs() -> None:
    seen = view()
    claims: Any = Claims(encoder.encode(Committed(1, 1, 0, [0])), said(height=6), said(height=9))
    seen._take(2, claims)
    nodes = seen.look()["nodes"]
    assert [node["status"] and node["status"].height for node in nodes] == [7, None, 9, None]
    assert nodes[0]["status"].faults == [(3, "BAD_BRANCH", 2)]
    assert b"anything" not in msgspec.json.encode(nodes)


@pytest.mark.parametrize(
    "claim",
    [
        b"",
        b"\xc1",
        b"\x93" * 5000,
        said(height=-1),
        said(height="<b>"),
        said(tip="x" * 65),
        said(protocol="x" * 41),
        said(tx_per_s=float("nan")),
        said(tx_per_s=float("inf")),
        said(faults=[[0, "K", 1]] * 1001),
        said(faults=[[0, "K" * 41, 1]]),
        said(faults=[[0, "K"]]),
        said(phases={"current": {"epoch": 1, "seconds": {f"p{i}": 1.0 for i in range(17)}}}),
        said(phases={"current": {"epoch": 1, "seconds": {"p": -1.0}}}),
        encoder.encode(Status(0, {})),
    ],
)
def test_a_node_that_says_nonsense_shows_as_silent(claim: bytes) -> None:
    seen = view()
    before: Any = Claims(said())
    seen._take(1, before)
    assert seen.look()["nodes"][1]["status"] is not None
    nonsense: Any = Claims(claim)
    seen._take(1, nonsense)
    assert seen.look()["nodes"][1]["status"] is None


def test_a_node_that_says_too_much_is_not_listened_to_for_ever() -> None:
    seen = view()
    flood: Any = Claims(*[said()] * 1000)
    seen._take(1, flood)
    assert len(flood.replies) > 900
