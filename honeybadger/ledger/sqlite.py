"""The embedded store: a body log, and one SQLite file as its index, so that a researcher can query a run with SQL.

Guarantee: `append` is atomic (all blocks of the call or none) and returns once they are as durable as the setting says;
heights run from 1 without gaps, and each block's `previous` is its predecessor's hash. Reads may come from other
threads than writes. Every failure is a `LedgerError` of one line.

Table `blocks` has one row per block: header fields as columns, header bytes, certificate, `timestamp`, the local time
of storing in Unix seconds, which is not part of the header, and where the body is in the log. `body_log` says what is
written when, and what a crash leaves.

Durability: `fsync` is one fdatasync of the log per `append`. `os` syncs a segment when it is full: a power failure may
take the last blocks, never the consistency. `memory` writes no file.

Sharing: one writer, which holds an exclusive `flock` on `ledger.lock` in the same directory; any number of
readers, with `read_only=True` and no lock, also while a node runs, and from read-only media. Within a process,
one connection writes and one reads, each under its own lock, so a read does not wait for a commit. A reader sees what
the index has: after a power failure that may be less than the log, until the ledger is opened for writing.

Measured for `append` of 10 MB blocks: 10 ms of CPU with `fsync` and `os`, of which 4 are checksums, and 1.001 bytes
written for each byte of a body.
"""

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

from honeybadger.ledger.block import HASH_BYTES, Block, Header
from honeybadger.ledger.body_frames import Found
from honeybadger.ledger.body_log import (
    FileLog,
    Known,
    MemoryLog,
    Place,
    frame_of,
    read_log,
    segment_path,
)
from honeybadger.ledger.disk import sync
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
)
from honeybadger.ledger.store import COLUMNS, Durability, Record, header_columns
from honeybadger.transactions import Reader

