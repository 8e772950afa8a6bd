"""Manifest and key files: what is written can be read, every damage is one line, and what must differ does."""

import re
import shutil
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.consensus import with_parameters
from support.suites import OTHERS, suite_or_skip

from honeybadger.cluster import manifest as manifest_module
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import load_token
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.ledger.certificates import signed_certificate
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

ADDRESSES = [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home: Path = tmp_path_factory.mktemp("cluster")
    write_cluster(home, *make_cluster(4, 1, HoneyBadgerParameters(), ADDRESSES))
    return home


@pytest.fixture
def cluster(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_round_trip_and_modes(cluster: Path) -> None:
    manifest = Manifest.load(cluster / "cluster.toml")
    manifest.save(cluster / "again.toml")
    assert Manifest.load(cluster / "again.toml").chain_id == manifest.chain_id
    for i in range(4):
        path = cluster / f"node-{i}" / "keys.toml"
        keys = NodeKeys.load(path, manifest)
        assert keys.node == i
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        shown = repr(keys) + repr(keys.secret_keys)
        assert keys.curve_secret_key not in shown
        assert not any(share in shown for share in keys.secret_keys.to_dict().values())


def test_faults_are_kept_and_are_no_part_of_the_chain(cluster: Path) -> None:
    path = cluster / "cluster.toml"
    plain = Manifest.load(path)
    assert plain.faults == ()
    assert "faults]]" not in path.read_text()
    faults = (
        LinkFault(kind="partition", groups=((0, 1), (2, 3)), start_s=5, end_s=10),
        LinkFault(kind="delay", delay_s=0.1, jitter_s=0.02, senders=(3,)),
        LinkFault(kind="slow", every_s=0.02, receivers=(3,)),
    )
    made = plain.with_faults(list(faults))
    assert made.chain_id == plain.chain_id
    assert made.difference(plain.settings) == ""
    made.save(path)
    assert Manifest.load(path).faults == faults
    Manifest.load(path).with_faults([]).save(path)
    assert Manifest.load(path).faults == ()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('kind = "one-way"\nsenders = [4]', "faults[0].senders names node 4"),
        ('kind = "delay"\ndelay_s = -1', "delay_s = -1"),
        ('kind = "delay"\ndelay_s = nan', "delay_s = nan"),
        ('kind = "drop"\nprobability = 1\nfuzz = 1', "fuzz"),
        ('kind = "rain"', "faults[0].kind"),
    ],
)
def test_damaged_faults_in_a_manifest(cluster: Path, entry: str, says: str) -> None:
    path = cluster / "cluster.toml"
    path.write_text(f"{path.read_text()}\n[[faults]]\n{entry}\n")
    refused(path, lambda: Manifest.load(path), says)


SETTINGS: dict[str, Any] = {
    "batch_size": 9,
    "max_tx_bytes": 99,
    "max_proposal_bytes": 999_999,
    "encryption": "never",
    "coin_schedule": "every-round",
    "epoch_window": 9,
    "pipeline_depth": 3,
}


def test_each_setting_changes_the_chain_id_and_is_named(original: Path) -> None:
    mine = Manifest.load(original / "cluster.toml")
    assert mine.difference(mine.settings) == ""
    changed = {name: with_parameters(mine.consensus, **{name: value}) for name, value in SETTINGS.items()}
    changed["chain"] = msgspec.structs.replace(mine.consensus, chain="another")
    for name, consensus in changed.items():
        other = Manifest(consensus, mine.members)
        assert other.chain_id != mine.chain_id
        assert mine.difference(other.settings).startswith(f"{name} is ")


def test_every_field_of_consensus_is_among_the_settings(original: Path) -> None:
    mine = Manifest.load(original / "cluster.toml")
    names = {name.split(".")[0] for name in mine.settings}
    fields = {*type(mine.consensus).__struct_fields__, *type(mine.parameters).__struct_fields__} - {"parameters"}
    assert fields <= names


def test_keys_change_the_chain_id_and_addresses_do_not(original: Path) -> None:
    mine = Manifest.load(original / "cluster.toml")
    other, _ = make_cluster(4, 1, HoneyBadgerParameters(), ADDRESSES)
    for kind in ("coin", "encryption", "certificate"):
        keys = msgspec.structs.replace(mine.consensus.keys, **{kind: getattr(other.consensus.keys, kind)})
        changed = Manifest(msgspec.structs.replace(mine.consensus, keys=keys), mine.members)
        assert changed.chain_id != mine.chain_id
        assert mine.difference(changed.settings).startswith(f"keys.{kind} is ")
    changed = Manifest(mine.consensus, [other.members[0], *mine.members[1:]])
    assert mine.difference(changed.settings).startswith("members[0].public_key is ")
    moved = [msgspec.structs.replace(m, host="10.0.0.1", port=m.port + 100) for m in mine.members]
    assert Manifest(mine.consensus, moved, Runtime(durability="memory", curve=False)).chain_id == mine.chain_id


