"""`honeybadger cluster load` and `honeybadger status --node` against real nodes."""

from __future__ import annotations

import json

import pytest
from cluster_harness import Cluster, one_line_error, run_command

pytestmark = pytest.mark.processes


def test_load_says_what_became_of_it_and_status_can_be_of_one_node(tmp_path):
    cluster = Cluster(tmp_path / "c")
    path = str(cluster.manifest_path)
    try:
        cluster.start()
        load = ("cluster", "load", "--cluster", path, "--rate", "100", "--tx-size", "50")
        result = run_command(*load, "--duration", "1", "--json")
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout)
        assert (found["offered"], found["committed"], found["refused"], found["unanswered"]) == (100, 100, 0, 0)
        assert found["same_ledger"] and found["height"] > 0 and 0 < found["latency_p50_s"] <= found["latency_p99_s"]
        assert b"50 committed" in run_command(*load, "--duration", "0.5").stdout

        cluster.processes[3].kill()
        one, all_ = run_command("status", "--cluster", path, "--node", "1", "--json"), ("status", "--cluster", path)
        assert one.returncode == 0 and [status["node"] for status in json.loads(one.stdout)] == [1]
        assert run_command(*all_).returncode == 1
        assert run_command(*all_, "--node", "3", "--timeout", "0.5").returncode == 1
        assert "node 4 is not in the manifest" in one_line_error(run_command(*all_, "--node", "4"))
        # Three of four are enough: they get the whole load, and the fourth is named.
        result = run_command(*load, "--duration", "1", "--timeout", "5", "--json")
        found = json.loads(result.stdout)
        assert result.returncode == 1, "not all nodes have the same ledger"
        assert (found["offered"], found["committed"], found["missing"], found["same_ledger"]) == (100, 100, [3], True)
        assert b"no answer from node 3" in result.stderr and b"going on without node 3" in result.stderr
        cluster.processes[2].kill()
        error = one_line_error(run_command(*load, "--timeout", "1"))
        assert "fewer than 3 of 4 nodes were ready within 1 s: no answer from nodes 2 and 3" in error
        assert "exceeds max_tx_bytes" in one_line_error(run_command(*load[:-1], "1000000"))
    finally:
        for process in cluster.processes.values():
            process.kill()
