"""The embedded store: one SQLite file in WAL mode, so that a researcher can query a run with SQL.

Guarantee: `append` is atomic (all blocks of the call or none) and returns once they are as durable as the setting says;
heights run from 1 without gaps, and each block's `previous` is its predecessor's hash. Reads may come from other
threads than writes. Every failure is a `LedgerError` of one line.

Table `blocks` has one row per block: header fields as columns, header
bytes, certificate, and `timestamp`, the local time of storing in Unix seconds, which is not part of the header. Table
`bodies` has the transactions. With two tables `SELECT * FROM blocks` stays small, and a certificate that arrives later
does not rewrite a body of 10 MB.

Durability: `fsync` is `synchronous = FULL`, which in WAL mode syncs the log at each commit: one fdatasync per `append`.
`os` is `NORMAL`, which syncs at checkpoints only: a power failure may take the last blocks, never the consistency.
`memory` writes no file.

Sharing: one writer, which holds an exclusive `flock` on `<name>.lock` in the same directory; any number of
readers, with `read_only=True` and no lock, also while a node runs, and from read-only media. Within a process,
one connection writes and one reads, each under its own lock, so a read does not wait for a commit.

Measured for `append` of 10 MB blocks, checkpoints included: 1.3-2.7 ns of CPU per byte with `fsync`, 1.1-1.4 with `os`,
1.1 with `memory`; 20-25, 17 and 11 ms of wall time a block.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

from honeybadger.ledger.block import HASH_BYTES, Block, Header
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.sqlite_open import (
    BEYOND_REPAIR,
    connect,
    connect_anywhere,
    connect_reader,
    create_schema,
    is_corrupt,
    lock_for_writing,
    read_chain_id,
    sync,
)
from honeybadger.ledger.store import COLUMNS, Durability, Record, header_columns
from honeybadger.transactions import Reader


class SQLiteStore:
    """The blocks of one chain, `chain_id`, in the file `path` (none with `durability` `memory`)."""

    def __init__(
        self, path: Path, durability: Durability = "fsync", *, chain_id: bytes | None = None, read_only: bool = False
    ) -> None:
        """Open a ledger, or create it if `chain_id` (32 bytes) is given and the file does not exist.

        Raises `LedgerError` if the file is not a ledger, is damaged, belongs to another chain, or has a writer.
        """
        if chain_id is not None and len(chain_id) != HASH_BYTES:
            raise ValueError(f"a chain id has {HASH_BYTES} bytes")
        self.path = Path(":memory:") if durability == "memory" else path
        self.durability: Durability = durability
        self._write_lock = threading.Lock()
        self._read_lock = self._write_lock if durability == "memory" else threading.Lock()
        #: the lock's file and the connections
        self._opened = ExitStack()
        try:
            with self._translated():
                self._open(chain_id, read_only)
        except BaseException:
            self.close()
            raise

    def _open(self, chain_id: bytes | None, read_only: bool) -> None:
        in_memory = self.durability == "memory"
        exists = not in_memory and self.path.exists()
        if not exists and (read_only or chain_id is None):
            raise LedgerError(f"{self.path}: no ledger here")
        if read_only:
            self._writer = None
            self._reader = self._opened.enter_context(closing(connect_anywhere(self.path)))
        else:
            if not in_memory:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._opened.enter_context(lock_for_writing(self.path.with_suffix(".lock")))
            self._writer = self._reader = self._opened.enter_context(closing(connect(self.path, self.durability)))
            if chain_id is not None:
                create_schema(self._writer, chain_id)  # leaves a file with tables alone
            if not in_memory:
                if not exists:
                    sync(self.path.parent)
                # Never a copy: it must read the file that is written.
                self._reader = self._opened.enter_context(closing(connect_reader(self.path)))
        self.chain_id = read_chain_id(self._reader, self.path)
        if chain_id is not None and self.chain_id != chain_id:
            raise LedgerError(f"{self.path}: belongs to chain {self.chain_id.hex()}, not to {chain_id.hex()}")

    def append(self, blocks: Sequence[Block], certificates: Mapping[int, bytes] | None = None) -> None:
        """Store consecutive blocks that follow the tip, and opaque certificates by height (of these blocks or of stored
        ones; others are dropped), in one transaction. Slow: call it in a worker thread."""
        if not blocks and not certificates:
            return
        now = time.time()
        with self._write_lock, self._writing() as writer:
            tip = writer.execute("SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
            height, previous = tip or (0, self.chain_id)
            for block in blocks:
                header = block.header
                if (header.height, header.previous, header.chain_id) != (height + 1, previous, self.chain_id):
                    raise LedgerError(f"{self.path}: block {header.height} does not follow block {height}")
                columns = header_columns(header) | {"timestamp": now, "header": header.encode()}
                _insert(writer, "blocks", header.height, columns)
                _insert(writer, "bodies", header.height, {"body": block.body})
                height, previous = header.height, columns["hash"]
            for certified, certificate in (certificates or {}).items():
                writer.execute("UPDATE blocks SET certificate = ? WHERE height = ?", (certificate, certified))

    def replace(self, block: Block, certificate: bytes | None) -> None:
        """Put the block at its height in one transaction, and touch nothing else; the row's `timestamp`, if it has one,
        stays. For repair: the caller checks the links to its neighbours."""
        header = block.header
        if header.chain_id != self.chain_id:
            raise LedgerError(f"{self.path}: block {header.height} belongs to chain {header.chain_id.hex()}")
        values = header_columns(header) | {"header": header.encode(), "certificate": certificate}
        changes = ", ".join(f"{name} = excluded.{name}" for name in values)
        with self._write_lock, self._writing() as writer:
            _insert(writer, "blocks", header.height, values | {"timestamp": time.time()}, changes)
            same = "body = excluded.body WHERE body IS NOT excluded.body"
            _insert(writer, "bodies", header.height, {"body": block.body}, same)

    def discard(self, height: int) -> None:
        """Remove whatever is stored at a height that no block can have. For repair."""
        with self._write_lock, self._writing() as writer:
            for table in ("blocks", "bodies"):
                writer.execute(f"DELETE FROM {table} WHERE height = ?", (height,))

    def check_container(self) -> None:
        """LedgerError if SQLite's own check finds bad pages, so that writing is unsafe. It reads the whole file."""
        with self._read_lock, self._translated():
            lines = [str(row[0]) for row in self._reader.execute("PRAGMA quick_check(100)")]
        # A value of the wrong type is damage of a block, not of the file.
        damage = [line for line in lines if line != "ok" and " value in " not in line]
        if damage:
            raise LedgerError(f"{self.path}: {printable(damage[0])}; {BEYOND_REPAIR}")

    def height(self) -> int:
        """Height of the tip, 0 for an empty ledger."""
        return (self._one("SELECT max(height) FROM blocks") or (None,))[0] or 0

    def tip(self) -> Header | None:
        """Header of the highest block, None for an empty ledger."""
        return self._found("ORDER BY height DESC LIMIT 1")

    def header(self, height: int) -> Header | None:
        return self._found("WHERE height = ?", height)

    def block(self, height: int) -> Block | None:
        row = self._one(
            "SELECT height, header, body FROM blocks LEFT JOIN bodies USING (height) WHERE height = ?", height
        )
        if row is None:
            return None
        header = self._header(row)
        if not isinstance(row[2], bytes):
            raise LedgerError(f"{self.path}: block {height} has no body")
        return Block(header, row[2])

    def headers(self, first: int = 1, last: int | None = None) -> list[Header]:
        """Headers of heights `first` to `last`, both included, as far as they exist."""
        sql = "SELECT height, header FROM blocks WHERE height BETWEEN ? AND ? ORDER BY height"
        with self._read_lock, self._translated():
            rows = self._reader.execute(sql, (first, 2**62 if last is None else last)).fetchall()
        return list(map(self._header, rows))

    def iter_blocks(self, first: int = 1) -> Iterator[Block]:
        """Blocks from height `first` to the present tip, one in memory at a time; none may be missing."""
        for height in range(first, self.height() + 1):
            block = self.block(height)
            if block is None:
                raise LedgerError(f"{self.path}: block {height} is missing")
            yield block

    def iter_records(self) -> Iterator[Record]:
        """Everything stored, by height, unchecked, one in memory at a time."""
        # An outer join both ways: a body without a row in `blocks` is damage too.
        following = (
            "SELECT min(height) FROM (SELECT min(height) AS height FROM blocks WHERE height > ?1"
            " UNION SELECT min(height) FROM bodies WHERE height > ?1)"
        )
        height = -(2**63)
        while (row := self._one(following, height)) and row[0] is not None:
            height = row[0]
            yield self.record(height)

    def record(self, height: int) -> Record:
        """What is stored at `height`, unchecked; all `None` if nothing is."""
        fields = f"SELECT header, {', '.join(COLUMNS)} FROM blocks WHERE height = ?"
        block = self._one(fields, height) or (None,) * (1 + len(COLUMNS))
        body = (self._one("SELECT body FROM bodies WHERE height = ?", height) or (None,))[0]
        return Record(
            height,
            dict(zip(COLUMNS, block[1:], strict=True)),
            block[0] if isinstance(block[0], bytes) else None,
            body if isinstance(body, bytes) else None,
        )

    @contextmanager
    def open_body(self, height: int) -> Iterator[Reader]:
        """Random access to the body at `height` without reading all of it."""
        with (
            self._read_lock,
            self._translated(),
            self._reader.blobopen("bodies", "body", height, readonly=True) as blob,
        ):
            yield cast(Reader, blob)  # its type does not say that a slice gives bytes

    def body_part(self, height: int, offset: int, size: int) -> tuple[int, bytes]:
        """Length of the body at `height`, and at most `size` bytes of it from `offset` on."""
        with self.open_body(height) as body:
            return len(body), body[offset : offset + size]

    def certificate(self, height: int) -> bytes | None:
        row = self._one("SELECT certificate FROM blocks WHERE height = ?", height)
        return cast("bytes | None", row[0]) if row else None

    def newest_certified(self) -> Header | None:
        """Header of the highest block that has a certificate, None if none has."""
        return self._found("WHERE certificate IS NOT NULL ORDER BY height DESC LIMIT 1")

    def save_copy(self, path: Path) -> None:
        """Write the whole ledger to a new file, to keep a ledger in memory after an orderly stop."""
        with self._translated(), self._read_lock, closing(sqlite3.connect(path)) as copy:
            self._reader.backup(copy)

    def close(self) -> None:
        self._opened.close()

    def _one(self, sql: str, *arguments: object) -> tuple[Any, ...] | None:
        with self._read_lock, self._translated():
            return cast("tuple[Any, ...] | None", self._reader.execute(sql, arguments).fetchone())

    def _found(self, where: str, *arguments: object) -> Header | None:
        row = self._one(f"SELECT height, header FROM blocks {where}", *arguments)
        return None if row is None else self._header(row)

    def _header(self, row: Sequence[object]) -> Header:
        if not isinstance(row[1], bytes):
            raise LedgerError(f"{self.path}: block {row[0]} has no header")
        try:
            return Header.decode(row[1])
        except LedgerError as error:
            raise LedgerError(f"{self.path}: block {row[0]}: {error}") from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed on the way out, rolled back by any exception."""
        if self._writer is None:
            raise LedgerError(f"{self.path}: opened for reading only")
        with self._translated():
            self._writer.execute("BEGIN IMMEDIATE")
            with self._writer:
                yield self._writer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            advice = f"; {BEYOND_REPAIR}" if is_corrupt(error) else ""
            raise LedgerError(f"{self.path}: {printable(error)}{advice}") from error


def _insert(
    writer: sqlite3.Connection, table: str, height: int, values: Mapping[str, object], changes: str = ""
) -> None:
    """`changes`: what to set if there is such a row."""
    marks = ", ".join("?" * len(values))
    instead = f"ON CONFLICT (height) DO UPDATE SET {changes}" if changes else ""
    sql = f"INSERT INTO {table} (height, {', '.join(values)}) VALUES (?, {marks}) {instead}"
    writer.execute(sql, (height, *values.values()))