@OTHERS
def test_manifests_of_different_suites_differ_in_the_suite_whatever_else(original: Path, name: str) -> None:
    mine = Manifest.load(original / "cluster.toml")
    other, _ = make_cluster(4, 1, HoneyBadgerParameters(suite=suite_or_skip(name).name, batch_size=8), ADDRESSES)
    assert other.chain_id != mine.chain_id
    assert mine.difference(other.settings) == f"suite is bls here and {name} there"
    assert other.difference(mine.settings) == f"suite is {name} here and bls there"
    for manifest in (mine, other):  # Keys of one suite are none of the other.
        wrong = {"bls": name, name: "bls"}[manifest.parameters.suite]
        with pytest.raises(ClusterError, match=f"^coin: .*; keys of suite {wrong} are expected$"):
            Manifest(with_parameters(manifest.consensus, suite=wrong), manifest.members)


def test_certificates_that_no_message_can_carry_are_refused(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of signatures grow with the cluster, and a protocol without an erasure code has no other limit."""
    mine = Manifest.load(original / "cluster.toml")
    longest = len(signed_certificate(bytes(mine.public_keys.certificate.proof_bytes)))
    monkeypatch.setattr(manifest_module, "LONGEST", longest)
    Manifest(mine.consensus, mine.members)
    monkeypatch.setattr(manifest_module, "LONGEST", longest - 1)
    with pytest.raises(ClusterError, match=f"^suite = bls: with 4 nodes a certificate has {longest} bytes"):
        Manifest(mine.consensus, mine.members)


def test_a_difference_is_one_short_line_whatever_a_peer_claims(original: Path) -> None:
    mine = Manifest.load(original / "cluster.toml")
    line = mine.difference({**mine.settings, "\n\x1b[2J" * 10_000: "\r\n" * 10_000})
    assert len(line) < 250
    assert line.isprintable()


DAMAGES: list[tuple[str, str, str]] = [
    ("schema = 1", "schema = 2", "schema 2 is not 1"),
    ("schema = 1", "schema = ", "not a valid TOML file"),
    ("schema = 1", "deep = " + "[" * 5000, "not a valid TOML file"),
    ("schema = 1", "schema = " + "9" * 5000, "not a valid TOML file"),
    ("batch_size = 10000", "batch_size = 0", "batch_size = 0 is not a whole number from 1 to 10,000,000"),
    ("batch_size = 10000", 'batch_size = "many"', "batch_size"),
    ("batch_size = 10000", "batch_sise = 10000", 'has no parameter "batch_sise"; did you mean batch_size?'),
    ("nodes = 4", "nodes = 5", "5"),
    ("faults = 1", "faults = 2", "at most f = 1"),
    ("faults = 1", "faults = 0", "coin"),
    ('encryption = "always"', 'encryption = "sometimes"', "sometimes"),
    ('protocol = "honeybadger"', 'protocol = "swift"', 'unknown protocol "swift"'),
    ('coin_schedule = "fixed-fixed-coin"', 'coin_schedule = "dice"', "dice"),
    ('durability = "fsync"', 'durability = "hope"', "hope"),
    ('\nhost = "127.0.0.1"', '\nhost = ""', "members[0].host"),
    ('\nhost = "127.0.0.1"', '\nhost = "a b"', "members[0].host"),
    ('\nhost = "127.0.0.1"', f'\nhost = "{"h" * 256}"', "members[0].host"),
    *[
        (
            '\nhost = "127.0.0.1"',
            f'\nhost = "{host}"',
            f'members[0].host "{host}" is not a host name, an IPv4 address, or',
        )
        for host in ("[::1]", "fe80::1%eth0", "::1::", "127.0.0.1:7100", "a:b")
    ],
    ("port = 7100", "port = 0", "port"),
    ("port = 7100", "port = 7102", "same host and port"),
    ("client_port = 7101", "client_port = 7100", "same host and port"),
    ('public_key = "', 'public_key = "~', "public_key"),
    ("chain = ", "chian = ", "unknown field `chian` - at `$.consensus`; did you mean chain?"),
    ("[consensus", "[konsensus", "unknown field `konsensus`; did you mean consensus?"),
]


@pytest.mark.parametrize(("old", "new", "says"), DAMAGES)
def test_a_damaged_manifest_is_one_line(cluster: Path, old: str, new: str, says: str) -> None:
    path = edit(cluster / "cluster.toml", old, new)
    refused(path, lambda: Manifest.load(path), says)


def refused(path: Path, load: Any, says: str) -> None:
    with pytest.raises(ClusterError) as caught:
        load()
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert says in line
    assert "\n" not in line


def test_damaged_keys_in_a_manifest(cluster: Path) -> None:
    path = cluster / "cluster.toml"
    whole = path.read_text()
    key = re.findall('public_key = "(.*)"', whole)
    commitment = re.findall('"([0-9a-f]{192})"', whole)[0]
    for old, new, says in [
        (key[1], key[0], "same public key"),
        (key[0], key[0][:39] + "~", "members[0].public_key"),
        (key[0], "#" * 40, "members[0].public_key"),
        (key[0], "é" * 40, "members[0].public_key"),
        (commitment, commitment[:-2], "coin: commitment 0"),
        (commitment, "00" * 96, "coin"),
        (commitment, commitment.upper(), "coin: commitment 0"),
    ]:
        path.write_text(whole.replace(old, new, 1))
        refused(path, lambda: Manifest.load(path), says)
    path.write_bytes(b"\xff\xfe")
    refused(path, lambda: Manifest.load(path), "not a valid TOML file")
    path.unlink()
    refused(path, lambda: Manifest.load(path), "No such file")
    refused(cluster, lambda: Manifest.load(cluster), "directory")
    path.write_text(whole.rsplit("[[members]]", 1)[0])
    refused(path, lambda: Manifest.load(path), "members")


def test_damaged_key_files(cluster: Path) -> None:
    manifest = Manifest.load(cluster / "cluster.toml")
    path = cluster / "node-1" / "keys.toml"
    whole = path.read_text()
    curve = re.findall('curve_secret_key = "(.*)"', whole)[0]
    share = re.findall('coin = "(.*)"', whole)[0]
    for old, new, says in [
        ("node = 1", "node = 2", "node 2"),
        ("node = 1", "node = 4", "node 4 is not in the manifest"),
        ("node = 1", "node = -1", "node -1 is not in the manifest"),
        ("schema = 1", "schema = 3", "schema 3"),
        ("schema = 1", "schema = [", "not a valid TOML file"),
        ("schema = 1", 'schema = "one"', "keys.toml: Expected `int`, got `str`"),
        (curve, "short", "not a CURVE key"),
        (curve, "~" * 40, "not a CURVE key"),
        (curve, curve[::-1], "CURVE key"),
        (share, "00" * 31 + "01", "does not match the commitments"),
        (share, "00" * 32, "coin"),
        (share, "zz", "coin"),
        ("coin =", "coins =", "coin"),
        ("curve_secret_key", "curve_secret_kay", "did you mean curve_secret_key?"),
        ("schema = 1", "schema = 1\nextra = 1", "extra"),
    ]:
        path.write_text(whole.replace(old, new, 1))
        refused(path, lambda: NodeKeys.load(path, manifest), says)
        assert share not in says
    path.write_text(whole)
    other, _ = make_cluster(4, 1, HoneyBadgerParameters(), ADDRESSES)
    refused(path, lambda: NodeKeys.load(path, other), "these keys are of another cluster: the manifest lists")
    path.unlink()
    refused(path, lambda: NodeKeys.load(path, manifest), "No such file")


def test_keygen_writes_a_cluster_and_never_overwrites_one(tmp_path: Path, honeybadger: Any) -> None:
    out = tmp_path / "c"
    status, told, errors = honeybadger("keygen", "-n", 5, "--out", out)
    assert (status, errors) == (0, "")
    manifest = Manifest.load(out / "cluster.toml")
    assert (manifest.quorums.nodes, manifest.quorums.faults) == (5, 1)
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.toml"))}
    assert len(before) == 6
    token = out / "http-token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(load_token(token)) == 43 and load_token(token) not in told
    assert_one_line(honeybadger("keygen", "-n", 5, "--out", out), "exists already")
    (out / "cluster.toml").rename(tmp_path / "elsewhere")
    assert_one_line(honeybadger("keygen", "-n", 5, "--out", out), "keys.toml")
    assert all(path.read_bytes() == data for path, data in before.items() if path.exists())


def assert_one_line(done: tuple[int, str, str], says: str) -> None:
    status, _, errors = done
    assert status != 0 and says in errors
    assert errors.strip().splitlines()[-1].lower().startswith("error")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-n", 0], "of at least 1"),
        (["-n", 4, "-f", 2], "at most f = 1"),
        (["-n", 4, "--host", "a", "--host", "b"], "--host"),
        (["-n", 4, "--base-port", 65530], "--base-port"),
        (["-n", 4, "--protocol", "swift"], "swift"),
        (["-n", 4, "--encryption", "rot13"], "rot13"),
    ],
)
def test_impossible_clusters_are_one_line(tmp_path: Path, honeybadger: Any, arguments: list[object], says: str) -> None:
    assert_one_line(honeybadger("keygen", *arguments, "--out", tmp_path / "c"), says)
    assert not (tmp_path / "c").exists()


def test_token_files(tmp_path: Path) -> None:
    path = tmp_path / "http-token"
    assert load_token(path) == ""
    for text in ("", "short", "two words of more than twenty characters", "x" * 201, "é" * 30):
        path.write_text(text)
        refused(path, lambda: load_token(path), "not a token")
    path.write_bytes(b"\xff" * 30)
    refused(path, lambda: load_token(path), "not a token")
    path.write_text("a-token-that-somebody-chose\n")
    assert load_token(path) == "a-token-that-somebody-chose"
    path.unlink()
    path.mkdir()
    refused(path, lambda: load_token(path), "directory")
