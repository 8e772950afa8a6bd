"""Whose latency counts, and what it is: scripted answers, and a node whose proposals are left out."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

import bench.steady_load
from bench import load
from bench.fault_plan import FaultPlan
from bench.figure_data import cdf_rows
from bench.load import Load
from bench.local_summary import Outcome, summarise
from bench.offers import client_directory, read_offers
from bench.outstanding import Outstanding
from bench.results import Group, Result
from bench.series import histogram, per_second, write_csv
from bench.settings import LocalSettings
from bench.steady_load import SteadyLoad
from bench.waits import Waits
from bench.workload import TxSizes, Workload
from honeybadger.cluster.manifest import Runtime
from honeybadger.ledger import Chain, SQLiteStore
from honeybadger.network.client_protocol import Committed, Status, StatusRequest
from honeybadger.protocols.parameters import Parameters

SIZES = TxSizes.parse(20)
WINDOW = (100.0, 110.0)
SECOND = 10**9


def test_what_is_never_answered_ranks_last_and_makes_lower_bounds():
    quantiles = {"p50": 0.5, "p90": 0.9, "max": 1.0}
    waits = Waits(np.array([0.1] * 8 + [3.0]), np.array([0.2, 7.0]))
    # Waiting in vain for 0.2 s before the end is no short latency.
    assert waits.distribution(quantiles) == {"p50": 0.1, "p90": 3.0, "max": 7.0, "mean": pytest.approx(13.8 / 11)}
    assert waits.at_least(quantiles) == ["mean", "p90", "max"]
    assert waits.at_least({"p80": 0.8}) == ["mean"]
    nothing = Waits(np.empty(0), np.empty(0))
    assert nothing.distribution({"p50": 0.5}) == {"mean": None, "p50": None} and nothing.at_least(quantiles) == []
    assert Waits(np.empty(0), np.array([2.0])).distribution({"p50": 0.5})["p50"] == 2.0


def leave(directory, outstanding: Outstanding, batches: list[tuple[int, int, int]], drained_at: float) -> None:
    """As a client leaves it."""
    home = client_directory(directory, 0)
    home.mkdir(parents=True)
    np.save(home / "transactions.npy", outstanding.transactions())
    o = outstanding
    result = load.Result(batches, 0, o.refused, o.unanswered, o.abandoned, drained_at)
    (home / "load.json").write_bytes(msgspec.json.encode(result))


def scripted(tmp_path, protocol: str = "honeybadger") -> dict[str, Any]:
    """Four nodes, one transaction every 50 ms from second 98 to 110, to each in turn. Nodes 0 to 2 take 0.2 s; what is
    sent to node 3 waits for one block at 112 s, and the last of it for ever; one transaction is refused."""
    outstanding = Outstanding(4)
    workload = Workload(1, SIZES, 0)
    batches, late, prompt = [], [], []
    for number in range(240):
        due, node = 98 + number / 20, number % 4
        batches.append((number, 1, node))
        outstanding.sent(number, np.array([due]), [node])
        if node < 3:
            outstanding.committed(node, number, [0], round((due + 0.2) * SECOND))
            prompt += workload.batch(number, 1)
        elif number == 203:
            outstanding.refuse(3, number, [0], "full")
        elif number < 220:
            outstanding.committed(3, number, [0], 112 * SECOND)
            late += workload.batch(number, 1)
    outstanding.not_sent(np.array([109.99]), "not sent")
    leave(tmp_path, outstanding, batches, 117.0)
    nodes = []
    for index in range(4):
        home = tmp_path / f"node-{index}"
        (home / "data").mkdir(parents=True)
        store = SQLiteStore(home / "data" / "ledger.sqlite", "os", chain_id=bytes(32))
        chain = Chain(store, bytes(32))
        events: list[dict[str, Any]] = [{"t": 90.0, "event": "started", "height": 0}]
        for epoch, (at, contributions) in enumerate(
            [(98.5 + s, [(p, prompt[s * 15 + p * 5 : s * 15 + p * 5 + 5]) for p in range(3)]) for s in range(12)]
            + [(112.0, [(3, late)])]
        ):
            block = chain.extend(epoch, contributions).block.header
            counts = {"transactions": block.tx_count, "bytes": block.tx_bytes, "proposers": block.proposers}
            events.append({"t": at, "event": "block", "height": block.height, "epoch": epoch, **counts})
        chain.flush()
        store.close()
        (home / "events.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, events)) + b"\n")
        facts = {"killed": False, "exit_status": 0, "restarts": 0, "traceback": ""}
        nodes.append(SimpleNamespace(index=index, events=home / "events.jsonl", data=home / "data", **facts))
    settings = LocalSettings(
        nodes=4,
        faults=1,
        parameters=Parameters(protocol=protocol),
        runtime=Runtime(),
        tx_sizes=SIZES,
        duration_s=10.0,
        warmup_s=2.0,
        rate=20.0,
        crash=0,
        restart=0,
        restart_after_s=1.0,
        base_port=None,
        seed=1,
        out=None,
    )
    plan = FaultPlan.crash([0, 1, 2, 3], 0)
    return summarise(tmp_path, settings, nodes, Outcome(WINDOW, 97.0, plan, [], True))


def test_a_run_with_a_slow_node(tmp_path):
    summary = scripted(tmp_path)
    assert summary["valid"], summary["reason"]
    # 200 were due in the window and one more was not sent; of every four one waits.
    told = {name: summary[f"offered_{name}"] for name in ("tx", "committed_tx", "refused_tx", "unanswered_tx")}
    assert told == {"tx": 201, "committed_tx": 194, "refused_tx": 2, "unanswered_tx": 5}
    latency = summary["latency_s"]
    assert latency["p50"] == pytest.approx(0.2) and latency["p90"] > 8
    first_of_node_3 = 98 + 43 / 20
    assert latency["p99"] >= latency["max"] - 0.5 and latency["max"] == pytest.approx(112 - first_of_node_3)
    assert summary["latency_at_least"] == ["mean", "p99", "p999", "max"]
    assert (summary["backlog_start_tx"], summary["backlog_end_tx"], summary["drain_s"]) == (10 + 3, 59 + 3, 7.0)
    assert summary["accepted_tx_per_s"] == pytest.approx(19.9), "what was refused in the window, no more"
    assert [row["blocks_with_proposal"] for row in summary["per_node"]] == [10, 10, 10, 0]
    assert [row["block_share"] for row in summary["per_node"]] == [1, 1, 1, 0]
    assert summary["warnings"] == [
        "node 3's proposals are in 0 of 10 blocks, so what is sent to it waits",
        "10 transactions offered before the measured time were still waiting at its end: "
        "no figure of latency counts them",
    ]


def test_where_one_node_proposes_nobody_is_left_out(tmp_path):
    assert not any("proposals" in warning for warning in scripted(tmp_path, "pbft")["warnings"])


def test_seconds_and_histogram_have_everything_that_was_offered(tmp_path):
    outstanding = Outstanding(1)
    outstanding.sent(0, np.array([99.5, 100.1, 100.2, 101.5]), [0])
    outstanding.committed(0, 0, [0, 1, 3], round(101.6 * SECOND))
    leave(tmp_path, outstanding, [(0, 4, 0)], 107.0)
    offers = read_offers(tmp_path, 1, 1, SIZES)
    rows = {row["second"]: row for row in per_second((100.0, 102.0), [], 3, offers)}
    assert {second: row["offered_tx"] for second, row in rows.items()} == {-1: 1, 0: 2, 1: 1}
    assert rows[0]["latency_p99_s"] == pytest.approx(0.01 * 1.5 + 0.99 * 6.8)
    assert rows[1]["latency_p50_s"] == pytest.approx(0.1)

    write_csv(tmp_path / "latency.csv", histogram(offers.waits(offers.within((100.0, 102.0)))))
    group = Group({}, [Result(tmp_path, {}, 0, {"valid": True})])
    assert [row["share"] for row in cdf_rows([group])][-1] == pytest.approx(2 / 3), "one was never answered"


def test_the_steady_load_counts_what_one_node_never_answers(monkeypatch):
    class Node:
        def __init__(self, context, host, port, key, curve):
            self.silent, self.replies = port == 3, []

        def send(self, request):
            if isinstance(request, StatusRequest):
                status = {"peers_connected": 3, "height": 1, "tip": "ab"}
                self.replies.append(Status(request.request, status))
            elif not self.silent:
                self.replies.append(Committed(request.request, 1, 1, list(range(len(request.transactions)))))
            return True

        def receive_now(self):
            return self.replies.pop() if self.replies else None

        def receive(self, timeout):
            return self.receive_now()

        def close(self):
            pass

    monkeypatch.setattr(bench.steady_load, "NodeClient", Node)
    members = [SimpleNamespace(host="", client_port=port, public_key="") for port in range(4)]
    result = SteadyLoad(SimpleNamespace(members=members, quorums=SimpleNamespace(quorum=3)), False).run(
        400.0, 0.5, 16, 0.5, print
    )
    assert result.unanswered > 0 and result.committed + result.unanswered == result.offered == 200
    assert result.latency_at_least == ["mean", "p99"] and result.latency_p99_s >= 0.5


def test_an_answer_without_a_time_counts_from_when_it_is_heard():
    """Sent to two nodes, and on disk before the second was asked: that one's answer, if it is first, has no time."""
    outstanding = Outstanding(1)
    outstanding.sent(0, np.array([5.0]), [0])
    replies = [Committed(0, 1, 0, [0])]
    one = object.__new__(Load)
    one._settings = SimpleNamespace(shares_clock=True)
    client = SimpleNamespace(socket="s", receive_now=lambda: replies.pop() if replies else None)
    one._nodes, one._poller = [SimpleNamespace(client=client)], SimpleNamespace(poll=lambda timeout: [("s", 1)])
    one._outstanding, one._news_at, one._longest_silence_s = outstanding, 0.0, 0.0
    assert one._receive(0.0)
    assert np.isfinite(outstanding.transactions()[1, 0]) and outstanding.acknowledged == 1


def test_the_drain_is_patient_with_a_slow_cluster():
    one = object.__new__(Load)
    one._settings = SimpleNamespace(patience_s=5.0)
    one._nodes, one._poller = [], SimpleNamespace(poll=lambda timeout: [("s", 1)])
    one._longest_silence_s = 0.0
    one._news_at = time.monotonic()
    one._receive(0.0)
    assert one._patience_s() >= 5
    one._news_at -= 20
    one._receive(0.0)
    assert one._patience_s() >= 40, "twice the longest time without an answer"
