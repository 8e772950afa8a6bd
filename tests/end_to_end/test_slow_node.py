"""A node whose proposals come too late: its transactions wait, and the summary of the run must not hide that."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from cluster_harness import run_command

from bench.observations import read_node

pytestmark = pytest.mark.processes


def test_latency_is_of_everything_that_was_offered(tmp_path):
    out = tmp_path / "run"
    options = ("--rate", "100", "--duration", "4", "--warmup", "0.5", "--delay", "3:200ms", "--seed", "5")
    result = run_command("local", *options, "--out", str(out))
    assert result.returncode == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    window = summary["window"]
    slow = read_node(out / "node-3" / "events.jsonl")
    # Only node 3 has what was sent to it, so that waits for the next block with a proposal of node 3.
    times = [slow.durable_at[h] for h, block in slow.block.items() if 3 in block["proposers"]]
    in_window = [at for at in times if window["start"] <= at < window["end"]]
    after = min(at for at in times if at >= window["end"])
    longest = max(b - a for a, b in pairwise([window["start"], *in_window, after]))
    assert summary["latency_s"]["max"] >= longest - 0.1

    latency, row = summary["latency_s"], summary["per_node"][3]
    assert summary["offered_tx"] == pytest.approx(400, abs=2)
    assert summary["offered_committed_tx"] == summary["offered_tx"] and summary["latency_at_least"] == []
    assert summary["drain_s"] >= after - window["end"] - 0.1
    assert row["blocks_with_proposal"] == len(in_window)
    missing = f"node 3's proposals are in {len(in_window)} of {summary['epochs']} blocks"
    assert any(missing in line for line in summary["warnings"]) == (len(in_window) < summary["epochs"] / 2)
    text = result.stdout.decode()
    assert "backlog" in text and f"{latency['p99'] * 1000:,.1f}" in text
