"""`honeybadger simulate`: what it prints, and what it refuses in one line."""

import json
import signal

import pytest

from bench.run.simulated_run import SimulatedRun

QUICK = ("simulate", "--duration", "0.3", "--warmup", "0.1", "--batch-size", "40", "--crypto", "ideal", "--seed", "1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--durability", "os"), "--durability means nothing in virtual time: the disk is a price in the table"),
        (("--base-port", "7000"), "--base-port means nothing in virtual time"),
        (("--no-curve",), "--no-curve means nothing in virtual time"),
        (("--curve",), "means nothing in virtual time"),
        (("--no-instrumentation",), "means nothing in virtual time"),
        (("--suite", "charm"), "--suite needs --costs measured: the table has prices of the suite bls only"),
        (("--suite", "charm", "--crypto", "ideal"), "--suite needs --costs measured"),
        (("--crypto", "ideal", "--costs", "measured"), "--crypto ideal has prices only in the table"),
        (("--bundle", "4", "--costs", "measured"), "--bundle 4 multiplies prices: leave out --costs"),
        (("--bundle", "3"), "--bundle 3 does not divide batch-size = 10000"),
        (("--bundle", "4", "--batch-size", "40"), "--bundle 4 leaves fewer than 16 transactions of --batch-size 40"),
        (("--bundle", "0"), "--bundle '0' is not"),
        (("--factor", "2"), "--factor is for --costs measured"),
        (("--schedule", "lifo"), "--schedule lifo reorders messages"),
        (("--schedule", "leadr"), "--schedule: there is no scheduler leadr"),
        (("--wan", "two-regions", "--latency-ms", "1"), "--wan contradicts --latency-ms"),
        (("--cores", "0"), "--cores '0' is not"),
        (("--costs", "guess"), "guess"),
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


def test_the_ledgers_of_a_simulation_have_certificates_that_can_be_verified(run, tmp_path):
    status, _, err = run(*QUICK, "--crypto", "suite", "--out", tmp_path / "kept")
    assert status == 0, err
    cluster = ("--cluster", tmp_path / "kept" / "cluster.toml")
    status, out, err = run("ledger", "verify", tmp_path / "kept" / "node-2", *cluster)
    assert status == 0 and "certified" in out and " 0 blocks certified" not in out, err


def test_ctrl_c_ends_a_run_there_and_leaves_its_figures(run, tmp_path, monkeypatch):
    again = SimulatedRun._inject

    def interrupt(self, world, loads):
        if world.clock.now > 0.6:
            signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(SimulatedRun, "_inject", again)

    monkeypatch.setattr(SimulatedRun, "_inject", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    status, out, err = run(*QUICK, "--duration", "60", "--out", tmp_path / "kept", "--json")
    assert status == 130 and signal.getsignal(signal.SIGINT) is handler
    assert err.splitlines()[-1] == "interrupted after 0.6 s of virtual time: the figures are of that time"
    summary = json.loads(out)
    assert summary == json.loads((tmp_path / "kept" / "summary.json").read_text())
    assert summary["simulation"]["interrupted"] and summary["committed_tx"] > 0 and not summary["valid"]


EXPERIMENT = """
duration = 0.3
warmup = 0.1
seed = 1
batch-size = [20, 40]
"""


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT)
    return path


def test_an_experiment_is_simulated_reported_compared_and_drawn(run, manifest):
    status, out, err = run("bench", "run", manifest, "--simulate", "--crypto", "ideal")
    assert status == 0 and "2 runs in runs/small-virtual-time" in out, err
    assert "1 of 1" not in run("bench", "run", manifest, "--simulate", "--crypto", "ideal")[2], "all are done"
    assert run("bench", "run", manifest, "--simulate", "--crypto", "ideal", "--out", "again")[0] == 0
    status, out, err = run("bench", "compare", "runs/small-virtual-time", "again")
    assert status == 0 and "1.00" in out, err
    status, out, err = run("bench", "plot", "again", "--only", "throughput-batch-size", "--format", "svg")
    assert status == 0, err


