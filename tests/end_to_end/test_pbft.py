"""`honeybadger local --protocol pbft`: a whole cluster of PBFT, its primary killed, all of it restarted."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from cluster_harness import one_line_error, run_command

pytestmark = pytest.mark.processes

QUICK = ("--protocol", "pbft", "--batch-size", "400", "--warmup", "0.5", "--json", "--view-timeout", "1.5")


def summary_of(*options, timeout=120):
    result = run_command("local", *QUICK, *options, timeout=timeout)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_run_is_valid_and_has_phases():
    summary = summary_of("--duration", "2")
    assert summary["valid"] and summary["protocol"] == "pbft" and summary["encrypt"] is False
    assert summary["committed_tx"] > 0 and not summary["faults_recorded"]
    phases = summary["phase_s"]
    assert all(phases[name] > 0 for name in ("prepare", "commit", "in_order", "ledger"))
    assert "agreement" not in phases and summary["agreement"]["rounds_mean"] is None


def test_the_primary_dies_and_comes_back():
    """Seed 3 draws node 0, the primary of the first view."""
    summary = summary_of("--duration", "12", "--restart", "1", "--restart-after", "4", "--seed", "3")
    assert summary["restarted"] == [0] and summary["committed_tx_after_crash"] > 0
    assert summary["restarts"][0]["committed_tx_while_down_others"] > 0, "service resumed in another view"


@pytest.mark.soak
def test_each_primary_dies_and_comes_back():
    """Whoever is the primary when a round begins: the second one is another node, for the first was given up."""
    summary = summary_of("--duration", "20", "--restart-primary", "--restart-rounds", "2", "--restart-after", "4")
    first, second = summary["restarts"]
    assert first["node"] != second["node"]
    assert summary["pause_worst_s"] >= summary["pause_median_s"] > 0
    assert summary["recovery_worst_s"] >= summary["recovery_median_s"] > 0
    assert summary["committed_tx_after_crash"] > 0


@pytest.mark.soak
def test_ten_primaries_of_seven_die_and_come_back():
    summary = summary_of(
        *("-n", "7", "--duration", "120", "--restart-primary", "--restart-rounds", "10", "--restart-after", "2"),
        timeout=400,
    )
    assert len(summary["restarts"]) == 10 and summary["committed_tx_after_crash"] > 0
    nodes = [row["node"] for row in summary["restarts"]]
    assert all(a != b for a, b in pairwise(nodes)), "each time another one"


def test_all_die_and_come_back():
    summary = summary_of("--duration", "8", "--restart-all", "--restart-after", "0.5", "--durability", "os")
    assert summary["restarted"] == [0, 1, 2, 3] and summary["committed_tx_after_crash"] > 0


def test_strategies_and_parameters_of_honey_badger_are_refused():
    text = one_line_error(run_command("local", *QUICK, "--byzantine", "1:bad-shards"))
    assert "pbft knows no strategy bad-shards" in text
    text = one_line_error(run_command("local", *QUICK, "--encryption", "always"))
    assert "encryption can only be never" in text


@pytest.mark.parametrize("strategy", ["silent", "equivocate"])
def test_a_faulty_node_is_survived(strategy):
    assert summary_of("--duration", "2", "--byzantine", f"1:{strategy}")["valid"]
