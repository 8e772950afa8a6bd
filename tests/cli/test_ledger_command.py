"""`honeybadger ledger` on good, damaged and certified ledgers."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ledger import put_body
from support.ledger import tamper as tamper_body

from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger import Chain, SQLiteStore, build_block, build_proof
from honeybadger.ledger.certificates import block_statement, signed_certificate
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

Cluster = tuple[Manifest, list[NodeKeys]]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return make_cluster(4, 1, HoneyBadgerParameters(), [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)])


@pytest.fixture
def data(cluster: Cluster, tmp_path) -> Iterator[Path]:
    """Data directory with three blocks, of which the first two are certified; the manifest is next to it."""
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
        proof, _ = manifest.public_keys.certificate.combine(statement, shares)
        assert proof is not None
        store.append([], {block.header.height: signed_certificate(proof)})
    store.close()
    yield tmp_path / "data"


@pytest.fixture
def ledger(run, data):
    """`honeybadger ledger COMMAND DATA …`: status, output, errors; `manifest`: with --cluster too."""

    def ledger(command: str, *options: object, manifest: bool = False) -> tuple[int, str, str]:
        cluster = ("--cluster", data.parent / "cluster.toml") if manifest else ()
        return run("ledger", command, data, *cluster, *options)

    return ledger


def tamper(data: Path, sql: str) -> None:
    connection = sqlite3.connect(data / "ledger.sqlite")
    with connection:
        connection.execute(sql)
    connection.close()


def test_certificates_are_checked_with_the_manifest(ledger):
    status, out, _ = ledger("verify", manifest=True)
    assert status == 0 and "good: 3 blocks" in out and out.endswith(", 2 blocks certified\n")
    status, out, _ = ledger("verify")
    assert status == 0 and "certified" not in out


@pytest.mark.parametrize(
    "value", ["x''", "'text'", "zeroblob(48)", "(SELECT certificate FROM blocks WHERE height = 1)"]
)
def test_a_bad_certificate_names_its_block(ledger, data, value):
    tamper(data, f"UPDATE blocks SET certificate = {value} WHERE height = 2")
    assert ledger("verify")[0] == 0
    assert ledger("verify", manifest=True) == (1, "", "block 2 is bad: certificate is invalid\n")


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_the_manifest_must_be_of_the_same_chain(ledger, data, command):
    manifest = data.parent / "cluster.toml"
    manifest.write_text(manifest.read_text().replace("batch_size = 10000", "batch_size = 9"))
    status, _, err = ledger(command, manifest=True)
    assert status == 1 and "not to that of the manifest" in err


@pytest.mark.parametrize("command", [("show",), ("show", "--height", 2), ("show", "--text"), ("export",), ("verify",)])
def test_raw_bytes_of_a_ledger_do_not_reach_the_terminal(ledger, data, command):
    hostile = b"\x1b[2J\r\x07\xff".hex() * 300
    tamper(data, f"UPDATE blocks SET header = CAST(x'{hostile}' AS TEXT) WHERE height = 2")
    status, _, err = ledger(*command)
    assert status == 1 and err[:-1].isprintable() and err.endswith("\n")
    assert len(err) < 300 + len(str(data))


@pytest.mark.parametrize("options", [(), ("--headers-only",), ("--format", "csv")])
def test_export_does_not_end_early_in_silence(ledger, data, options):
    tamper(data, "DELETE FROM blocks WHERE height = 2")
    status, _, err = ledger("export", *options)
    assert status == 1 and "block 2 is missing" in err


def test_repair_of_a_good_ledger_asks_nobody(ledger, monkeypatch):
    monkeypatch.setattr("honeybadger.client.connections.NodeClient", lambda *_, **__: pytest.fail("somebody was asked"))
    status, out, _ = ledger("repair", manifest=True)
    assert status == 0 and out.startswith("nothing to repair; good: 3 blocks, 3 transactions, ")


def test_repair_names_what_is_left(ledger, data):
    """Nobody listens at the manifest's addresses."""
    tamper_body(data / "ledger.sqlite", put_body(1, bytes(4)), put_body(3, bytes(4)))
    tamper(data, "UPDATE blocks SET epoch = 99 WHERE height = 2")
    status, out, err = ledger("repair", "--timeout", 0.1, manifest=True)
    *lines, last = err.splitlines()
    assert (status, out) == (1, "")
    assert "node 0 did not serve block 3: no answer for 0.1 s" in lines
    assert "block 3: body has 0 transactions, header says 1; not repaired" in lines
    assert any(line.startswith("block 2: column epoch differs from the header; ") for line in lines)
    assert last.startswith("repaired 1; still damaged: block 1 (body has 0 transactions")
    assert ledger("verify")[0] == 1


def test_repair_refuses_a_running_node_and_nothing(ledger, run, data, cluster):
    writer = SQLiteStore(data / "ledger.sqlite", "os", chain_id=cluster[0].chain_id)
    status, _, err = ledger("repair", manifest=True)
    assert status == 1 and "another process is writing to this ledger" in err and err.count("\n") == 1
    writer.close()
    status, _, err = run("ledger", "repair", data / "nothing", "--cluster", data.parent / "cluster.toml")
    assert status == 1 and "no ledger here" in err and not (data / "nothing").exists()


@pytest.mark.parametrize("command", ["repair", "verify", "show"])
def test_a_broken_file_is_one_line_that_says_what_to_do(ledger, data, command):
    file = data / "ledger.sqlite"
    file.write_bytes(b"\0" * 4096 + file.read_bytes()[4096:])
    status, _, err = ledger(command, manifest=command != "show")
    assert status == 1 and err.count("\n") == 1
    assert "move it and its -wal and -shm files away and start the node" in err


def test_a_proof_may_hold_long_neighbours(run, tmp_path):
    longest = HoneyBadgerParameters().max_tx_bytes
    block = build_block(bytes(32), bytes(32), 1, 0, (0,), [b"short", *(bytes([i]) * longest for i in range(31))])
    (tmp_path / "proof").write_text(json.dumps(build_proof(block, 0).to_dict()))
    status, out, err = run("ledger", "check-proof", tmp_path / "proof", b"short".hex(), block.header.hash.hex())
    assert (status, out, err) == (0, "the transaction is in block 1\n", "")
