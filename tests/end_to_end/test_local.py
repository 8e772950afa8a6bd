"""`honeybadger local`: what it prints, what it returns, and what it says when things go wrong."""

import contextlib
import json
import signal

import psutil
import pytest
from support.nodes.cluster_harness import background_command, local_summary, one_line_error, run_command, wait_until

from honeybadger.results import load

pytestmark = pytest.mark.processes

QUICK = ("--duration", "1", "--warmup", "0.3", "--rate", "200")

#: the contract with scripts outside the project
KEYS = {
    *("schema", "protocol", "nodes", "faults_tolerated", "batch_size", "tx_bytes", "duration_s", "offered_tx_per_s"),
    *("committed_tx", "throughput_tx_per_s", "throughput_bytes_per_s", "latency_s", "epochs", "epoch_s", "ledger"),
    *("durability", "curve", "encrypt", "seed", "per_node", "machine", "versions", "valid"),
}


def test_summary_has_the_promised_keys_and_adds_up_and_out_keeps_everything(tmp_path):
    out = tmp_path / "run"
    summary = local_summary(*QUICK, "--seed", "7", "--out", str(out))
    assert summary.keys() >= KEYS
    assert summary["valid"] and summary["seed"] == 7 and summary["curve"] and summary["encrypt"]
    assert summary["durability"] == "fsync"
    assert summary["committed_tx"] > 0
    # From commit to commit: the blocks at the two edges count in part.
    assert summary["throughput_tx_per_s"] > 0 and summary["throughput_error_tx_per_s"] > 0
    assert summary["throughput_bytes_per_s"] == pytest.approx(250 * summary["throughput_tx_per_s"])
    assert {"mean", "p50", "p90", "p99", "p999", "max"} <= summary["latency_s"].keys()
    assert {"mean", "p50", "p99"} <= summary["epoch_s"].keys()
    assert summary["ledger"]["agree"] and len(summary["ledger"]["tip"]) == 64
    assert [row["exit"] for row in summary["per_node"]] == [0] * 4
    wanted = {"id", "cpu_s", "peak_rss_bytes", "sent_bytes", "received_bytes", "messages_handled", "faults", "exit"}
    assert all(wanted <= row.keys() for row in summary["per_node"])

    assert json.loads((out / "summary.json").read_text()) == summary
    row = load(out).iloc[0]
    assert (row["rate"], row["seed"], row["throughput_tx_per_s"]) == (200, 7, summary["throughput_tx_per_s"])
    assert (out / "node-0" / "events.jsonl").exists()
    assert run_command("ledger", "verify", str(out / "node-0" / "data")).returncode == 0
    assert "exists already" in one_line_error(run_command("local", *QUICK, "--out", str(out)))


def test_a_crash_within_f_is_survived_and_said(tmp_path, monkeypatch):
    """With settings from everywhere: a flag goes before a variable, and that before a file."""
    config, out = tmp_path / "run.toml", tmp_path / "run"
    config.write_text("duration = 1.0\nwarmup = 0.2\nbatch-size = 40\ntx_size = 20\nrate = 200\n")
    monkeypatch.setenv("HONEYBADGER_BATCH_SIZE", "50")
    monkeypatch.setenv("HONEYBADGER_TX_SIZE", "30")
    unusual = ("--no-curve", "--no-encrypt", "--durability", "os", "--coin-schedule", "every-round", "--tx-size", "40")
    result = run_command("local", "--config", str(config), *unusual, "--crash", "1", "--out", str(out))
    text = result.stdout.decode()
    assert result.returncode == 0, result.stderr
    assert "after the crash" in text and "killed" in text and "valid" in text
    summary = json.loads((out / "summary.json").read_text())
    assert summary["committed_tx_after_crash"] > 0 and not summary["curve"] and not summary["encrypt"]
    assert [summary[key] for key in ("duration_s", "batch_size", "tx_bytes", "durability")] == [1.0, 50, 40, "os"]


