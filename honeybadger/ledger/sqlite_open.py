"""Opens and creates the SQLite file of a ledger, the index of its body log: settings, schema, and what is no ledger."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from honeybadger.ledger.block import HASH_BYTES
from honeybadger.ledger.errors import LedgerError, printable

SCHEMA_VERSION = 2
CHECKPOINT_PAGES = 128
"""SQLite syncs after so many pages of its log, about every fortieth `append`: the rows since then are what a power
failure may take, and what is made again from the body log."""
SYNCHRONOUS = "NORMAL"
"""Syncs at checkpoints only: a power failure may take the last rows, never the consistency."""
BUSY_SECONDS = 10.0
LONGEST_PATH = 504
"""Bytes: 512, minus what SQLite appends for its other files."""

BEYOND_REPAIR = (
    "the database file itself is damaged, and `honeybadger ledger repair` cannot mend that: move it and its -wal and"
    " -shm files away and start the node, which then makes it again from the bodies-*.seg files"
)
"""Advice for a file with broken pages, where any write may break more."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, hash BLOB NOT NULL, previous BLOB NOT NULL,
    tx_root BLOB NOT NULL, tx_count INTEGER NOT NULL, tx_bytes INTEGER NOT NULL, proposers TEXT NOT NULL,
    timestamp REAL NOT NULL, header BLOB NOT NULL, certificate BLOB,
    segment INTEGER NOT NULL, body_at INTEGER NOT NULL, body_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE segments (segment INTEGER PRIMARY KEY, indexed INTEGER NOT NULL, durable INTEGER NOT NULL);
"""


def connect(path: Path, *, in_memory: bool) -> sqlite3.Connection:
    """Open or create for writing, in autocommit mode; for any thread, one at a time (the caller locks)."""
    if not in_memory and len(os.fsencode(path.absolute())) > LONGEST_PATH:
        raise LedgerError(f"the path is longer than the {LONGEST_PATH} bytes that SQLite takes: {path}")
    return _connect(
        ":memory:" if in_memory else f"{path.absolute().as_uri()}?mode=rwc",
        "PRAGMA journal_mode = WAL",
        f"PRAGMA synchronous = {SYNCHRONOUS}",
        f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    )


def connect_reader(path: Path) -> sqlite3.Connection:
    """The same for reading; even then SQLite must be able to write the index of its log next to the file."""
    return _connect(f"{path.absolute().as_uri()}?mode=ro", "SELECT count(*) FROM sqlite_master")


def connect_anywhere(path: Path) -> sqlite3.Connection:
    """The same even where nothing can be written, or the path is too long for SQLite.

    The file of a stopped node is read in place. That of a killed node, which may have a log, is copied to a temporary
    directory, and so is a file with too long a path.
    """
    path = path.resolve()
    log = path.with_name(f"{path.name}-wal")
    with _unless_it_must_write():
        return connect_reader(path)
    if not log.exists() or not log.stat().st_size:
        with _unless_it_must_write():
            return _connect(f"{path.as_uri()}?immutable=1", "SELECT count(*) FROM sqlite_master")
    with TemporaryDirectory(prefix="honeybadger-") as home:
        copy = Path(home) / "ledger.sqlite"
        shutil.copyfile(path, copy)
        if log.exists():
            shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
        # An open file outlives its directory, and without a log SQLite looks for no other file.
        return _connect(copy.as_uri(), "PRAGMA journal_mode = DELETE")


@contextmanager
def _unless_it_must_write() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise


def _connect(target: str, *statements: str) -> sqlite3.Connection:
    connection = sqlite3.connect(target, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
    try:
        for statement in statements:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def create_schema(connection: sqlite3.Connection, chain_id: bytes) -> bool:
    """Create the tables in an empty database, within the caller's transaction; leaves any other database as it is, and
    says so."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    for statement in filter(str.strip, SCHEMA.split(";")):
        connection.execute(statement)
    meta = [("schema", str(SCHEMA_VERSION)), ("chain_id", chain_id.hex())]
    connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta)
    return True


def is_corrupt(error: Exception) -> bool:
    """Whether SQLite says that the file itself is damaged, or is not a database."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def read_chain_id(connection: sqlite3.Connection, path: Path) -> bytes:
    """The chain id of an open ledger; `LedgerError` if it is not a ledger, or has another schema."""
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        schema, chain_id = meta["schema"], bytes.fromhex(meta["chain_id"])
    except (sqlite3.DatabaseError, KeyError, TypeError, ValueError) as error:
        if is_corrupt(error):
            raise
        raise LedgerError(f"{path}: not a ledger ({printable(error)})") from None
    if schema != str(SCHEMA_VERSION):
        raise LedgerError(f"{path}: ledger of schema {printable(schema)}, this program reads {SCHEMA_VERSION}")
    if len(chain_id) != HASH_BYTES:
        raise LedgerError(f"{path}: not a ledger (bad chain id)")
    return chain_id


def lock_for_writing(path: Path) -> IO[bytes]:
    """Take the writer's lock for as long as the returned file is open; the kernel drops it if we die."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise LedgerError(f"{path}: another process is writing to this ledger") from None
    return file
