"""`honeybadger bench run`: two short runs, interrupted and resumed; then report, comparison, limit, costs of suites."""

import csv
import gzip
import json
import tomllib

import pytest
from support.nodes.cluster_harness import background_command, one_line_error, run_command, wait_until

from crypto.suites import DEFAULT, SUITE_NAMES

pytestmark = pytest.mark.processes

#: the window holds a block even where other tests keep both cores busy
MANIFEST = """
about = "two runs"
duration = 5.0
warmup = 0.2
batch-size = 200
rate = 400
arrivals = "poisson"
clients = 2
tx-size = "exp:100"
submit-to = ["1", "f+1"]
"""


def finished(out):
    return sorted(path.parent for path in out.glob("runs/*/summary.json") if ".partial" not in str(path))


def test_an_experiment_is_resumed_after_a_kill(tmp_path):
    manifest, out = tmp_path / "two.toml", tmp_path / "results"
    manifest.write_text(MANIFEST)
    # Killed; its nodes then end by themselves.
    with background_command("bench", "run", str(manifest), "--out", str(out), stdout=None, stderr=None):
        wait_until(lambda: len(finished(out)) == 1 and list(out.glob("runs/*.partial/raw/node-3/events.jsonl")))
    (first,) = finished(out)
    stamp = (first / "summary.json").stat().st_mtime_ns

    result = run_command("bench", "run", str(manifest), "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert "2 runs, 1 done already" in result.stderr.decode() and "run 2 of 2" in result.stderr.decode()
    assert "run 1 of 2" not in result.stderr.decode()
    assert len(finished(out)) == 2 and not list(out.glob("runs/*.partial"))
    assert (first / "summary.json").stat().st_mtime_ns == stamp

    for directory in finished(out):
        summary = json.loads((directory / "summary.json").read_text())
        assert summary["valid"] and summary["clients"] == 2 and summary["tx_size"] == "exp:100"
        assert tomllib.loads((directory / "run.toml").read_text())["arrivals"] == "poisson"
        assert summary["unanswered_tx"] == 0 and summary["committed_tx"] > 0
        rows = list(csv.DictReader((directory / "seconds.csv").open()))
        assert sum(int(row["committed_tx"]) for row in rows) >= summary["committed_tx"]
        assert sum(int(row["offered_tx"]) for row in rows if 0 <= int(row["second"]) < 1) > 200
        with gzip.open(directory / "events.jsonl.gz") as file:
            events = [json.loads(line) for line in file]
        assert {event["from"] for event in events} == {0, 1, 2, 3}
        assert sum(summary["bytes_by_type"].values()) > 0 and summary["bytes_by_type"].keys() >= {"Val", "Echo"}
        assert not (directory / "raw").exists()
    assert {json.loads((d / "summary.json").read_text())["submit_to"] for d in finished(out)} == {1, 2}

    assert "2 runs, all valid" in run_command("bench", "report", str(out)).stdout.decode()
    one, other = finished(out)
    refused = run_command("bench", "compare", str(one), str(other))
    assert "--anyway" in one_line_error(refused) and "not the same: submit-to" in refused.stderr.decode()
    assert run_command("bench", "compare", str(one), str(other), "--anyway").returncode == 0
    limit = run_command("bench", "limit", "--seconds", "0.1", "--json", "--summary", str(one / "summary.json"))
    assert json.loads(limit.stdout)["achieved_ratio"] > 0


def test_the_suites_that_are_installed_are_timed_and_the_others_named():
    found = json.loads(run_command("bench", "crypto", "--seconds", "0.1", "-n", "7", "--json").stdout)
    assert found["suites"].keys() | found["missing"].keys() == set(SUITE_NAMES) and DEFAULT in found["suites"]
    for rows in found["suites"].values():
        costs = {row["what"]: row["seconds"] for row in rows}
        assert {"check N-f = 5 ciphertexts together", "decrypt with f+1 = 3 shares"} <= costs.keys()
        assert all(seconds > 0 for what, seconds in costs.items() if "difference" not in what)
    table = run_command("bench", "crypto", "--seconds", "0.1", "--suite", DEFAULT).stdout.decode()
    assert "pairing check" in table and "N = 4, f = 1" in table and "not measured" not in table
    for name, why in found["missing"].items():
        assert "make charm" in why
        assert why in one_line_error(run_command("bench", "crypto", "--suite", name))


def test_rounds_of_the_agreements_are_counted(tmp_path):
    figure = tmp_path / "rounds.svg"
    done = run_command("bench", "agreements", "--seeds", "3", "--most-rounds", "9", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert {(row["agreement"], row["attacked"]) for row in rows if row["undecided"] == 3} == {("mmr14", True)}
    table = run_command("bench", "agreements", "--seeds", "2", "--most-rounds", "9", "--figure", str(figure))
    assert "crain20" in table.stdout.decode() and "2 seeds each; simulated" in table.stdout.decode()
    assert b"<svg" in figure.read_bytes()
    assert "ends with .png" in one_line_error(run_command("bench", "agreements", "--figure", "rounds.txt"))


def test_an_invalid_run_is_kept_and_told(tmp_path):
    manifest, out = tmp_path / "m.toml", tmp_path / "results"
    manifest.write_text("duration = 1.0\nwarmup = 0\nbatch-size = 100\nrate = 50\ncrash = 2\n")
    for _ in range(2):
        result = run_command("bench", "run", str(manifest), "--out", str(out))
        assert result.returncode == 1
        assert result.stdout.decode() == f"1 run in {out}, invalid\n"
        assert "nothing was committed after the crash" in result.stderr.decode()
    assert len(finished(out)) == 1
    # Without matplotlib, the line names what to install.
    error = one_line_error(run_command("bench", "plot", str(out)))
    assert "no valid run" in error or "pip install -e '.[plot]'" in error