@pytest.mark.parametrize("agreement", [("crain20",), ("mmr14", "--allow-flawed")], ids=lambda words: words[0])
def test_other_agreements_in_real_nodes(agreement):
    """With a liar, a node that is killed and comes back, and the oldest transactions first."""
    words = ("-n", "7", "--byzantine", "1:equivocate-votes", "--restart", "1", "--restart-after", "0.5")
    chosen = ("--selection", "oldest", "--coin-schedule", "every-round", "--duration", "5", "--batch-size", "70")
    result = run_command("local", *words, *chosen, "--rate", "200", "--agreement", *agreement, "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["valid"]
    assert [summary["parameters"][key] for key in ("agreement", "selection")] == [agreement[0], "oldest"]
    assert "stall it forever" in one_line_error(run_command("local", *QUICK, "--agreement", "mmr14"))


@pytest.mark.parametrize("broadcast", ["avid", "bracha"])
@pytest.mark.parametrize("faults", [("--byzantine", "1:bad-shards", "--restart", "1"), ("--crash", "1")])
def test_other_broadcasts_in_real_nodes(broadcast, faults):
    """With a liar and a node that is killed and comes back, or with one that does not."""
    nodes, after = ("7", ("--restart-after", "0.5")) if "--restart" in faults else ("4", ())
    chosen = ("-n", nodes, "--duration", "4", "--rate", "200", "--batch-size", "70", "--broadcast", broadcast)
    summary = local_summary(*chosen, *faults, *after)
    assert summary["valid"] and summary["ledger"]["agree"] and summary["committed_tx_after_crash"] > 0
    assert summary["parameters"]["broadcast"] == broadcast
    types = set(summary["messages_by_type"])
    assert {"Val", "Echo", "Ready"} <= types and not {"EchoHash", "Want"} & types
    blamed = {fault["kind"] for fault in summary["faults_recorded"]}
    assert blamed <= {"BAD_CODEWORD", "BAD_BRANCH", "BAD_SHARD_LENGTH"} and ("BAD_BRANCH" in blamed) == (nodes == "7")


def test_an_attack_on_votes_by_hash_is_refused_where_there_are_none():
    error = one_line_error(run_command("local", *QUICK, "--broadcast", "avid", "--byzantine", "1:want-flood"))
    assert error.endswith(
        "--byzantine: want-flood is an attack on broadcast hash-echo: in avid nobody votes by hash or asks for a shard"
    )


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_that_is_stopped_leaves_no_node_behind(tmp_path, killed):
    out = tmp_path / "run"
    started: list[psutil.Process] = []
    with background_command(
        "local", "--duration", "60", "--rate", "50", "--out", str(out), stdout=None, stderr=None
    ) as process:
        try:
            wait_until(lambda: list(out.glob("**/load.log" if killed else "node-3/events.jsonl")))
            started = psutil.Process(process.pid).children()
            assert len(started) >= 4
            (process.kill if killed else process.terminate)()
            assert process.wait(30) == (-signal.SIGKILL if killed else 130)
            assert psutil.wait_procs(started, 30)[1] == []
        finally:
            for left in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
    assert not killed or all("stopped" in (out / f"node-{i}" / "log.txt").read_text() for i in range(4))


def test_a_crash_beyond_f_stops_the_cluster_and_is_an_error():
    unusual = ("--encryption", "every:2", "--pipeline-depth", "1", "--durability", "memory", "--tx-size", "16")
    result = run_command("local", *QUICK, "-n", "5", "-f", "0", *unusual, "--crash", "1", "--json")
    summary = json.loads(result.stdout)
    assert result.returncode == 1
    assert summary["valid"] is False and summary["ledger"]["agree"]
    assert summary["committed_tx"] > 0 == summary["committed_tx_after_crash"]
    assert "4 of 5 nodes are left, but an epoch needs N-f = 5" in result.stderr.decode()


def test_restart_rounds_report_each_restart():
    rounds = ("--restart", "1", "--restart-rounds", "2", "--restart-after", "0.2")
    summary = local_summary(*QUICK, "--duration", "4", "--rate", "50", "--seed", "5", *rounds)
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


def test_a_liar_and_a_partition_without_quorum_are_survived_and_recorded():
    faults = ("--byzantine", "1:bad-shards", "--partition", "0,1|2,3@0.5-0.9", "--delay", "0>1:1ms")
    summary = local_summary(*QUICK, *faults)
    assert summary["byzantine"] == {"3": "bad-shards"} and summary["crashed"] == []
    assert summary["committed_tx"] > 0 and summary["unanswered_tx"] == 0
    recorded = {fault["kind"]: fault for fault in summary["faults_recorded"]}
    assert "BAD_BRANCH" in recorded and {fault["node"] for fault in summary["faults_recorded"]} <= {3}
    assert all(1 <= fault["recorded_by"] <= 3 <= fault["records"] + 2 for fault in recorded.values())
    assert [row["byzantine"] for row in summary["per_node"]] == ["", "", "", "bad-shards"]
    cut, delay = summary["link_faults"]
    assert (cut["kind"], cut["groups"], cut["start_s"], cut["end_s"]) == ("partition", [[0, 1], [2, 3]], 0.5, 0.9)
    assert (delay["kind"], delay["delay_s"]) == ("delay", 0.001)
    assert len(set(summary["final_heights"])) == 1 and summary["link_fault_zero_s"] < 0


def test_nonsense_gets_one_clear_line():
    """More of it, without a process of its own: tests/cli/test_arguments.py."""
    assert "no room" in one_line_error(run_command("local", "--base-port", "65535"))
