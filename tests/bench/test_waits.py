"""Whose latency counts, and what it is: scripted answers, and a node whose proposals are left out."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from support.requests import committed

import bench.load.client
from bench.load.client import Load
from bench.load.offers import client_directory, read_offers
from bench.load.outstanding import Outstanding
from bench.load.waits import Waits
from bench.measure.results import Group, Result
from bench.measure.summary import Outcome, summarise, waited_through
from bench.measure.timeline import histogram, per_second, write_csv
from bench.plan.build_run import run_of
from bench.plan.outage_plan import OutagePlan
from bench.plan.workload import TxSizes, Workload
from bench.show.figure_data import cdf_rows
from honeybadger.ledger import Chain, SQLiteStore
from honeybadger.network.client_protocol import Reply, Status

SIZES = TxSizes.parse(20)
WINDOW = (100.0, 110.0)


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
    result = bench.load.client.Result(batches, 0, o.refused, o.unanswered, o.abandoned, drained_at)
    (home / "load.json").write_bytes(msgspec.json.encode(result))


def scripted(tmp_path, protocol: str = "honeybadger", window: tuple[float, float] = WINDOW) -> dict[str, Any]:
    """Four nodes, one transaction every 50 ms from second 98 to 110, to each in turn. Nodes 0 to 2 take 0.2 s; what is
    sent to node 3 waits for one block at 112 s, and the last of it is never answered; one transaction is refused."""
    outstanding = Outstanding(4)
    workload = Workload(1, SIZES, 0)
    batches, late, prompt = [], [], []
    for number in range(240):
        due, node = 98 + number / 20, number % 4
        batches.append((number, 1, node))
        outstanding.sent(number, np.array([due]), [node])
        if node < 3:
            outstanding.committed(node, number, [0], due + 0.2)
            prompt += workload.batch(number, 1)
        elif number == 203:
            outstanding.refuse(3, number, [0], "full")
        elif number < 220:
            outstanding.committed(3, number, [0], 112.0)
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
    settings = run_of(protocol=protocol, tx_size=SIZES.text, duration=window[1] - window[0], warmup=2, rate=20, seed=1)
    plan = OutagePlan.crash([0, 1, 2, 3], 0)
    return summarise(tmp_path, settings, nodes, Outcome(window, 97.0, plan, [], True))


def test_a_run_with_a_slow_node(tmp_path):
    summary = scripted(tmp_path)
    assert summary["valid"], summary["reason"]
    assert bool(summary["commit"]) == (Path(bench.__file__).parent.parent / ".git").exists()
    # 200 were due in the window and one more was not sent; of every four one waits.
    told = {name: summary[f"offered_{name}"] for name in ("tx", "committed_tx", "refused_tx", "unanswered_tx")}
    assert told == {"tx": 201, "committed_tx": 194, "refused_tx": 2, "unanswered_tx": 5}
    # 15 a second until 109.5, and then a block of 54 in 2.5 s, of which 0.5 s are in the window.
    late = 54 * 0.5 / 2.5
    assert summary["throughput_tx_per_s"] == pytest.approx((15 * 9.5 + late) / 10)
    assert summary["throughput_bytes_per_s"] / summary["throughput_tx_per_s"] == pytest.approx(SIZES.mean, rel=0.3)
    assert summary["committed_tx"] == 150 and 0 < summary["throughput_error_tx_per_s"] < 2
    latency = summary["latency_s"]
    assert latency["p50"] == pytest.approx(0.2) and latency["p90"] > 8
    first_of_node_3 = 98 + 43 / 20
    assert latency["p99"] >= latency["max"] - 0.5 and latency["max"] == pytest.approx(112 - first_of_node_3)
    assert summary["latency_at_least"] == ["mean", "p99", "p999", "max"]
    assert (summary["backlog_start_tx"], summary["backlog_end_tx"], summary["drain_s"]) == (10 + 3, 59 + 3, 7.0)
    assert summary["accepted_tx_per_s"] == pytest.approx(19.9), "what was refused in the window, no more"
    assert [row["blocks_with_proposal"] for row in summary["per_node"]] == [10, 10, 10, 0]
    assert [row["block_share"] for row in summary["per_node"]] == [1, 1, 1, 0]
    assert summary["left_out"] == [3]
    assert summary["warnings"] == [
        "node 3's proposals are in none of the 10 blocks, so its clients wait",
        "10 transactions offered before the measured time were still waiting at its end: latency does not count them",
    ]


def test_where_one_node_proposes_nobody_is_left_out(tmp_path):
    summary = scripted(tmp_path, "pbft")
    assert summary["left_out"] == [] and not any("proposals" in warning for warning in summary["warnings"])


def test_seconds_and_histogram_have_everything_that_was_offered(tmp_path):
    outstanding = Outstanding(1)
    outstanding.sent(0, np.array([99.5, 100.1, 100.2, 101.5]), [0])
    outstanding.committed(0, 0, [0, 1, 3], 101.6)
    leave(tmp_path, outstanding, [(0, 4, 0)], 107.0)
    offers = read_offers(tmp_path, 1, 1, SIZES)
    rows = {row["second"]: row for row in per_second((100.0, 102.0), [], 3, offers)}
    assert {second: row["offered_tx"] for second, row in rows.items()} == {-1: 1, 0: 2, 1: 1}
    assert rows[0]["latency_p99_s"] == pytest.approx(0.01 * 1.5 + 0.99 * 6.8)
    assert rows[1]["latency_p50_s"] == pytest.approx(0.1)

    write_csv(tmp_path / "latency.csv", histogram(offers.waits(offers.within((100.0, 102.0)))))
    group = Group({"protocol": "honeybadger"}, [Result(tmp_path, {}, 0, {"valid": True})])
    assert [row["share"] for row in cdf_rows([group])][-1] == pytest.approx(2 / 3), "one was never answered"


@pytest.fixture
def hears():
    """Makes a client that has sent one transaction, due at second 5, and now hears this reply."""

    def hears(reply: Reply, **settings: Any) -> Load:
        client = object.__new__(Load)
        client._settings = SimpleNamespace(**settings)
        client._connections = SimpleNamespace(replies=lambda wait_s: [(0, reply)])
        client._outstanding = Outstanding(1)
        client._outstanding.sent(0, np.array([5.0]), [0])
        client._news_at = client._longest_silence_s = 0.0
        return client

    return hears


@pytest.mark.parametrize(
    ("ahead_ns", "shares_clock", "is_told"),
    [
        # Its clock is a day ahead: what it says counts only if that clock is ours.
        (86_400 * 10**9, True, True),
        (86_400 * 10**9, False, False),
        # Sent to two nodes, and on disk before the second was asked: its answer, if it is first, has no time.
        (None, True, False),
    ],
)
def test_when_a_transaction_was_durable_is_told_by_a_node_or_when_it_is_heard(hears, ahead_ns, shares_clock, is_told):
    told_ns = 0 if ahead_ns is None else time.monotonic_ns() + ahead_ns
    before = time.monotonic()
    client = hears(committed(0, 5, told_ns, [0]), shares_clock=shares_clock)
    assert client._receive(0.0) and client._outstanding.acknowledged == 1
    (durable,) = client._outstanding.transactions()[1]
    assert durable == told_ns / 1e9 if is_told else before <= durable <= time.monotonic()


def test_the_drain_is_patient_with_a_slow_cluster(hears):
    client = hears(Status(0, {}), patience_s=5.0)
    client._news_at = time.monotonic()
    client._receive(0.0)
    assert client._patience_s() >= 5
    client._news_at -= 20
    client._receive(0.0)
    assert client._patience_s() >= 40, "twice the longest time without an answer"


def test_a_measured_time_with_few_blocks_and_with_none(tmp_path):
    few = scripted(tmp_path / "few", window=(100.0, 102.5))
    says = "too few epochs: only 2 blocks in the measured 2.5 s, so its figures say little (throughput ± "
    assert says in few["warnings"][-2]
    assert few["valid"] and "a block takes about 1 s here; try --duration 20" in few["warnings"][-2]
    none = scripted(tmp_path / "none", window=(110.0, 111.0))
    assert none["reason"].endswith("measured window: a block takes about 1 s here; try --duration 20")


def test_one_transaction_that_waited_is_one():
    says = "1 transaction offered before the measured time was still waiting at its end: latency does not count it"
    assert waited_through(1) == [says] and waited_through(0) == []
