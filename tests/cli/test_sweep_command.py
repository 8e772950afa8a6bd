"""`honeybadger bench run` with --scheduler and --workers: what it prints, and what it refuses in one line."""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from support.nodes.cluster_harness import background_command

from bench.run.sweep import caller
from honeybadger.cluster.wan.profile import PROFILES

EXPERIMENT = """
duration = 0.1
warmup = 0.0
window = 4
batch-size = [8, 12]
"""
IDEAL = ("--simulate", "--crypto", "ideal")


@pytest.fixture
def manifest(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT)
    return path


@pytest.mark.parametrize(
    ("more", "options", "says"),
    [
        ("", ("--workers", "2"), "--workers needs --simulate"),
        ("", ("--scheduler", "tcp://10.0.0.1:8786"), "--scheduler needs --simulate"),
        ("", (*IDEAL, "--workers", "2", "--scheduler", "a:1"), "--scheduler contradicts --workers"),
        ("", ("--simulate", "--costs", "measured", "--workers", "2"), "--workers contradicts --costs measured"),
        ("", (*IDEAL, "--workers", "0"), "--workers '0' is not"),
        ("", (*IDEAL, "--scheduler", "http://x"), "--scheduler 'http://x' is not an address such as tcp://"),
        ("", (*IDEAL, "--scheduler", "x"), "--scheduler 'x' is not an address such as tcp://"),
        ('wan = "./my.toml"', (*IDEAL, "--scheduler", "a:1"), "wan ./my.toml: the workers do not have your file"),
        ('byzantine = "1:mine:Mine"', (*IDEAL, "--scheduler", "a:1"), "byzantine mine:Mine: the workers do not have"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(run, manifest, more, options, says):
    manifest.write_text(EXPERIMENT + more)
    if "wan" in more:
        shutil.copy(PROFILES / "two-regions.toml", "my.toml")
    if "mine" in more:
        Path("mine.py").write_text("from honeybadger.adversary import Adversary\n\nclass Mine(Adversary):\n    pass\n")
    status, out, err = run("bench", "run", manifest, *options)
    assert status != 0 and out == "" and err.count("\n") == 1 and says in err


def test_without_dask_it_says_what_to_install(run, manifest, monkeypatch):
    monkeypatch.delitem(sys.modules, "bench.run.sweep.caller")
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, _, err = run("bench", "run", manifest, *IDEAL, "--workers", "2")
    assert status == 1 and "--workers needs Dask; in the project's folder: pip install -e '.[distributed]'" in err
    # What needs no worker needs no Dask.
    assert run("bench", "run", manifest, *IDEAL, "--workers", "2", "--dry-run")[0] == 0


def test_nobody_answers(run, manifest, monkeypatch):
    monkeypatch.setattr(caller, "CONNECT_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        status, _, err = run("bench", "run", manifest, *IDEAL, "--scheduler", address)
    assert status == 1 and err.splitlines()[-1] == f"error: --scheduler {address}: no Dask scheduler answers there"


@pytest.fixture(scope="module")
def alone() -> Iterator[LocalCluster]:
    """A scheduler that has no worker yet."""
    with caller._local(0) as started:
        yield started


def test_a_scheduler_without_workers_and_then_with_one(run, manifest, alone):
    address = alone.scheduler_address
    status, _, err = run("bench", "run", manifest, *IDEAL, "--scheduler", address)
    assert status == 1 and f"--scheduler {address} has no workers; start one with: dask worker {address}" in err
    alone.scale(1)
    alone.wait_for_workers(1)
    status, out, err = run("bench", "run", manifest, *IDEAL, "--scheduler", address)
    assert status == 0 and "2 runs in runs/small-virtual-time" in out, err
    assert "run 1 of 2: B = " in err and "run 2 of 2: B = " in err
    # All is there, in whichever way it is asked for.
    for options in ((), ("--workers", "2"), ("--scheduler", "tcp://127.0.0.1:1")):
        status, out, err = run("bench", "run", manifest, *IDEAL, *options)
        assert status == 0 and "nothing to do" in err


@pytest.mark.processes
def test_ctrl_c_ends_the_workers_quietly_and_keeps_what_is_done(manifest):
    manifest.write_text(EXPERIMENT + "repeats = 500")
    command = ("bench", "run", str(manifest), *IDEAL, "--workers", "2", "--out", "kept")
    with background_command(*command, start_new_session=True) as process:
        try:
            lines = []
            for line in process.stderr:
                lines.append(line.decode())
                if "tx/s, latency" in lines[-1]:
                    break
            workers = psutil.Process(process.pid).children(recursive=True)
            # As a terminal does: to the workers as well.
            os.killpg(process.pid, signal.SIGINT)
            rest = process.stderr.read().decode()
            assert process.wait(60) == 130 and len(workers) >= 2
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert rest.endswith("interrupted\n") and "Traceback" not in rest and "Process" not in rest
    assert not psutil.wait_procs(workers, timeout=20)[1]
    done = list(Path("kept", "runs").iterdir())
    assert done and len(done) < 1000 and not any(path.suffix == ".partial" for path in done)
