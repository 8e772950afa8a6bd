"""`honeybadger local --protocol pbft`: a whole cluster of PBFT, its primary killed, all of it restarted."""

from itertools import pairwise

import pytest
from support.nodes.cluster_harness import local_summary

pytestmark = pytest.mark.processes

QUICK = ("--protocol", "pbft", "--batch-size", "400", "--warmup", "0.5", "--view-timeout", "0.5")
LIGHT = (*QUICK, "--rate", "25")


def test_the_primary_dies_and_comes_back_in_a_run_that_is_valid_and_has_phases():
    """Seed 3 draws node 0, the primary of the first view."""
    summary = local_summary(*LIGHT, "--duration", "7", "--restart", "1", "--restart-after", "3", "--seed", "3")
    assert summary["restarted"] == [0] and summary["committed_tx_after_crash"] > 0
    assert summary["restarts"][0]["committed_tx_while_down_others"] > 0, "service resumed in another view"
    assert summary["valid"] and summary["protocol"] == "pbft" and summary["encrypt"] is False
    assert summary["committed_tx"] > 0 and not summary["faults_recorded"]
    phases = summary["phase_s"]
    assert all(phases[name] > 0 for name in ("prepare", "commit", "in_order", "ledger"))
    assert "agreement" not in phases and summary["agreement"]["rounds_mean"] is None


@pytest.mark.soak
def test_ten_primaries_of_seven_die_and_come_back():
    """Whoever is the primary when a round begins: each time another node, for the last one was given up."""
    rounds = ("--restart-primary", "--restart-rounds", "10", "--restart-after", "2")
    summary = local_summary(*QUICK, "-n", "7", "--duration", "120", *rounds, timeout=400)
    assert len(summary["restarts"]) == 10 and summary["committed_tx_after_crash"] > 0
    assert all(a["node"] != b["node"] for a, b in pairwise(summary["restarts"]))
    assert summary["pause_worst_s"] >= summary["pause_median_s"] > 0
    assert summary["recovery_worst_s"] >= summary["recovery_median_s"] > 0


def test_all_die_beside_a_faulty_node_and_come_back():
    restart = ("--duration", "4", "--restart-all", "--restart-after", "0.5", "--durability", "os")
    summary = local_summary(*LIGHT, *restart, "--byzantine", "1:equivocate")
    assert summary["valid"] and summary["restarted"] == [0, 1, 2] and summary["committed_tx_after_crash"] > 0
