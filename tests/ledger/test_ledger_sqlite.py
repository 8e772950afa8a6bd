"""The SQLite store: group commits, durability settings in force, one writer, and errors of one line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ledger_helpers import CHAIN_ID, OTHER_ID, chain_of_blocks, fill, memory_store, numbered, tamper

from honeybadger.ledger import LedgerError, SQLiteStore, build_block, verify_ledger
from honeybadger.ledger.sqlite_open import PAGE_BYTES


def refused(path: Path, **arguments: object) -> str:
    """The one-line message with which opening ``path`` is refused."""
    with pytest.raises(LedgerError) as caught:
        SQLiteStore(path, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert str(path.parent) in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


@pytest.mark.parametrize("durability", ["fsync", "os", "memory"])
def test_what_is_stored_is_read(path: Path, durability: str) -> None:
    store = SQLiteStore(path, durability, chain_id=CHAIN_ID)  # type: ignore[arg-type]
    assert (store.height(), store.tip(), store.header(1), store.block(1)) == (0, None, None, None)
    blocks = chain_of_blocks([numbered(3), [], [b"x" * 200_000], [b"z"]])
    store.append(blocks[:1])
    store.append([])
    store.append(blocks[1:])
    assert store.height() == 4
    assert store.tip() == blocks[3].header
    assert list(store.iter_blocks()) == blocks
    assert list(store.iter_blocks(3)) == blocks[2:]
    assert store.headers(2, 3) == [blocks[1].header, blocks[2].header]
    assert store.headers() == [b.header for b in blocks]
    assert (store.block(5), store.header(0)) == (None, None)
    with store.open_body(3) as body:
        assert body[slice(100_000, 100_010)] == b"x" * 10
        assert body[slice(0, None)] == blocks[2].body
    with pytest.raises(LedgerError), store.open_body(9):
        pass
    assert path.exists() == (durability != "memory")
    store.close()
    store.close()


def test_columns_are_there_for_sql(path: Path) -> None:
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    fill(store, 3)
    before = time.time()
    store.close()
    connection = sqlite3.connect(path)
    row = connection.execute(
        "SELECT epoch, hex(hash), tx_count, tx_bytes, proposers, timestamp, certificate FROM blocks"
        " JOIN bodies USING (height) WHERE height = 2"
    ).fetchone()
    assert row[0] == 4
    assert len(row[1]) == 64
    assert row[2] == 20
    assert row[4] == "[0, 3]"
    assert abs(row[5] - before) < 60
    assert row[6] is None
    assert connection.execute("PRAGMA page_size").fetchone()[0] == PAGE_BYTES == 65536
    assert dict(connection.execute("SELECT key, value FROM meta")) == {"schema": "1", "chain_id": CHAIN_ID.hex()}
    connection.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("fsync", 2), ("os", 1)])
def test_durability_is_in_force(path: Path, durability: str, synchronous: int) -> None:
    """FULL (2) in WAL mode syncs the log at every commit; NORMAL (1) only at checkpoints."""
    for _ in range(2):  # when created and when opened again: synchronous is not kept in the file
        store = SQLiteStore(path, durability, chain_id=CHAIN_ID)  # type: ignore[arg-type]
        assert store._writer is not None
        assert store._writer.execute("PRAGMA synchronous").fetchone()[0] == synchronous
        assert store._writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store.durability == durability
        store.close()


@pytest.mark.parametrize("broken", ["gap", "link", "chain", "height", "repeat"])
def test_a_group_commit_is_all_or_nothing(broken: str) -> None:
    store = memory_store()
    blocks = chain_of_blocks([[b"a"], [b"b"], [b"c"], [b"d"]])
    store.append(blocks[:1])
    bad = {
        "gap": [blocks[1], blocks[3]],
        "link": [blocks[1], chain_of_blocks([[b"x"], [b"y"], [b"z"]])[2]],
        "chain": [blocks[1], build_block(OTHER_ID, blocks[1].header.hash, 3, 3, (0,), [b"c"])],
        "height": [blocks[1], build_block(CHAIN_ID, blocks[1].header.hash, 4, 4, (0,), [b"c"])],
        "repeat": [blocks[1], blocks[1]],
    }[broken]
    with pytest.raises(LedgerError, match="does not follow"):
        store.append(bad)
    assert store.height() == 1
    store.append(blocks[1:])
    assert verify_ledger(store).blocks == 4


def test_one_transaction_per_append(path: Path) -> None:
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    seen: list[str] = []
    assert store._writer is not None
    store._writer.set_trace_callback(seen.append)
    store.append(chain_of_blocks([[b"a"], [b"b"], [b"c"]]))
    assert [s for s in seen if s.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    store.close()


def test_certificates_have_room() -> None:
    store = memory_store()
    fill(store, 2)
    assert store.certificate(1) is None
    store.append([], {1: b"opaque", 9: b"of no block"})
    assert (store.certificate(1), store.certificate(2), store.certificate(7)) == (b"opaque", None, None)
    assert store.certificate(9) is None
    assert verify_ledger(store).ok


def test_second_writer_is_refused_and_readers_are_not(path: Path) -> None:
    writer = SQLiteStore(path, chain_id=CHAIN_ID)
    chain = fill(writer, 3)
    assert "another process is writing" in refused(path, chain_id=CHAIN_ID)
    with SQLiteStoreContext(path) as reader:
        assert reader.height() == 3
        chain.extend(50, [(0, [b"later"])])
        chain.flush()
        assert reader.height() == 4
        assert verify_ledger(reader).ok
        with pytest.raises(LedgerError, match="reading only"):
            reader.append(chain_of_blocks([[b"a"]]))
        with pytest.raises(LedgerError, match="reading only"):
            reader.append([], {1: b""})
    writer.close()
    SQLiteStore(path, chain_id=CHAIN_ID).close()


class SQLiteStoreContext:
    """A read-only store that is closed at the end."""

    def __init__(self, path: Path) -> None:
        self.store = SQLiteStore(path, read_only=True)

    def __enter__(self) -> SQLiteStore:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def test_reading_goes_on_while_a_commit_is_under_way(path: Path) -> None:
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    fill(store, 2)
    assert store._writer is not None
    store._writer.execute("BEGIN IMMEDIATE")
    store._writer.execute("DELETE FROM blocks")
    result: list[int] = []
    with store._write_lock:
        reader = threading.Thread(target=lambda: result.append(store.height()))
        reader.start()
        reader.join(2)
        in_time = list(result)
    store._writer.execute("ROLLBACK")
    reader.join()
    assert in_time == [2]
    store.close()


def test_opening_nothing(path: Path) -> None:
    assert "no ledger here" in refused(path)
    assert "no ledger here" in refused(path, read_only=True)
    assert not path.parent.exists()
    with pytest.raises(LedgerError):
        SQLiteStore(path, "memory", chain_id=CHAIN_ID, read_only=True)
    with pytest.raises(ValueError, match="32 bytes"):
        SQLiteStore(path, chain_id=b"short")


def test_other_chain_is_refused_and_named(path: Path) -> None:
    SQLiteStore(path, chain_id=CHAIN_ID).close()
    message = refused(path, chain_id=OTHER_ID)
    assert CHAIN_ID.hex() in message
    assert OTHER_ID.hex() in message
    SQLiteStore(path, chain_id=CHAIN_ID).close()  # the refusal left no lock behind


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_not_a_ledger_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    path.parent.mkdir()
    options: dict[str, object] = {"read_only": True} if read_only else {"chain_id": CHAIN_ID}
    path.write_bytes(b"once upon a time " * 10_000)
    refused(path, **options)
    assert path.read_bytes() == b"once upon a time " * 10_000
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (cake TEXT)")
    connection.close()
    assert "not a ledger" in refused(path, **options)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    connection.close()


def test_other_schema_is_refused(path: Path) -> None:
    SQLiteStore(path, chain_id=CHAIN_ID).close()
    tamper(path, ("UPDATE meta SET value = '9' WHERE key = 'schema'", ()))
    assert "schema 9" in refused(path, chain_id=CHAIN_ID)
    tamper(
        path, ("UPDATE meta SET value = '1' WHERE key = 'schema'", ()), ("DELETE FROM meta WHERE key <> 'schema'", ())
    )
    assert "not a ledger" in refused(path)
    tamper(path, ("INSERT INTO meta VALUES ('chain_id', 'abcd')", ()))
    assert "bad chain id" in refused(path)


@pytest.mark.parametrize("kept", [10, 65536, 65536 * 3, 0.6])
def test_torn_file_is_an_error_of_one_line(path: Path, kept: float) -> None:
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    store.append(chain_of_blocks([[os.urandom(100_000)] for _ in range(10)]))
    store.close()
    os.truncate(path, int(kept if kept >= 1 else path.stat().st_size * kept))
    try:
        store = SQLiteStore(path, read_only=True)
    except LedgerError as error:
        assert "\n" not in str(error)
        return
    report = verify_ledger(store)
    store.close()
    assert not report.ok
    assert report.bad_height == report.blocks + 1 <= 10
    assert report.reason is not None
    assert "\n" not in report.reason


def test_unreadable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="file"):
        SQLiteStore(tmp_path / "file" / "ledger.db", chain_id=CHAIN_ID)
    with pytest.raises(LedgerError):
        SQLiteStore(tmp_path, chain_id=CHAIN_ID)


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


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_killed_writer_leaves_a_valid_prefix_with_all_it_announced(path: Path, durability: str) -> None:
    command = [sys.executable, "-c", WRITER, str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 30:
                break
        process.kill()
        announced = [int(line) for line in process.stdout.read().splitlines() if line.strip()]
    least = max([30, *announced])
    reader = SQLiteStore(path, read_only=True)
    report = verify_ledger(reader)
    reader.close()
    assert report.ok, report.reason
    assert report.blocks >= least
    assert report.blocks % 3 == 0, "a group commit was split"
    store = SQLiteStore(path, chain_id=CHAIN_ID)  # the lock died with its holder
    assert fill(store, 2).height == report.blocks + 2
    assert verify_ledger(store).ok
    store.close()
