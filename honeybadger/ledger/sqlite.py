"""The embedded store: one SQLite file in WAL mode, so that a researcher can query a run with SQL.

Guarantee: see ``store``. Table ``blocks`` has one row per block (header fields as columns, header bytes,
certificate, and ``timestamp``, the local time of storing in Unix seconds, which is not part of the header);
table ``bodies`` has the transactions. They are apart so that ``SELECT * FROM blocks`` stays small, and so
that a certificate that arrives later does not rewrite a body of 10 MB.

Durability: ``fsync`` is ``synchronous = FULL``, which in WAL mode syncs the log at each commit (seen in a
system-call trace: one fdatasync of the log per ``append``; with ``NORMAL`` none, syncs only at checkpoints). ``os`` is
``NORMAL``: a power failure may take the last blocks, never the consistency. ``memory`` keeps everything in
memory and writes no file.

Sharing: one writer, which holds an exclusive ``flock`` on ``<name>.lock`` beside the file; any number of
readers, with ``read_only=True`` and no lock, also while a node runs, and from read-only media. Within a process,
one connection writes and one reads, each under its own lock, so a read does not wait for a commit.

Measured (2 cores), CPU per byte of ``append`` with 10 MB blocks, 64 KiB pages, checkpoints included:
1.3-1.7 ns with ``fsync`` for 120 MB and 2.1-2.7 for 250 MB (user 0.5, the rest is system time for the page
cache, which is noisy), 1.1-1.4 with ``os``, 1.1 with ``memory``; wall time 20-25, 17 and 11 ms a block.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from honeybadger.ledger.block import HASH_BYTES, Block, Header
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.history import BodyReader
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


class SQLiteStore:
    """A ``BlockStore`` in the file ``path`` (ignored with durability ``memory``)."""

    def __init__(
        self,
        path: Path,
        durability: Durability = "fsync",
        *,
        chain_id: bytes | None = None,
        read_only: bool = False,
    ) -> None:
        """Open a ledger, or create it when ``chain_id`` (32 bytes) is given and the file does not exist.

        Raises ``LedgerError`` when the file is no ledger, belongs to another chain, is damaged, or has a
        writer.
        """
        if chain_id is not None and len(chain_id) != HASH_BYTES:
            raise ValueError(f"a chain id has {HASH_BYTES} bytes")
        self.path = Path(":memory:") if durability == "memory" else path
        self._durability: Durability = durability
        self._write_lock = threading.Lock()
        self._read_lock = self._write_lock if durability == "memory" else threading.Lock()
        self._lock_file: IO[bytes] | None = None
        self._connections: list[sqlite3.Connection] = []
        try:
            with self._translated():
                self._open(chain_id, read_only)
        except BaseException:
            self.close()
            raise

    def _open(self, chain_id: bytes | None, read_only: bool) -> None:
        in_memory = self._durability == "memory"
        exists = not in_memory and self.path.exists()
        if not exists and (read_only or chain_id is None):
            raise LedgerError(f"{self.path}: no ledger here")
        if not read_only and not in_memory:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = lock_for_writing(self.path.with_suffix(".lock"))
        writer: sqlite3.Connection | None = None
        if not read_only:
            writer = self._keep(connect(self.path, self._durability))
            if chain_id is not None:
                create_schema(writer, chain_id)  # does nothing to a file that has anything in it
            if not in_memory and not exists:
                sync(self.path.parent)
        reader = writer
        if reader is None:
            if in_memory:
                raise LedgerError("a ledger in memory cannot be opened read-only")
            reader = self._keep(connect_anywhere(self.path))
        elif not in_memory:
            # Only ever the very file that is written.
            reader = self._keep(connect_reader(self.path))
        self._writer, self._reader = writer, reader
        self._chain_id = read_chain_id(reader, self.path)
        if chain_id is not None and self._chain_id != chain_id:
            raise LedgerError(f"{self.path}: belongs to chain {self._chain_id.hex()}, not to {chain_id.hex()}")

    def _keep(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        self._connections.append(connection)
        return connection

    @property
    def chain_id(self) -> bytes:
        return self._chain_id

    @property
    def durability(self) -> Durability:
        return self._durability

    def append(self, blocks: Sequence[Block], certificates: Mapping[int, bytes] | None = None) -> None:
        """Store consecutive blocks that follow the tip, in one transaction; made for a worker thread."""
        if not blocks and not certificates:
            return
        now = time.time()
        with self._write_lock, self._writing() as writer:
            found = writer.execute("SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
            height, previous = found or (0, self._chain_id)
            for block in blocks:
                header = block.header
                if (header.height, header.previous, header.chain_id) != (
                    height + 1,
                    previous,
                    self._chain_id,
                ):
                    raise LedgerError(f"{self.path}: block {header.height} does not follow block {height}")
                columns = header_columns(header)
                writer.execute(
                    f"INSERT INTO blocks (height, {', '.join(COLUMNS)}, timestamp, header)"
                    f" VALUES (?, {', '.join('?' * len(COLUMNS))}, ?, ?)",
                    (header.height, *columns.values(), now, header.encode()),
                )
                writer.execute("INSERT INTO bodies (height, body) VALUES (?, ?)", (header.height, block.body))
                height, previous = header.height, columns["hash"]
            for certified, certificate in (certificates or {}).items():
                writer.execute("UPDATE blocks SET certificate = ? WHERE height = ?", (certificate, certified))

    def replace(self, block: Block, certificate: bytes | None) -> None:
        """Put the block at its height in one transaction; the row's ``timestamp`` stays, if it has one."""
        header = block.header
        if header.chain_id != self._chain_id:
            raise LedgerError(f"{self.path}: block {header.height} belongs to chain {header.chain_id.hex()}")
        values = {**header_columns(header), "header": header.encode(), "certificate": certificate}
        with self._write_lock, self._writing() as writer:
            writer.execute(
                f"INSERT INTO blocks (height, timestamp, {', '.join(values)})"
                f" VALUES (?, ?, {', '.join('?' * len(values))})"
                f" ON CONFLICT (height) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in values)}",
                (header.height, time.time(), *values.values()),
            )
            writer.execute(
                "INSERT INTO bodies (height, body) VALUES (?, ?)"
                " ON CONFLICT (height) DO UPDATE SET body = excluded.body WHERE body IS NOT excluded.body",
                (header.height, block.body),
            )

    def discard(self, height: int) -> None:
        with self._write_lock, self._writing() as writer:
            for table in ("blocks", "bodies"):
                writer.execute(f"DELETE FROM {table} WHERE height = ?", (height,))

    def check_container(self) -> None:
        """SQLite's own check of the file's pages, which reads the whole file."""
        with self._read_lock, self._translated():
            lines = [str(row[0]) for row in self._reader.execute("PRAGMA quick_check(100)")]
        # Values of the wrong type are damage of a block, not of the file.
        damage = [line for line in lines if line != "ok" and " value in " not in line]
        if damage:
            raise LedgerError(f"{self.path}: {printable(damage[0])}; {BEYOND_REPAIR}")

    def height(self) -> int:
        row = self._one("SELECT max(height) FROM blocks")
        return int(row[0] or 0) if row else 0

    def tip(self) -> Header | None:
        return self._header(self._one("SELECT height, header FROM blocks ORDER BY height DESC LIMIT 1"))

    def header(self, height: int) -> Header | None:
        return self._header(self._one("SELECT height, header FROM blocks WHERE height = ?", height))

    def block(self, height: int) -> Block | None:
        row = self._one(
            "SELECT height, header, body FROM blocks LEFT JOIN bodies USING (height) WHERE height = ?", height
        )
        header = self._header(row)
        if header is None or row is None:
            return None
        if not isinstance(row[2], bytes):
            raise LedgerError(f"{self.path}: block {height} has no body")
        return Block(header, row[2])

    def headers(self, first: int = 1, last: int | None = None) -> list[Header]:
        sql = "SELECT height, header FROM blocks WHERE height BETWEEN ? AND ? ORDER BY height"
        with self._read_lock, self._translated():
            rows = self._reader.execute(sql, (first, 2**62 if last is None else last)).fetchall()
        return [header for header in map(self._header, rows) if header is not None]

    def iter_blocks(self, first: int = 1) -> Iterator[Block]:
        for height in range(first, self.height() + 1):
            block = self.block(height)
            if block is None:
                raise LedgerError(f"{self.path}: block {height} is missing")
            yield block

    def iter_records(self) -> Iterator[Record]:
        # Outer join both ways by hand: a body without a row in blocks is damage too, and must not go unseen.
        following = (
            "SELECT min(height) FROM (SELECT min(height) AS height FROM blocks WHERE height > ?1"
            " UNION SELECT min(height) FROM bodies WHERE height > ?1)"
        )
        height: int | None = -(2**63)
        while True:
            row = self._one(following, height)
            height = row[0] if row else None
            if height is None:
                return
            yield self.record(height)

    def record(self, height: int) -> Record:
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
    def open_body(self, height: int) -> Iterator[BodyReader]:
        with (
            self._read_lock,
            self._translated(),
            closing(self._reader.blobopen("bodies", "body", height, readonly=True)) as blob,
        ):
            yield cast(BodyReader, blob)  # its type does not say that a slice gives bytes

    def body_part(self, height: int, offset: int, size: int) -> tuple[int, bytes]:
        with (
            self._read_lock,
            self._translated(),
            closing(self._reader.blobopen("bodies", "body", height, readonly=True)) as blob,
        ):
            return len(blob), cast(BodyReader, blob)[slice(offset, offset + size)]

    def certificate(self, height: int) -> bytes | None:
        row = self._one("SELECT certificate FROM blocks WHERE height = ?", height)
        certificate: bytes | None = row[0] if row else None
        return certificate

    def newest_certified(self) -> Header | None:
        return self._header(
            self._one("SELECT height, header FROM blocks WHERE certificate IS NOT NULL ORDER BY height DESC LIMIT 1")
        )

    def save_copy(self, path: Path) -> None:
        """Write the whole ledger to a new file: how one that lives in memory is kept after an orderly stop."""
        with self._translated(), self._read_lock:
            copy = sqlite3.connect(path)
            try:
                self._reader.backup(copy)
            finally:
                copy.close()

    def close(self) -> None:
        while self._connections:
            self._connections.pop().close()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _one(self, sql: str, *arguments: object) -> tuple[Any, ...] | None:
        with self._read_lock, self._translated():
            row: tuple[Any, ...] | None = self._reader.execute(sql, arguments).fetchone()
        return row

    def _header(self, row: Sequence[object] | None) -> Header | None:
        if row is None:
            return None
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
