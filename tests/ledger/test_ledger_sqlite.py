"""The SQLite store: group commits, durability settings in force, one writer, and errors of one line."""

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.ledger import CHAIN_ID, OTHER_ID, chain_of_blocks, fill, memory_store, numbered, opened

from honeybadger.ledger import LedgerError, SQLiteStore, build_block, verify_ledger


def refused(path: Path, **arguments: object) -> str:
    """The one-line message with which opening `path` is refused."""
    with pytest.raises(LedgerError) as caught:
        SQLiteStore(path, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path.parent) in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


@pytest.mark.parametrize("durability", ["fsync", "memory"])
def test_what_is_stored_is_read(path: Path, durability: str) -> None:
    store = SQLiteStore(path, durability, chain_id=CHAIN_ID)
    assert (store.height(), store.tip(), store.header(1), store.block(1)) == (0, None, None, None)
    blocks = chain_of_blocks([numbered(3), [], [b"x" * 200_000], [b"z"]])
    store.append(blocks[:1])
    store.append([])
    store.append(blocks[1:])
    assert store.height() == 4
    assert store.tip() == blocks[3].header
    assert (list(store.iter_blocks()), list(store.iter_blocks(3))) == (blocks, blocks[2:])
    assert (store.headers(), store.headers(2, 3)) == ([b.header for b in blocks], [b.header for b in blocks[1:3]])
    assert (store.block(5), store.header(0)) == (None, None)
    with store.open_body(3) as body:
        assert body[slice(100_000, 100_010)] == b"x" * 10
        assert body[slice(0, None)] == blocks[2].body
    with pytest.raises(LedgerError), store.open_body(9):
        pass
    store.append([], {1: b"opaque", 9: b"of no block"})
    assert [store.certificate(height) for height in (1, 2, 9)] == [b"opaque", None, None]
    assert path.exists() == (durability != "memory")
    store.close()
    store.close()


def test_columns_are_there_for_sql(path: Path) -> None:
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    fill(store, 3)
    before = time.time()
    block_hash = store.header(2).hash
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        *row, timestamp = connection.execute(
            "SELECT epoch, hash, tx_count, proposers, certificate, timestamp FROM blocks WHERE height = 2"
        ).fetchone()
        assert row == [4, block_hash, 20, "[0, 3]", None]
        assert abs(timestamp - before) < 60
        assert dict(connection.execute("SELECT key, value FROM meta")) == {"schema": "2", "chain_id": CHAIN_ID.hex()}