def test_results_of_different_kinds_are_not_mixed_without_being_asked(run, manifest, tmp_path):
    for out, more in (("ideal", ("--crypto", "ideal")), ("one", ("--crypto", "ideal", "--cores", "1"))):
        assert run("bench", "run", manifest, "--simulate", *more, "--out", out)[0] == 0
    status, _, err = run("bench", "compare", "ideal", "one")
    assert status != 0 and "not the same: simulation, cores: 2 against 1" in err
    assert run("bench", "compare", "ideal", "one", "--anyway")[0] == 0
    status, _, err = run("bench", "run", manifest, "--simulate", "--crypto", "ideal", "--cores", "1", "--out", "ideal")
    assert status != 0 and "ideal holds runs simulated with cores = 2, not 1" in err
    status, _, err = run("bench", "run", manifest, "--out", "ideal")
    assert status != 0 and "ideal holds runs made with virtual time, not with processes" in err
    for path in (tmp_path / "one" / "runs").glob("*/summary.json"):
        summary = json.loads(path.read_text())
        path.write_text(
            json.dumps({key: value for key, value in summary.items() if key not in ("place", "simulation")})
        )
    status, _, err = run("bench", "compare", "ideal", "one")
    assert status != 0 and "not the same: place: virtual time against processes" in err


def test_results_that_carry_different_bundles_are_not_mixed(run, manifest):
    manifest.write_text(EXPERIMENT.replace("[20, 40]", "[160]"))
    for out, bundle in (("every", "1"), ("second", "2")):
        more = ("--crypto", "ideal", "--bundle", bundle)
        assert run("bench", "run", manifest, "--simulate", *more, "--out", out)[0] == 0
    status, _, err = run("bench", "compare", "every", "second")
    assert status != 0 and "not the same: simulation, bundle: 1 against 2" in err


def test_an_experiment_may_say_itself_that_it_is_simulated_and_options_win(run, manifest, tmp_path):
    manifest.write_text(EXPERIMENT + '[simulation]\ncrypto = "ideal"\nown_hosts = true\ncores = 3\n')
    status, out, err = run("bench", "run", manifest)
    assert status == 0 and "2 runs in runs/small," in out, err
    assert run("bench", "run", manifest, "--simulate", "--cores", "1", "--out", "one")[0] == 0
    for home, cores in (("runs/small", 3), ("one", 1)):
        summaries = [json.loads(path.read_text()) for path in (tmp_path / home / "runs").glob("*/summary.json")]
        found = {tuple(one["simulation"][key] for key in ("crypto", "own_hosts", "cores")) for one in summaries}
        assert found == {("ideal", True, cores)}


@pytest.mark.parametrize(
    ("more", "options", "says"),
    [
        ("", ("--cores", "1"), "--cores needs --simulate"),
        ("", ("--simulate", "--containers"), "--containers contradicts --simulate"),
        ("", ("--simulate", "--trace", "t"), "--trace is for one run"),
        ('durability = "os"', ("--simulate",), "durability means nothing in virtual time"),
        ("[simulation]\ncors = 1", (), "small.toml: simulation.cors is not an option of a simulation; did you mean"),
        ("[simulation]\ncores = 0", (), "small.toml: simulation.cores = 0 is not a whole number from 1 to 1,024"),
        ("[simulation]\ncores = [1, 2]", (), "small.toml: simulation.cores = [1, 2] is not a whole number"),
        ("[simulation]\ntrace = 't'", (), "simulation.trace is for one run"),
        ("[simulation]\ncrypto = 'ideal'", ("--costs", "measured"), "leave out --costs"),
        ("[simulation]", ("--containers",), "--containers contradicts [simulation] in "),
        ("simulation = true", (), "small.toml: simulation is a table, written [simulation]"),
        ('suite = "charm"', ("--simulate",), "suite needs --costs measured"),
    ],
    ids=str,
)
def test_an_experiment_that_makes_no_sense_is_refused_in_one_line(run, manifest, more, options, says):
    manifest.write_text(EXPERIMENT + more)
    status, out, err = run("bench", "run", manifest, *options)
    assert status != 0 and out == "" and err.count("\n") == 1 and says in err
