"""`honeybadger local --wan`, as a user meets it: shaped links, or one line that says why not."""

import json
import os
import signal
import subprocess
from functools import cache
from pathlib import Path

import psutil
import pytest
from support.nodes.cluster_harness import background_command, one_line_error, run_command

from bench.plan.experiment import Experiment
from honeybadger.cluster.errors import ClusterError, WanUnavailable
from honeybadger.cluster.wan.commands import CommandFailed, run
from honeybadger.cluster.wan.emulation import Emulation
from honeybadger.cluster.wan.profile import Profile

pytestmark = pytest.mark.processes

QUICK = ("-n", "4", "--wan", "two-regions", "--duration", "1", "--warmup", "0.5", "--rate", "50")


@cache
def can_emulate() -> bool:
    try:
        with Emulation(Profile.find("two-regions"), 1):
            return True
    except WanUnavailable:
        return False


needs_wan = pytest.mark.skipif(
    "not can_emulate()", reason="neither netem nor TUN devices: run as root, after modprobe sch_netem or modprobe tun"
)


def stand_in(directory: Path, name: str, script: str) -> None:
    """A command of that name that comes before the real one in PATH."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


NO_RIGHTS = 'case "$*" in *route*) echo "[]";; *) echo "Operation not permitted" >&2; exit 1;; esac'


def namespaces(pid: int) -> list[Path]:
    """Those that the run with this process id made."""
    return list(Path("/run/netns").glob(f"hbwan-{pid}-*"))


def test_without_rights_nothing_is_run_unshaped(commands, tmp_path):
    stand_in(commands, "ip", NO_RIGHTS)
    out = tmp_path / "out"
    result = run_command("local", *QUICK, "--json", "--out", str(out))
    assert result.returncode == 2 and not result.stdout and not out.exists()
    assert "needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN): Operation not permitted" in one_line_error(result)

    manifest = tmp_path / "one.toml"
    manifest.write_text('wan = "two-regions"\nduration = 1.0\nrate = [50, 100]\n')
    result = run_command("bench", "run", str(manifest), "--out", str(out))
    assert result.returncode == 2
    assert "needs root" in one_line_error(result)
    assert list((out / "runs").iterdir()) == [], "a run that cannot be shaped is not a result"


def test_a_missing_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("honeybadger.cluster.wan.commands._SYSTEM_PATH", str(tmp_path))
    with pytest.raises(WanUnavailable, match=r"needs the command tc \(Debian and Ubuntu: package iproute2\)"):
        run("tc", "qdisc")


def test_the_last_complaint_of_a_command_is_kept(commands):
    stand_in(commands, "tc", "cat; echo 'Error: No such device.' >&2; echo 'Command failed -:1' >&2; exit 1")
    with pytest.raises(CommandFailed, match=r"^No such device$"):
        run("tc", "-batch", "-", lines=["qdisc add dev x root htb"])
    stand_in(commands, "tc", "exit 3")
    with pytest.raises(CommandFailed, match="exit status 3"):
        run("tc")
    stand_in(commands, "tc", "cat")
    assert run("tc", "-batch", "-", lines=["one", "two"]) == "one\ntwo\n"


def test_nonsense_is_named():
    for profile, nodes, complaint in [
        ("nowhere/mine.toml", 4, "nowhere/mine.toml: No such file"),
        ("two-regions", 251, "251 nodes are too many; it has room for 250"),
    ]:
        with pytest.raises(ClusterError, match=complaint):
            Experiment.parse({"wan": profile, "nodes": nodes}, "x")


@needs_wan
def test_a_run_between_two_regions_is_valid_and_has_its_round_trips():
    with background_command("local", *QUICK, "--json") as process:
        stdout, stderr = process.communicate(timeout=120)
    if b"Is this machine busy?" in stderr:
        pytest.skip("too busy to measure round trips: run it again when the machine is quiet")
    assert process.returncode == 0, stderr
    wan = json.loads(stdout)["wan"]
    assert wan["profile"] == "two-regions" and wan["regions"] == ["east", "west", "east", "west"]
    assert len(wan["pairs"]) == 6 and wan["worst_deviation_percent"] <= 5
    assert wan["emulator"] in ("netem", "user-space")
    if wan["emulator"] == "user-space":
        assert wan["lateness_ms"]["max"] > 0 and wan["forwarded"]["packets"] > 100 and not wan["forwarded"]["dropped"]
    assert json.loads(stdout)["latency_s"]["p50"] > 0.04, "no transaction is agreed on within a round trip"
    assert not namespaces(process.pid)


@needs_wan
def test_an_interrupt_removes_the_network():
    with background_command("local", *QUICK, "--duration", "60", stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        assert any(b"measuring round trips" in line for line in process.stderr)
        assert namespaces(process.pid)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not namespaces(process.pid)
    assert psutil.wait_procs(started, 10)[1] == []