@pytest.mark.parametrize(("durability", "syncs"), [("fsync", 3), ("os", 0)])
def test_durability_is_in_force(path: Path, durability: str, syncs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sync of the log per append, and rows that are never synced but at checkpoints."""
    with closing(SQLiteStore(path, durability, chain_id=CHAIN_ID)) as store:
        assert store._writer.execute("PRAGMA synchronous").fetchone()[0] == 1
        assert store._writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store.durability == durability
        synced: list[int] = []
        monkeypatch.setattr(os, "fdatasync", synced.append)
        for block in chain_of_blocks([[b"a"], [b"b"]]):
            store.append([block])
        store.append([], {1: b"certificate"})
        assert len(synced) == syncs


def test_a_group_commit_is_all_or_nothing_in_one_transaction() -> None:
    store = memory_store()
    blocks = chain_of_blocks([[b"a"], [b"b"], [b"c"], [b"d"]])
    store.append(blocks[:1])
    for bad in (
        blocks[3],
        chain_of_blocks([[b"x"], [b"y"], [b"z"]])[2],
        build_block(OTHER_ID, blocks[1].header.hash, 3, 3, (0,), [b"c"]),
        build_block(CHAIN_ID, blocks[1].header.hash, 4, 4, (0,), [b"c"]),
        blocks[1],
    ):
        with pytest.raises(LedgerError, match="does not follow"):
            store.append([blocks[1], bad])
        assert store.height() == 1
    seen: list[str] = []
    store._writer.set_trace_callback(seen.append)
    store.append(blocks[1:])
    assert [s for s in seen if s.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert verify_ledger(store).blocks == 4


def test_second_writer_is_refused_and_readers_are_not(path: Path) -> None:
    writer = SQLiteStore(path, chain_id=CHAIN_ID)
    chain = fill(writer, 3)
    assert "another process is writing" in refused(path, chain_id=CHAIN_ID)
    with opened(path) as reader:
        assert reader.height() == 3
        chain.extend(50, [(0, [b"later"])])
        chain.flush()
        assert reader.height() == 4
        assert verify_ledger(reader).ok
        for arguments in ((chain_of_blocks([[b"a"]]),), ([], {1: b""})):
            with pytest.raises(LedgerError, match="reading only"):
                reader.append(*arguments)
    writer.close()
    SQLiteStore(path, chain_id=CHAIN_ID).close()


def test_reading_goes_on_while_a_commit_is_under_way(path: Path) -> None:
    with closing(SQLiteStore(path, chain_id=CHAIN_ID)) as store, ThreadPoolExecutor() as pool:
        fill(store, 2)
        store._writer.execute("BEGIN IMMEDIATE")
        store._writer.execute("DELETE FROM blocks")
        with store._write_lock:
            assert pool.submit(store.height).result(60) == 2
        store._writer.execute("ROLLBACK")


def test_opening_nothing_and_places_that_cannot_be_read(path: Path, tmp_path: Path) -> None:
    assert "no ledger here" in refused(path)
    assert "no ledger here" in refused(path, read_only=True)
    assert not path.parent.exists()
    with pytest.raises(LedgerError):
        SQLiteStore(path, "memory", chain_id=CHAIN_ID, read_only=True)
    with pytest.raises(ValueError, match="32 bytes"):
        SQLiteStore(path, chain_id=b"short")
    (tmp_path / "file").write_text("")
    assert "file" in refused(tmp_path / "file" / "ledger.db", chain_id=CHAIN_ID)
    refused(tmp_path, chain_id=CHAIN_ID)


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_not_a_ledger_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    path.parent.mkdir()
    options: dict[str, object] = {"read_only": True} if read_only else {"chain_id": CHAIN_ID}
    path.write_bytes(b"once upon a time " * 10_000)
    refused(path, **options)
    assert path.read_bytes() == b"once upon a time " * 10_000
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (cake TEXT)")
        assert "not a ledger" in refused(path, **options)
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_another_chain_or_schema_is_refused(path: Path) -> None:
    SQLiteStore(path, chain_id=CHAIN_ID).close()
    message = refused(path, chain_id=OTHER_ID)
    assert CHAIN_ID.hex() in message and OTHER_ID.hex() in message
    SQLiteStore(path, chain_id=CHAIN_ID).close()  # the refusal left no lock behind
    for change, says in (
        ("UPDATE meta SET value = '9' WHERE key = 'schema'", "schema 9"),
        ("UPDATE meta SET value = iif(key = 'schema', '2', 'abcd')", "bad chain id"),
        ("DELETE FROM meta WHERE key <> 'schema'", "not a ledger"),
    ):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(change)
        assert says in refused(path)


def test_torn_file_is_an_error_of_one_line(path: Path) -> None:
    with closing(SQLiteStore(path, chain_id=CHAIN_ID)) as store:
        store.append(chain_of_blocks([[os.urandom(100_000)] for _ in range(10)]))
    for kept in (path.stat().st_size * 6 // 10, 4096 * 2, 4096, 10):
        os.truncate(path, kept)
        try:
            with opened(path) as store:
                report = verify_ledger(store)
                assert report.bad_height == report.blocks + 1 <= 10
                reason = report.reason
        except LedgerError as error:
            reason = str(error)
        assert reason and "\n" not in reason


WRITER = """
import itertools, os, sys
from pathlib import Path
from honeybadger.ledger import Chain, SQLiteStore
store = SQLiteStore(Path(sys.argv[1]), sys.argv[2], chain_id=bytes(range(32)))
chain = Chain(store, store.chain_id)
for epoch in itertools.count():
    chain.extend(epoch, [(0, [os.urandom(250) for _ in range(300)]), (1, [os.urandom(250)])])
    if epoch % 3 == 2:
        print(max(chain.flush()), flush=True)
"""


@pytest.mark.parametrize("durability", ["os", pytest.param("fsync", marks=pytest.mark.soak)])
def test_killed_writer_leaves_a_valid_prefix_with_all_it_announced(path: Path, durability: str) -> None:
    command = [sys.executable, "-c", WRITER, str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 30:
                break
        process.kill()
        announced = [int(line) for line in process.stdout.read().splitlines() if line.strip()]
    least = max([30, *announced])
    with opened(path) as reader:
        report = verify_ledger(reader)
    assert report.ok, report.reason
    assert report.blocks >= least
    assert report.blocks % 3 == 0, "a group commit was split"
    with closing(SQLiteStore(path, chain_id=CHAIN_ID)) as store:  # the lock died with its holder
        assert fill(store, 2).height == report.blocks + 2
        assert verify_ledger(store).ok