_PLACE = "segment, body_at, body_bytes"
_SET = (*COLUMNS, "header", "certificate", "segment", "body_at", "body_bytes", "checksum")
#: the row of a block; one that is there keeps its time of storing
_PUT_BLOCK = (
    f"INSERT INTO blocks (height, timestamp, {', '.join(_SET)}) VALUES (?, ?{', ?' * len(_SET)})"
    f" ON CONFLICT (height) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _SET)}"
)
_PUT_SEGMENT = (
    "INSERT INTO segments VALUES (?, ?, ?) ON CONFLICT (segment)"
    " DO UPDATE SET indexed = excluded.indexed, durable = max(durable, excluded.durable)"
)


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
        self._log: FileLog | MemoryLog = (
            MemoryLog() if durability == "memory" else FileLog(path.resolve().parent, fsync=durability == "fsync")
        )
        #: height and hash of the newest block, once it is known
        self._tip: tuple[int, bytes] | None = None
        #: of the newest frame in the index since the ledger was opened
        self._segment = 0
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
                self._opened.enter_context(lock_for_writing(self.path.parent / "ledger.lock"))
            self._writer = self._reader = self._opened.enter_context(closing(connect(self.path, in_memory=in_memory)))
            with self._writing() as writer:
                created = chain_id is not None and create_schema(writer, chain_id)
                self._read_chain_id(writer, chain_id)
                if not in_memory:
                    self._catch_up(writer, created)
            if not in_memory:
                self._opened.callback(self._close_log)
                if not exists:
                    sync(self.path.parent)
                # Never a copy: it must read the file that is written.
                self._reader = self._opened.enter_context(closing(connect_reader(self.path)))
        self._read_chain_id(self._reader, chain_id)

    def _read_chain_id(self, connection: sqlite3.Connection, expected: bytes | None) -> None:
        self.chain_id = read_chain_id(connection, self.path)
        if expected is not None and self.chain_id != expected:
            raise LedgerError(f"{self.path}: belongs to chain {self.chain_id.hex()}, not to {expected.hex()}")

    def _catch_up(self, writer: sqlite3.Connection, created: bool) -> None:
        """Make the index agree with the end of the log; with all of it, if the index is new."""
        row = writer.execute("SELECT segment, indexed, durable FROM segments ORDER BY segment DESC LIMIT 1").fetchone()
        known = Known(*row) if row is not None else None
        if known is None and not created and writer.execute("SELECT 1 FROM blocks").fetchone():
            raise LedgerError(f"{self.path}: table segments is empty; {BEYOND_REPAIR}")
        tail = read_log(self.path.resolve().parent, self.chain_id, known)
        if known is not None:
            if tail.lost_from is not None:
                gone = "DELETE FROM blocks WHERE segment = ? AND body_at >= ?"
                writer.execute(gone, (known.segment, tail.lost_from))
                lost = "UPDATE segments SET indexed = max(durable, ?) WHERE segment = ?"
                writer.execute(lost, (tail.lost_from, known.segment))
            if known.durable < known.indexed:
                writer.execute("UPDATE segments SET durable = indexed WHERE segment = ?", (known.segment,))
        for segment, found in tail.frames:
            if known is None or segment > known.segment or found.end > known.indexed:
                self._index(writer, segment, found, durable=found.end)
        self._log.go_on(self.chain_id, tail.segment, tail.end)

    def _close_log(self) -> None:
        with self._translated():
            self._log.close()
            if self._writer is not None:
                self._writer.execute("UPDATE segments SET durable = indexed WHERE durable < indexed")

    def append(self, blocks: Sequence[Block], certificates: Mapping[int, bytes] | None = None) -> None:
        """Store consecutive blocks that follow the tip, and opaque certificates by height (of these blocks or of stored
        ones; others are dropped), as one frame of the log. Slow: call it in a worker thread."""
        if not blocks and not certificates:
            return
        with self._write_lock, self._translated():
            if self._tip is None:
                row = (
                    self._writer_or_error()
                    .execute("SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1")
                    .fetchone()
                )
                self._tip = row or (0, self.chain_id)
            tip = self._tip
            for block in blocks:
                header = block.header
                if (header.height, header.previous, header.chain_id) != (tip[0] + 1, tip[1], self.chain_id):
                    raise LedgerError(f"{self.path}: block {header.height} does not follow block {tip[0]}")
                tip = (header.height, header.hash)
            self._store(time.time(), blocks, certificates or {})
            self._tip = tip

    def replace(self, block: Block, certificate: bytes | None) -> None:
        """Put the block at its height, and touch nothing else; the row's `timestamp`, if it has one, stays. The log
        keeps what was there before. For repair: the caller checks the links to its neighbours."""
        header = block.header
        if header.chain_id != self.chain_id:
            raise LedgerError(f"{self.path}: block {header.height} belongs to chain {header.chain_id.hex()}")
        with self._write_lock, self._translated():
            self._tip = None
            self._store(time.time(), [block], {} if certificate is None else {header.height: certificate})

    def discard(self, height: int) -> None:
        """Remove the row at a height that no block can have. For repair."""
        with self._write_lock, self._writing() as writer:
            self._tip = None
            writer.execute("DELETE FROM blocks WHERE height = ?", (height,))

    def _store(self, timestamp: float, blocks: Sequence[Block], certificates: Mapping[int, bytes]) -> None:
        """Write a frame, then its rows."""
        self._writer_or_error()
        frame = frame_of(timestamp, blocks, certificates)
        segment, found = self._log.append(frame, [block.body for block in blocks])
        try:
            with self._writing() as writer:
                self._index(writer, segment, found, durable=found.end if self.durability == "fsync" else 0)
        except BaseException as error:
            # Its rows are made when the ledger is opened again; a later frame would hide that they are missing.
            self._log.fail(f"{self.path}: the last blocks could not be indexed ({printable(error)})")
            raise

    def _index(self, writer: sqlite3.Connection, segment: int, found: Found, *, durable: int) -> None:
        """Write the rows of a frame."""
        rows, position = [], found.bodies_at
        for block in found.frame.blocks:
            header = Header.decode(block.header)
            columns = header_columns(header)
            place = (segment, position, block.body_bytes, block.checksum)
            certificate = found.frame.certificates.get(header.height)
            values = [columns[name] for name in COLUMNS]
            rows.append((header.height, found.frame.timestamp, *values, block.header, certificate, *place))
            position += block.body_bytes
        writer.executemany(_PUT_BLOCK, rows)
        heights = {row[0] for row in rows}
        for height, certificate in found.frame.certificates.items():
            if height not in heights:
                writer.execute("UPDATE blocks SET certificate = ? WHERE height = ?", (certificate, height))
        if segment != self._segment:
            # The log has finished the segments before it.
            writer.execute("UPDATE segments SET durable = indexed WHERE durable < indexed")
            self._segment = segment
        writer.execute(_PUT_SEGMENT, (segment, found.end, durable))

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
        """Header and body; `LedgerError` if the body is not the one that was stored."""
        row = self._one(f"SELECT height, header, checksum, {_PLACE} FROM blocks WHERE height = ?", height)
        if row is None:
            return None
        header, body = self._header(row), self._body(height, row[3:])
        if zlib.crc32(body) != row[2]:
            raise LedgerError(f"{self.path}: the body of block {height} is damaged")
        return Block(header, body)

    def headers(self, first: int = 1, last: int | None = None) -> list[Header]:
        """Headers of heights `first` to `last`, both included, as far as they exist."""
        sql = "SELECT height, header FROM blocks WHERE height BETWEEN ? AND ? ORDER BY height"
        with self._read_lock, self._translated():
            rows = self._reader.execute(sql, (first, 2**62 if last is None else last)).fetchall()
        return list(map(self._header, rows))

    def iter_headers(self, step: int = 1000) -> Iterator[tuple[int, Header]]:
        """All heights there are, with the headers stored there, few in memory at a time."""
        sql, height = "SELECT height, header FROM blocks WHERE height > ? ORDER BY height LIMIT ?", -(2**63)
        while True:
            with self._read_lock, self._translated():
                rows = self._reader.execute(sql, (height, step)).fetchall()
            if not rows:
                return
            yield from ((row[0], self._header(row)) for row in rows)
            height = rows[-1][0]

    def transactions_through(self, height: int) -> int:
        """How many transactions the index counts in the blocks up to this height."""
        return int((self._one("SELECT total(tx_count) FROM blocks WHERE height <= ?", height) or (0,))[0])

    def iter_blocks(self, first: int = 1) -> Iterator[Block]:
        """Blocks from height `first` to the present tip, one in memory at a time; none may be missing."""
        for height in range(first, self.height() + 1):
            block = self.block(height)
            if block is None:
                raise LedgerError(f"{self.path}: block {height} is missing")
            yield block

    def iter_records(self) -> Iterator[Record]:
        """Everything stored, by height, unchecked, one in memory at a time."""
        height = -(2**63)
        if self._one("SELECT 1 FROM blocks WHERE height = ?", height):
            yield self.record(height)
        while (row := self._one("SELECT min(height) FROM blocks WHERE height > ?", height)) and row[0] is not None:
            height = row[0]
            yield self.record(height)

    def record(self, height: int) -> Record:
        """What is stored at `height`, unchecked; all `None` if nothing is."""
        fields = f"SELECT header, {', '.join(COLUMNS)}, {_PLACE} FROM blocks WHERE height = ?"
        row = self._one(fields, height) or (None,) * (4 + len(COLUMNS))
        try:
            body = self._body(height, row[-3:])
        except LedgerError:
            body = None
        header = row[0] if isinstance(row[0], bytes) else None
        return Record(height, dict(zip(COLUMNS, row[1:-3], strict=True)), header, body)

    def first_unreadable(self) -> int | None:
        """Lowest height whose body lies outside of the files that there are; None if there is none. It reads no
        body."""
        if self.durability == "memory":
            return None
        bad = []
        with self._translated():
            with self._read_lock:
                segments = self._reader.execute("SELECT segment, indexed FROM segments").fetchall()
            for segment, indexed in segments:
                path = segment_path(self.path.resolve().parent, segment)
                size = path.stat().st_size if path.exists() else 0
                if size < indexed:
                    outside = "SELECT min(height) FROM blocks WHERE segment = ? AND body_at + body_bytes > ?"
                    bad += [height for height in self._one(outside, segment, size) or () if height is not None]
        return min(bad, default=None)

    @contextmanager
    def open_body(self, height: int) -> Iterator[Reader]:
        """Random access to the body at `height` without reading all of it."""
        row = self._one(f"SELECT {_PLACE} FROM blocks WHERE height = ?", height)
        with self._translated(), self._log.open_body(self._place(height, row)) as body:
            yield body

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
        """Write the whole ledger to a new place, to keep a ledger in memory after an orderly stop."""
        with closing(SQLiteStore(path, "os", chain_id=self.chain_id)) as copy:
            for block in self.iter_blocks():
                height = block.header.height
                (timestamp,) = self._one("SELECT timestamp FROM blocks WHERE height = ?", height) or (0.0,)
                certificate = self.certificate(height)
                with copy._translated():
                    copy._store(timestamp, [block], {} if certificate is None else {height: certificate})

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

    def _place(self, height: int, row: Sequence[object] | None) -> Place:
        if row is None:
            raise LedgerError(f"{self.path}: block {height} is missing")
        try:
            return Place.of(row)
        except LedgerError as error:
            raise LedgerError(f"{self.path}: block {height}: {error}") from None

    def _body(self, height: int, row: Sequence[object]) -> bytes:
        with self._translated(), self._log.open_body(self._place(height, row)) as body:
            return body[slice(0, None)]

    def _writer_or_error(self) -> sqlite3.Connection:
        if self._writer is None:
            raise LedgerError(f"{self.path}: opened for reading only")
        return self._writer

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed on the way out, rolled back by any exception."""
        writer = self._writer_or_error()
        with self._translated():
            writer.execute("BEGIN IMMEDIATE")
            with writer:
                yield writer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            advice = f"; {BEYOND_REPAIR}" if is_corrupt(error) else ""
            raise LedgerError(f"{self.path}: {printable(error)}{advice}") from error
