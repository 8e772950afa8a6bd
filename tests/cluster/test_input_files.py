"""Files that people give: whatever editor wrote them, whoever may read them, and after a `keygen` that failed."""

import codecs
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.places.hosts.inventory import Inventory
from bench.plan.experiment import Experiment
from honeybadger.cli.local import command as local_command
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import load_token
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.wan.profile import PROFILES, Profile
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

MANIFEST = Path("cluster.toml")
KEYS = Path("node-0", "keys.toml")
TOKEN = Path("http-token")


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    write_cluster(tmp_path / "c", *make_cluster(1, 0, HoneyBadgerParameters(), [("127.0.0.1", 7100, 7101)]))
    return tmp_path / "c"


def config(path: Path) -> Any:
    with local_command.make_context("local", ["--config", str(path)]) as context:
        return context.params["nodes"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("nodes = 7\n", config),
        ("nodes = 7\n", Experiment.load),
        ('hosts = [{ name = "a", ssh = "192.0.2.1" }]\n', Inventory.load),
        ((PROFILES / "two-regions.toml").read_text(), lambda path: Profile.load(path).regions),
        ("a-token-that-somebody-chose\n", load_token),
    ],
)
def test_a_byte_order_mark_is_no_harm(tmp_path: Path, text: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    expected = repr(read(path))
    path.write_bytes(codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode())
    assert repr(read(path)) == expected


def test_a_byte_order_mark_in_a_cluster_is_no_harm(cluster: Path) -> None:
    for name in (MANIFEST, KEYS):
        (cluster / name).write_bytes(codecs.BOM_UTF8 + (cluster / name).read_bytes())
    assert NodeKeys.load(cluster / KEYS, Manifest.load(cluster / MANIFEST)).node == 0


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/", "/nowhere"])
def test_no_file_fills_the_memory(path: str) -> None:
    with pytest.raises(ClusterError):
        Manifest.load(Path(path))


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_keygen_that_ran_out_of_disk_can_be_repeated(tmp_path: Path, blocks: int) -> None:
    """`blocks` of 1 KiB is how long a file can become: the first key file does not fit, or the manifest does not."""
    made = make_cluster(4, 1, HoneyBadgerParameters(), [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (blocks * 1024, before[1]))
    try:
        with pytest.raises(ClusterError, match="File too large"):
            write_cluster(tmp_path / "c", *made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    write_cluster(tmp_path / "c", *made)
    NodeKeys.load(tmp_path / "c" / KEYS, Manifest.load(tmp_path / "c" / MANIFEST))


def test_keygen_that_failed_takes_nothing_away(cluster: Path, honeybadger: Any) -> None:
    before = (cluster / KEYS).read_bytes()
    (cluster / MANIFEST).unlink()
    (cluster / TOKEN).unlink()
    assert "keys.toml: File exists" in honeybadger("keygen", "-n", 2, "--out", cluster)[2]
    assert [path for path in cluster.rglob("*") if path.is_file()] == [cluster / KEYS]
    assert (cluster / KEYS).read_bytes() == before


def test_secrets_that_others_may_read_are_pointed_out(cluster: Path, honeybadger: Any) -> None:
    start = ("node", "--cluster", cluster / MANIFEST, "--keys", cluster / KEYS, "--data", cluster / MANIFEST / "data")
    assert len(honeybadger(*start)[2].splitlines()) == 1
    (cluster / KEYS).chmod(0o640)
    (cluster / TOKEN).chmod(0o606)
    warned = honeybadger(*start)[2].splitlines()
    assert warned[0] == f"node 0: others may use the secrets in {cluster / KEYS} (mode 0640): chmod 600"
    assert len(warned) == 2
    # An address of nobody's (RFC 5737).
    warned = honeybadger("watch", "--cluster", cluster / MANIFEST, "--host", "192.0.2.1")[2].splitlines()
    assert warned[0] == f"watch: others may use the secrets in {cluster / TOKEN} (mode 0606): chmod 600"
    assert len(warned) == 2
