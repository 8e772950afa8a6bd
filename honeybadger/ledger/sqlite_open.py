"""Opening and creating the SQLite file of a ledger: settings, schema, and what is no ledger."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO
from urllib.parse import quote

from honeybadger.ledger.block import HASH_BYTES
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.store import Durability

SCHEMA_VERSION = 1
PAGE_BYTES = 65536
"""Large pages: a 10 MB body in 4 KiB pages costs a third more CPU."""
BUSY_SECONDS = 10.0

BEYOND_REPAIR = (
    "the database file itself is damaged, which `honeybadger ledger repair` cannot mend: move it and its -wal and -shm"
    " files away and start the node, which then fetches the blocks from the others"
)
"""What a person can do about a file whose pages are broken: there is no telling what else a write would break."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, hash BLOB NOT NULL, previous BLOB NOT NULL,
    tx_root BLOB NOT NULL, tx_count INTEGER NOT NULL, tx_bytes INTEGER NOT NULL, proposers TEXT NOT NULL,
    timestamp REAL NOT NULL, header BLOB NOT NULL, certificate BLOB
);
CREATE TABLE bodies (height INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


def connect(path: Path, durability: Durability, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection that any thread may use, one at a time (the caller locks), in autocommit mode."""
    in_memory = durability == "memory"
    target = ":memory:" if in_memory else f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(
        target, uri=not in_memory, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
    )
    try:
        if not read_only:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'fsync' else 'NORMAL'}")
    except BaseException:
        connection.close()
        raise
    return connection


def create_schema(connection: sqlite3.Connection, chain_id: bytes) -> None:
    """Create the tables in an empty database, in one transaction; leaves any other database as it is."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return
        for statement in filter(str.strip, SCHEMA.split(";")):
            connection.execute(statement)
        meta = [("schema", str(SCHEMA_VERSION)), ("chain_id", chain_id.hex())]
        connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta)


def is_corrupt(error: Exception) -> bool:
    """Whether SQLite says that the file is damaged (or no database), below the level of tables and rows."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def read_chain_id(connection: sqlite3.Connection, path: Path) -> bytes:
    """Return the chain id of an open ledger; raises ``LedgerError`` if it is none, or of another schema."""
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
    """Take the writer's lock for as long as the returned file is open; the kernel drops it when we die."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise LedgerError(f"{path}: another process is writing to this ledger") from None
    return file


def sync_directory(path: Path) -> None:
    """Make the new file's name durable: SQLite syncs the file, its directory is ours to sync."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
