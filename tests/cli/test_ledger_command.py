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
        store.append([], {block.header.height: certificate})
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


def test_repair_of_a_good_ledger_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    monkeypatch.setattr("honeybadger.cli.ledger.NodeClient", lambda *_, **__: pytest.fail("somebody was asked"))
    assert run(monkeypatch, "repair", data, "--cluster", data.parent / "cluster.toml") == 0
    assert capsys.readouterr().out.startswith("nothing to repair; good: 3 blocks, 3 transactions, ")


def test_repair_names_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    """Nobody listens at the manifest's addresses."""
    tamper(data, "UPDATE bodies SET body = x'90' WHERE height IN (1, 3)")
    tamper(data, "UPDATE blocks SET epoch = 99 WHERE height = 2")
    assert run(monkeypatch, "repair", data, "--cluster", data.parent / "cluster.toml", "--timeout", 0.1) == 1
    captured = capsys.readouterr()
    *lines, last = captured.err.splitlines()
    assert captured.out == ""
    assert "node 0 did not serve block 3: no answer for 0.1 s" in lines
    assert "block 3: body has 0 transactions, header says 1; not repaired" in lines
    assert any(line.startswith("block 2: column epoch differs from the header; ") for line in lines)
    assert last.startswith("repaired 1; still damaged: block 1 (body has 0 transactions")
    assert run(monkeypatch, "verify", data) == 1


def test_repair_refuses_a_running_node_and_another_cluster_and_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, cluster: Cluster
) -> None:
    manifest = data.parent / "cluster.toml"
    writer = SQLiteStore(data / "ledger.sqlite", "os", chain_id=cluster[0].chain_id)
    assert run(monkeypatch, "repair", data, "--cluster", manifest) == 1
    assert "another process is writing to this ledger" in (err := capsys.readouterr().err) and err.count("\n") == 1
    writer.close()
    assert run(monkeypatch, "repair", data / "nothing", "--cluster", manifest) == 1
    assert "no ledger here" in capsys.readouterr().err
    assert not (data / "nothing").exists()
    manifest.write_text(manifest.read_text().replace("batch_size = 10000", "batch_size = 9"))
    assert run(monkeypatch, "repair", data, "--cluster", manifest) == 1
    assert "not of the manifest's" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["repair", "verify", "show"])
def test_a_broken_file_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, command: str
) -> None:
    file = data / "ledger.sqlite"
    file.write_bytes(b"\0" * 4096 + file.read_bytes()[4096:])
    options = () if command == "show" else ("--cluster", data.parent / "cluster.toml")
    assert run(monkeypatch, command, data, *options) == 1
    err = capsys.readouterr().err
    assert "move it and its -wal and -shm files away and start the node" in err
    assert err.count("\n") == 1
