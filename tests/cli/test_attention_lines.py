"""What a person may not mean is said on standard error before a run begins; `tests/bench/test_attentions.py` has the
lines."""

import json
from pathlib import Path

import pytest

import bench.run.single_run


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench.run.single_run.SingleRun, "run", lambda _: {"valid": True, "warnings": []})
    monkeypatch.setattr("signal.signal", lambda *_: None)


MORE = "2 liars are more than the f = 1 that 4 nodes tolerate; ledgers may differ, or nothing may be committed"
NO_LEADER = "protocol honeybadger has no leader; delay leader:… strikes node 0 instead"


def test_local_says_it_before_it_runs(run):
    status, out, err = run("local", "--byzantine", "2:bad-certificates", "--delay", "leader:2s", "--json")
    assert (status, err) == (0, f"attention: {MORE}\nattention: {NO_LEADER}\n") and json.loads(out)["valid"]


@pytest.mark.parametrize("more", [("--dry-run",), ()])
def test_an_experiment_says_it_once_before_its_first_run(run, monkeypatch, more):
    Path("both.toml").write_text(
        'protocol = ["honeybadger", "pbft"]\nrepeats = 2\ndelay = ["", "leader:1s", "leader:2s"]\n'
        'byzantine = ["", "2:bad-certificates"]\n'
    )
    # Enough of the first run has been done.
    monkeypatch.setattr(bench.run.single_run.SingleRun, "run", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    status, _, err = run("bench", "run", "both.toml", *more)
    lines = err.splitlines()
    assert sorted(lines[:2]) == sorted([f"attention: {MORE}", f"attention: {NO_LEADER}"])
    assert lines[2].startswith("both: 24 runs, 0 done already")
    assert "attention" not in " ".join(lines[2:])
    assert status == (0 if more else 130)
    assert more or lines[3].startswith("run 1 of 24: ")
