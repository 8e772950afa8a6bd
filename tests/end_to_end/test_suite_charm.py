"""Real nodes with `--suite charm`: under the defaults, lies and restarts; certificates; and where it is missing."""

from dataclasses import replace

import pytest
from support.nodes.cluster_harness import (
    local_summary,
    one_line_error,
    quick_command,
    run_command,
    running,
)
from support.suites import suite_or_skip

from crypto.suites import DEFAULT, SUITE_NAMES
from honeybadger.adversary import POSSIBLE_FAULTS
from honeybadger.client import Cluster
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import NodeProcess
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

pytestmark = pytest.mark.processes

QUICK = ("--duration", "2", "--warmup", "0.3", "--rate", "200")


@pytest.fixture
def charm() -> str:
    return suite_or_skip("charm").name


def run(*options: str):
    summary = local_summary("--suite", "charm", *options)
    assert summary["valid"] and summary["parameters"]["suite"] == "charm" and summary["committed_tx"] > 0
    assert summary["ledger"]["agree"] and len(set(summary["final_heights"])) == 1
    return summary


def test_the_defaults_are_valid_and_the_ledger_is_certified(charm, tmp_path):
    out = tmp_path / "run"
    summary = run("--duration", "3", "--out", str(out))
    assert summary["faults_recorded"] == []
    (manifest,) = out.rglob("cluster.toml")
    verified = quick_command("ledger", "verify", str(out / "node-0" / "data"), "--cluster", str(manifest))
    assert verified.returncode == 0, verified.stderr
    certified = verified.stdout.decode().split(", ")[-1].split()
    assert int(certified[0]) > 0 and certified[1:] == ["blocks", "certified"]


@pytest.mark.parametrize("liar", ["bad-coin-shares", "bad-decryption-shares", "garbage-proposals", "stale-shares"])
def test_a_liar_is_survived(charm, liar):
    summary = run(*QUICK, "--coin-schedule", "every-round", "--byzantine", f"1:{liar}")
    assert {fault["node"] for fault in summary["faults_recorded"]} <= {3}
    assert {fault["kind"] for fault in summary["faults_recorded"]} <= {kind.name for kind in POSSIBLE_FAULTS[liar]}


def test_all_are_killed_and_come_back(charm):
    summary = run(*QUICK, "--duration", "4", "--restart-all", "--restart-after", "0.3")
    assert summary["restarted"] == [0, 1, 2, 3] and summary["committed_tx_after_crash"] > 0


def test_one_is_killed_and_comes_back(charm):
    summary = run(*QUICK, "--duration", "4", "--restart", "1", "--restart-after", "0.3", "--seed", "5")
    assert len(summary["restarts"]) == 1 and summary["recovery_s"]


def test_pbft_certifies_with_it(charm, tmp_path):
    out = tmp_path / "run"
    run(*QUICK, "--protocol", "pbft", "--batch-size", "400", "--out", str(out))
    (manifest,) = out.rglob("cluster.toml")
    verified = quick_command("ledger", "verify", str(out / "node-0" / "data"), "--cluster", str(manifest))
    assert verified.returncode == 0 and b" blocks certified" in verified.stdout


def test_clients_check_certificates_and_a_node_of_another_suite_is_refused(charm, tmp_path):
    with running(tmp_path / "c", suite=charm) as nodes:
        manifest = nodes.manifest
        with Cluster.open(nodes.manifest_path) as client:
            client.submit([b"one"])
            evidence = client.prove(b"one", timeout_s=60)
            assert client.liars == {}
        assert evidence.certificate and evidence.check(manifest, b"one") and not evidence.check(manifest, b"two")

        nodes.processes[3].kill()
        home = tmp_path / "other"
        addresses = [(member.host, member.port, member.client_port) for member in manifest.members]
        other, keys = make_cluster(4, 1, HoneyBadgerParameters(suite="bls"), addresses)
        mine = NodeKeys.load(nodes.directory / "node-3" / "keys.toml", manifest)
        write_cluster(
            home, Manifest(other.consensus, manifest.members), [replace(mine, secret_keys=keys[3].secret_keys)]
        )
        stranger = NodeProcess(home, 3)
        assert stranger.wait(30) == 1
        assert "suite is bls here and charm there" in stranger.last_words
        nodes.commit(0)
        nodes.start(3)
        nodes.finish()


@pytest.mark.parametrize("name", [name for name in SUITE_NAMES if name != DEFAULT])
@pytest.mark.parametrize("command", ["local", "keygen", "node", "bench crypto"])
def test_where_charm_is_missing_one_line_says_so(tmp_path, monkeypatch, command, name):
    """Whether it is installed here or not."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "charm.py").write_text("raise ModuleNotFoundError('no module', name='charm')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    home = tmp_path / "c"
    options = ("--suite", name, *(("--out", str(home)) if command == "keygen" else ()))
    if command == "node":
        write_cluster(home, *make_cluster(1, 0, HoneyBadgerParameters(), [("127.0.0.1", 7100, 7101)]))
        manifest = home / "cluster.toml"
        manifest.write_text(manifest.read_text().replace('suite = "bls"', f'suite = "{name}"'))
        keys, data = home / "node-0" / "keys.toml", home / "node-0" / "data"
        options = ("--cluster", str(manifest), "--keys", str(keys), "--data", str(data))
    error = one_line_error(run_command(*command.split(), *options))
    named = f"suite = {name}: " if command == "node" else f"--suite {name}: "
    assert error.endswith(f"{named}charm is not installed; run `make charm` in the project's folder")
    assert command == "node" or not home.exists()


@pytest.mark.parametrize("command", ["local", "keygen"])
def test_more_nodes_than_the_code_has_shards_are_refused(charm, tmp_path, command):
    out = ("--out", str(tmp_path / "c"))
    assert "at most 255 nodes" in one_line_error(quick_command(command, "--suite", charm, "-n", "256", *out))
    assert not (tmp_path / "c").exists()
