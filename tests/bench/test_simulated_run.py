"""Whole runs in virtual time: valid, repeatable, and changed by what should change them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.load.virtual_load import HEAD_START_S
from bench.measure.ledger_check import check_ledgers
from bench.plan.build_run import run_of
from bench.plan.simulation_settings import LATENCY_MS, SimulationSettings
from bench.run.simulated_run import SimulatedRun
from honeybadger.cluster.errors import ClusterError
from honeybadger.simulation.virtual_time.table import SHIPPED, CostTable

QUICK = {"duration": 0.4, "warmup": 0.1, "batch_size": 40, "seed": 7}


def simulate(out: Path | None = None, how: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    settings = msgspec.structs.replace(run_of(**{**QUICK, **options}), out=out)
    return SimulatedRun(settings, SimulationSettings(**{"crypto": "ideal", **(how or {})}), lambda progress: None).run()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"how": {"crypto": "suite"}},
        {"how": {"crypto": "suite", "costs": "measured"}},
        {"protocol": "pbft"},
        {"rate": 400},
        {"rate": 400, "arrivals": "poisson", "submit_to": "f+1", "protocol": "pbft"},
        {"nodes": 7, "wan": "two-regions", "duration": 1.0},
        {"nodes": 5, "faults": 1, "how": {"own_hosts": True, "uplink_mbit": 10.0, "downlink_mbit": 10.0}},
        {"encrypt": False, "recovery": False},
        {"byzantine": "1:bad-shards"},
        {"delay": "1:5ms~1ms", "rate": 200},
        {"nodes": 1},
    ],
    ids=str,
)
def test_a_run_is_valid_and_says_that_it_was_simulated(options):
    summary = simulate(**options)
    assert summary["valid"], summary["reason"]
    assert summary["committed_tx"] > 0 and summary["offered_unanswered_tx"] == 0
    assert summary["place"] == "virtual time"
    how = options.get("how", {})
    assert summary["simulation"]["mode"] == how.get("costs", "table")
    assert summary["suite"] == ("bls" if how.get("crypto") == "suite" else "ideal")
    assert summary["simulation"]["table"] == "shipped with the package"
    assert not summary["faults_recorded"] or "byzantine" in options


@pytest.mark.parametrize("protocol", ["honeybadger", "pbft"])
def test_the_same_seed_gives_the_same_trace_byte_for_byte_and_another_one_does_not(tmp_path, protocol):
    traces = []
    for number, seed in enumerate((7, 7, 8)):
        path = tmp_path / f"{number}.jsonl"
        simulate(how={"trace": path, "crypto": "suite"}, seed=seed, protocol=protocol, wan="two-regions", duration=0.6)
        traces.append(path.read_bytes())
    assert traces[0] == traces[1] != traces[2]
    lines = [json.loads(line) for line in traces[0].splitlines()]
    assert {line["node"] for line in lines} == {0, 1, 2, 3}
    assert {"started", "proposed", "committed", "block", "usage"} <= {line["event"] for line in lines}
    commits = [(line["node"], line["epoch"]) for line in lines if line["event"] == "committed"]
    assert len(set(commits)) == len(commits) > 10


def test_a_killed_node_is_gone_and_the_others_go_on():
    summary = simulate(crash=1, duration=1.0)
    assert summary["valid"], summary["reason"]
    assert summary["crashed"] == [3] and summary["committed_tx_after_crash"] > 0
    assert summary["final_heights"][3] < min(summary["final_heights"][:3])
    assert summary["abandoned_tx"] > 0


def test_without_n_minus_f_nodes_nothing_is_committed():
    summary = simulate(crash=2, duration=1.0)
    assert not summary["valid"] and "nothing was committed after the crash" in summary["reason"]


def test_a_result_whose_ledger_was_changed_is_not_believed(tmp_path):
    """The check is the one of real runs, on real ledgers."""
    simulate(tmp_path / "run")
    path = tmp_path / "run" / "node-1" / "ledger.sqlite"
    assert check_ledgers({1: path}, {1}, []).problem.endswith("committed transactions were never offered")


def test_more_processors_faster_processors_and_nearer_nodes_make_it_faster():
    def throughput(**how: Any) -> float:
        return float(simulate(how=how, nodes=4, batch_size=400)["throughput_tx_per_s"])

    usual = throughput()
    assert throughput(cores=1) < 0.9 * usual < 0.9 * throughput(cores=4)
    assert throughput(latency_ms=20.0) < 0.8 * usual
    assert throughput(uplink_mbit=5.0) < 0.8 * usual


def test_what_the_table_says_decides(tmp_path):
    table = CostTable.load()
    dear = msgspec.structs.replace(table, machine="dear", node=msgspec.structs.replace(table.node, message=1e-3))
    dear.save(tmp_path / "dear.toml")
    summary = simulate(how={"calibration": tmp_path / "dear.toml"})
    assert summary["simulation"]["table_machine"] == "dear"
    assert summary["throughput_tx_per_s"] < 0.5 * simulate()["throughput_tx_per_s"]
    assert summary["cpu_s_per_epoch"] > 4 * 80 * 1e-3


def test_a_price_cannot_be_told_from_the_figures_of_a_real_node():
    """Ideal cryptography costs what the real one does: the table knows no difference."""
    real, ideal = simulate(how={"crypto": "suite"}), simulate()
    assert ideal["throughput_tx_per_s"] == pytest.approx(real["throughput_tx_per_s"], rel=0.1)
    for name in ("check", "encrypt", "decrypt", "code", "certificate", "decryption_share"):
        assert real["crypto_cpu_s_per_epoch"][name] > 0
        assert ideal["crypto_cpu_s_per_epoch"][name] == pytest.approx(real["crypto_cpu_s_per_epoch"][name], rel=0.1)


def test_latency_counts_from_the_scheduled_time(tmp_path):
    """More is offered than can be committed: what waits longest was due long before it was taken."""
    summary = simulate(tmp_path / "run", rate=6_000, how={"cores": 1}, duration=0.5, warmup=0.0)
    scheduled, durable = np.load(tmp_path / "run" / "client-0" / "transactions.npy")
    # The load begins when the nodes are connected: after a round trip.
    begin = HEAD_START_S + 2 * LATENCY_MS / 1e3
    assert np.sort(scheduled) == pytest.approx(begin + np.arange(len(scheduled)) / 6_000)
    assert (durable > scheduled).all()
    assert summary["offered_tx"] == 3_000 and summary["throughput_tx_per_s"] < 2_000
    assert summary["latency_s"]["max"] > 0.5


def test_every_file_that_the_table_is_not_is_refused(tmp_path):
    path = tmp_path / "costs.toml"
    for text, says in (("", "not a table of costs"), (SHIPPED.read_text() + "\nx = 1\n", "x"), ("a", "TOML")):
        path.write_text(text)
        with pytest.raises(ClusterError, match=says):
            CostTable.load(path)
    path.write_text(SHIPPED.read_text().replace("message = ", "message = -"))
    with pytest.raises(ClusterError, match="message"):
        CostTable.load(path)
