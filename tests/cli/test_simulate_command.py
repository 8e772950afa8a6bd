"""`honeybadger simulate`: what it prints, and what it refuses in one line."""

import json

import pytest

QUICK = ("simulate", "--duration", "0.3", "--warmup", "0.1", "--batch-size", "40", "--crypto", "ideal", "--seed", "1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--durability", "os"), "--durability means nothing in virtual time: the disk is a price in the table"),
        (("--base-port", "7000"), "--base-port means nothing in virtual time"),
        (("--no-curve",), "--no-curve means nothing in virtual time"),
        (("--curve",), "means nothing in virtual time"),
        (("--no-instrumentation",), "means nothing in virtual time"),
        (("--restart", "1", "--duration", "9"), "--restart is not simulated yet"),
        (("--partition", "0|1,2,3@1-2"), "--partition is not simulated yet"),
        (("--slow", "1:5ms"), "--slow is not simulated yet"),
        (("--clients", "2"), "--clients is not simulated yet"),
        (("--suite", "charm"), "suite"),
        (("--crypto", "ideal", "--mode", "measured"), "--crypto ideal has prices only in the table"),
        (("--factor", "2"), "--factor is for --mode measured"),
        (("--wan", "two-regions", "--latency-ms", "1"), "--latency-ms contradicts --wan"),
        (("--cores", "0"), "--cores '0' is not"),
        (("--mode", "guess"), "guess"),
        (("--nodes", "0"), "--nodes"),
        (("--calibration", "nowhere.toml"), "nowhere.toml"),
        (("--calibrate", "--calibration", "."), "."),
        (("--hosts", "x.toml"), "hosts"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(run, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("simulate", "--duration", "0.1", *arguments)
    assert status != 0 and out == "" and err.count("error: ") == 1 and says in err.splitlines()[-1]


def test_the_tables_say_that_it_was_simulated(run):
    status, out, err = run(*QUICK)
    assert status == 0, err
    assert "Honey Badger in virtual time" in out and "valid: ledgers agree" in out
    assert "2 processors for all nodes" in out and "suite ideal" in out and "durability simulated" in out


def test_what_is_kept_is_what_a_report_reads(run, tmp_path):
    status, out, err = run(*QUICK, "--json", "--out", tmp_path / "kept", "--trace", tmp_path / "trace")
    assert status == 0, err
    assert json.loads(out) == json.loads((tmp_path / "kept" / "summary.json").read_text())
    assert (tmp_path / "trace").stat().st_size > 1000
    status, out, err = run("bench", "report", tmp_path / "kept", "--format", "csv", "--runs")
    assert status == 0 and out.count("\n") == 2, err
    status, out, err = run(*QUICK, "--out", tmp_path / "kept")
    assert status != 0 and "not empty" in err


def test_an_invalid_result_is_told_by_the_exit_status(run):
    status, _, err = run(*QUICK, "--crash", "2")
    assert status == 1 and err.splitlines()[-1].startswith("invalid: ")
