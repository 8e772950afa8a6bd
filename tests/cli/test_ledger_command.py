"""`honeybadger ledger` on good, damaged and certified ledgers."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeybadger.cli.main import main
from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger import Chain, SQLiteStore
from honeybadger.ledger.certificates import block_statement
from honeybadger.protocols.parameters import Parameters

Cluster = tuple[Manifest, list[NodeKeys]]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return make_cluster(4, 1, Parameters(), [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)])


@pytest.fixture
def data(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """Data directory with three blocks, of which the first two are certified; the manifest is beside it."""
    manifest, keys = cluster
    manifest.save(tmp_path / "cluster.toml")
    store = SQLiteStore(tmp_path / "data" / "ledger.sqlite", "os", chain_id=manifest.chain_id)
    chain = Chain(store, manifest.chain_id)
    for epoch in range(3):
        chain.extend(epoch, [(0, [f"transaction {epoch}".encode()])])
    chain.flush()
    for block in list(store.iter_blocks())[:2]:
        statement = block_statement(block.header.hash)
        shares = {i: keys[i].secret_keys.certificate.sign_share(statement) for i in range(2)}
        certificate, _ = manifest.public_keys.certificate.combine(statement, shares)
        assert certificate is not None
        store.set_certificate(block.header.height, certificate)
    store.close()
    yield tmp_path / "data"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["honeybadger", "ledger", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def tamper(data: Path, sql: str) -> None:
    connection = sqlite3.connect(data / "ledger.sqlite")
    with connection:
        connection.execute(sql)
    connection.close()


def test_certificates_are_checked_with_the_manifest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    manifest = data.parent / "cluster.toml"
    assert run(monkeypatch, "verify", data, "--cluster", manifest) == 0
    assert "good: 3 blocks" in (out := capsys.readouterr().out) and out.endswith(", 2 blocks certified\n")
    assert run(monkeypatch, "verify", data) == 0
    assert "certified" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "value", ["x''", "'text'", "zeroblob(48)", "(SELECT certificate FROM blocks WHERE height = 1)"]
)
def test_a_bad_certificate_names_its_block(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, value: str
) -> None:
    tamper(data, f"UPDATE blocks SET certificate = {value} WHERE height = 2")
    assert run(monkeypatch, "verify", data) == 0
    assert run(monkeypatch, "verify", data, "--cluster", data.parent / "cluster.toml") == 1
    assert capsys.readouterr().err == "block 2 is bad: certificate does not hold\n"


def test_the_manifest_must_be_of_the_same_chain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    manifest = data.parent / "cluster.toml"
    manifest.write_text(manifest.read_text().replace("batch_size = 10000", "batch_size = 9"))
    assert run(monkeypatch, "verify", data, "--cluster", manifest) == 1
    assert "not of the manifest's" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("show",), ("show", "--height", 2), ("export",), ("verify",)])
def test_raw_bytes_of_a_ledger_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, command: tuple[object, ...]
) -> None:
    hostile = b"\x1b[2J\r\x07\xff".hex() * 300
    tamper(data, f"UPDATE blocks SET header = CAST(x'{hostile}' AS TEXT) WHERE height = 2")
    assert run(monkeypatch, command[0], data, *command[1:]) == 1
    err = capsys.readouterr().err
    assert err[:-1].isprintable() and err.endswith("\n")
    assert len(err) < 300 + len(str(data))


@pytest.mark.parametrize("options", [(), ("--headers-only",), ("--format", "csv")])
def test_export_does_not_end_early_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, options: tuple[str, ...]
) -> None:
    tamper(data, "DELETE FROM blocks WHERE height = 2")
    assert run(monkeypatch, "export", data, *options) == 1
    assert "block 2 is missing" in capsys.readouterr().err
