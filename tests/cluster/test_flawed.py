"""What is known to be flawed starts nowhere without --allow-flawed: not from options, not from a manifest."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.plan.build_run import run_of
from honeybadger.cli.main import cli
from honeybadger.cluster import keygen
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.protocols.honey_badger.parameters import FLAWED, HoneyBadgerParameters

ADDRESSES = [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)]
MMR14 = HoneyBadgerParameters(agreement="mmr14")
#: names the flaw and its source, in one line
WHY = r"mmr14: a scheduler .* issue 59; arXiv:1909\.07453\); to study it anyway: --allow-flawed$"


def test_only_the_papers_agreement_is_flawed() -> None:
    assert set(FLAWED) == {"mmr14"}
    assert not HoneyBadgerParameters().flaw and not HoneyBadgerParameters(agreement="crain20").flaw


def test_no_keys_are_dealt_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take a while in a large cluster."""
    monkeypatch.setattr(keygen, "deal", None)
    with pytest.raises(ClusterError, match=WHY):
        make_cluster(4, 1, MMR14, ADDRESSES)


def test_a_run_or_an_experiment_names_the_option() -> None:
    with pytest.raises(ClusterError, match=f"^agreement = {WHY}"):
        run_of(agreement="mmr14")
    assert run_of(agreement="mmr14", allow_flawed=True).runtime.allow_flawed
    assert not run_of(agreement="crain20").runtime.allow_flawed


@pytest.mark.parametrize("command", ["local", "keygen --out made"])
def test_commands_refuse_it(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [*command.split(), "--agreement", "mmr14"])
    assert isinstance(done.exception, ClusterError)
    assert "--agreement mmr14: a scheduler" in str(done.exception)
    assert not Path("made").exists()


def test_a_node_refuses_a_manifest_that_does_not_allow_it(tmp_path: Path) -> None:
    """A node reads the manifest and nothing else."""
    write_cluster(tmp_path, *make_cluster(4, 1, MMR14, ADDRESSES, Runtime(allow_flawed=True)))
    path = tmp_path / "cluster.toml"
    assert Manifest.load(path).parameters.flaw
    path.write_text(path.read_text().replace("allow_flawed = true", "allow_flawed = false"))
    with pytest.raises(ClusterError, match=WHY):
        Manifest.load(path)
    words = [
        "node",
        "--cluster",
        str(path),
        "--keys",
        str(tmp_path / "node-0/keys.toml"),
        "--data",
        str(tmp_path / "d"),
    ]
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, ClusterError) and "mmr14: a scheduler" in str(done.exception)


def test_permission_is_no_part_of_the_chain() -> None:
    allowed, _ = make_cluster(4, 1, HoneyBadgerParameters(), ADDRESSES, Runtime(allow_flawed=True))
    assert Manifest(allowed.consensus, allowed.members, Runtime()).chain_id == allowed.chain_id
