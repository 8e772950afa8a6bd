"""`honeybadger simulate` as a person starts it: the same in every process, and with the prices of this machine."""

import json
from pathlib import Path

import pytest
from support.nodes.cluster_harness import run_command

from honeybadger.simulation.virtual_time.table import CostTable

QUICK = ("--duration", "0.3", "--warmup", "0.1", "--batch-size", "40", "--seed", "1", "--json")


def test_two_processes_simulate_the_same(tmp_path: Path) -> None:
    """Hashes of a process have a seed of their own, and nothing may depend on it."""
    for name in ("a", "b"):
        ended = run_command("simulate", *QUICK, "--trace", str(tmp_path / name))
        assert ended.returncode == 0 and json.loads(ended.stdout)["valid"], ended.stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.processes
def test_calibration(tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    ended = run_command("simulate", "--calibrate", "--calibration", str(path))
    assert ended.returncode == 0, ended.stderr
    table = CostTable.load(path)
    assert table.crypto.check.once + table.crypto.check.each > 0 and table.node.message + table.node.tick > 0
    assert "cores" in table.machine and "honeybadger" in table.version
    ended = run_command("simulate", *QUICK, "--calibration", str(path))
    assert json.loads(ended.stdout)["simulation"]["table"] == str(path)
    ended = run_command("simulate", "--calibrate", "--calibration", str(path))
    assert ended.returncode != 0 and b"exists already" in ended.stderr
