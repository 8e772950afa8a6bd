"""`honeybadger local`: what it prints, what it returns, and what it says when things go wrong."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import psutil
import pytest
from cluster_harness import one_line_error, run_command, wait_until

pytestmark = pytest.mark.processes

QUICK = ("--duration", "2", "--warmup", "0.5", "--batch-size", "400")

#: the contract with scripts outside the project
KEYS = {
    *("schema", "protocol", "nodes", "faults_tolerated", "batch_size", "tx_bytes", "duration_s", "offered_tx_per_s"),
    *("committed_tx", "throughput_tx_per_s", "throughput_bytes_per_s", "latency_s", "epochs", "epoch_s", "ledger"),
    *("durability", "curve", "encrypt", "seed", "per_node", "machine", "versions", "valid"),
}


def test_summary_has_the_promised_keys_and_adds_up():
    result = run_command("local", *QUICK, "--json", "--seed", "7")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary.keys() >= KEYS
    assert summary["valid"] and summary["seed"] == 7 and summary["curve"] and summary["encrypt"]
    assert summary["durability"] == "fsync"
    assert summary["committed_tx"] > 0
    assert summary["throughput_tx_per_s"] == pytest.approx(summary["committed_tx"] / 2)
    assert summary["throughput_bytes_per_s"] == pytest.approx(250 * summary["throughput_tx_per_s"])
    assert {"mean", "p50", "p90", "p99", "p999", "max"} <= summary["latency_s"].keys()
    assert {"mean", "p50", "p99"} <= summary["epoch_s"].keys()
    assert summary["ledger"]["agree"] and len(summary["ledger"]["tip"]) == 64
    assert [row["exit"] for row in summary["per_node"]] == [0] * 4
    wanted = {"id", "cpu_s", "peak_rss_bytes", "sent_bytes", "received_bytes", "messages_handled", "faults", "exit"}
    assert all(wanted <= row.keys() for row in summary["per_node"])


def test_open_loop_offers_the_asked_rate():
    result = run_command("local", *QUICK, "--json", "--rate", "500")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["offered_tx_per_s"] == pytest.approx(500, rel=0.01)
    assert summary["unanswered_tx"] == 0 and not summary["refused_tx"]


@pytest.mark.parametrize(
    "options",
    [
        ("--no-curve", "--no-encrypt", "--durability", "os"),
        ("--durability", "memory", "--coin-schedule", "every-round"),
        ("-n", "1"),
        ("-n", "5", "--encryption", "every:2", "--pipeline-depth", "1"),
        ("-n", "7", "-f", "1", "--tx-size", "16"),
    ],
)
def test_settings(options):
    result = run_command("local", *QUICK, "--json", *options)
    assert result.returncode == 0, result.stderr


def test_a_crash_within_f_is_survived_and_said():
    result = run_command("local", "--duration", "4", "--warmup", "0.5", "--batch-size", "400", "--crash", "1")
    text = result.stdout.decode()
    assert result.returncode == 0, result.stderr
    assert "after the crash" in text and "killed" in text and "valid" in text


def test_a_crash_in_a_short_run_is_survived():
    result = run_command("local", "--duration", "1", "--warmup", "0.2", "--batch-size", "400", "--crash", "1", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["committed_tx_after_crash"] > 0


def test_a_terminated_run_leaves_no_node_behind(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "honeybadger.cli.main", "local", "--duration", "60", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (out / "node-3" / "events.jsonl").exists())
        children = psutil.Process(process.pid).children()
        assert len(children) >= 4
        process.terminate()
        assert process.wait(30) == 130
        assert psutil.wait_procs(children, 30)[1] == []
    finally:
        process.kill()
        process.wait()


def test_a_killed_run_leaves_no_node_behind(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "honeybadger.cli.main", "local", "--duration", "60", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started: list[psutil.Process] = []
    try:
        wait_until(lambda: list(out.glob("**/load.log")))
        started = psutil.Process(process.pid).children()
        assert len(started) >= 4
        process.kill()
        process.wait()
        assert psutil.wait_procs(started, 30)[1] == []
    finally:
        process.kill()
        process.wait()
        for left in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
    assert all("stopped" in (out / f"node-{i}" / "log.txt").read_text() for i in range(4))


def test_a_crash_beyond_f_stops_the_cluster_and_is_an_error():
    result = run_command("local", "--duration", "4", "--warmup", "0.5", "--batch-size", "400", "--crash", "2", "--json")
    summary = json.loads(result.stdout)
    assert result.returncode == 1
    assert summary["valid"] is False and summary["ledger"]["agree"] and summary["committed_tx_after_crash"] == 0
    assert "2 of 4 nodes are left, but an epoch needs N-f = 3" in result.stderr.decode()


def test_restart_rounds_report_each_restart():
    options = ("--duration", "6", "--warmup", "0.2", "--batch-size", "400", "--json", "--seed", "5")
    result = run_command("local", *options, "--restart", "1", "--restart-rounds", "2", "--restart-after", "0.2")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    restarts = summary["restarts"]
    assert len(restarts) == len(summary["recovery_s"]) == 2
    assert set(summary["restarted"]) == {row["node"] for row in restarts}
    for row in restarts:
        assert row["restarted_at_s"] - row["killed_at_s"] == pytest.approx(row["down_s"])
        assert row["down_s"] >= 0.2 and row["killed_at_s"] > 0.6
    last = restarts[-1]
    assert last["recovery_s"] > 0 and summary["recovery_s"][-1] == pytest.approx(last["down_s"] + last["recovery_s"])
    assert summary["recovery_worst_s"] >= summary["recovery_median_s"] > 0
    assert summary["committed_tx_after_crash"] > 0 and len(set(summary["final_heights"])) == 1
    assert [row["exit"] for row in summary["per_node"]] == [0] * 4


@pytest.mark.parametrize(("strategy", "kinds"), [("silent", set()), ("bad-shards", {"BAD_BRANCH"})])
def test_a_byzantine_node_is_survived_and_its_faults_are_recorded(strategy, kinds):
    result = run_command("local", *QUICK, "--json", "--byzantine", f"1:{strategy}")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["byzantine"] == {"3": strategy} and summary["crashed"] == []
    assert summary["committed_tx"] > 0 and summary["unanswered_tx"] == 0
    recorded = {fault["kind"]: fault for fault in summary["faults_recorded"]}
    assert recorded.keys() >= kinds and {fault["node"] for fault in summary["faults_recorded"]} <= {3}
    assert all(1 <= fault["recorded_by"] <= 3 <= fault["records"] + 2 for fault in recorded.values())
    assert [row["byzantine"] for row in summary["per_node"]] == ["", "", "", strategy]


def test_a_partition_without_quorum_is_waited_for():
    result = run_command("local", *QUICK, "--json", "--partition", "0,1|2,3@1-2", "--delay", "0>1:1ms")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    cut, delay = summary["link_faults"]
    assert (cut["kind"], cut["groups"], cut["start_s"], cut["end_s"]) == ("partition", [[0, 1], [2, 3]], 1.0, 2.0)
    assert (delay["kind"], delay["delay_s"]) == ("delay", 0.001)
    assert summary["committed_tx"] > 0 and summary["unanswered_tx"] == 0
    assert len(set(summary["final_heights"])) == 1 and summary["link_fault_zero_s"] < 0


def test_precedence_of_file_environment_and_flag(tmp_path, monkeypatch):
    config = tmp_path / "run.toml"
    config.write_text("duration = 1.0\nwarmup = 0.2\nbatch-size = 40\ntx_size = 20\nnodes = 1\n")
    monkeypatch.setenv("HONEYBADGER_BATCH_SIZE", "50")
    monkeypatch.setenv("HONEYBADGER_TX_SIZE", "30")
    result = run_command("local", "--config", str(config), "--tx-size", "40", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["nodes"], summary["batch_size"], summary["tx_bytes"]) == (1, 50, 40)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--protocol", "nonsense"), "unknown protocol"),
        (("-n", "4", "-f", "2"), "at most f = 1"),
        (("-n", "0"), "at least one node"),
        (("--tx-size", "100000"), "longest transaction"),
        (("--tx-size", "3"), "at least 16 bytes"),
        (("--batch-size", "0"), "batch_size"),
        (("--crash", "4"), "would leave none"),
        (("--encryption", "sometimes"), "sometimes"),
        (("--base-port", "65535"), "no room"),
        (("--pipeline-depth", "99"), "pipeline_depth"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--duration", "soon"), "soon"),
        (("--no-such-option",), "no such option"),
    ],
)
def test_nonsense_gets_one_clear_line(options, words):
    result = run_command("local", *options)
    assert words.lower() in one_line_error(result).lower()


def test_out_keeps_everything_and_is_not_overwritten(tmp_path):
    out = tmp_path / "run"
    assert run_command("local", *QUICK, "--out", str(out)).returncode == 0
    assert json.loads((out / "summary.json").read_text())["valid"]
    assert (out / "node-0" / "events.jsonl").exists()
    assert run_command("ledger", "verify", str(out / "node-0" / "data")).returncode == 0
    assert "exists already" in one_line_error(run_command("local", *QUICK, "--out", str(out)))
