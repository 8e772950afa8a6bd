"""The body log: files `bodies-000001.seg`, … next to `ledger.sqlite`. They are the ledger; SQLite is their index.

Why so. A body of 10 MB should reach the disk once, and an `append` should wait for one sync. In SQLite a body is
written twice, to its log and to its file. Bodies in files with all else in SQLite would need two syncs, that of the
bodies and then that of the rows. So a frame holds all of what `append` stores, and the sync of its file makes it
durable. Rows are written after that and not synced: a row never names bytes that are not durable, and the rows that a
power failure takes are made again from the log at the next start.

Frames are only ever added to the last segment, and to a new one once it has `SEGMENT_BYTES`.

`read_log` reads the log from where the index knows it to be durable. A frame there that is not whole is the tail of an
`append` that never returned: it is cut off. Before that place, bytes that are wrong are damage: they stay, and `ledger
repair` appends what it fetches in their stead. Without an index all of the log is read, and damage in it passed over.

What is old is given back to the kernel (`KEPT`), whose pages then serve the next block: a node rarely reads it again.
On a virtual machine 10 MB written to pages that were never used before cost 35-45 ms of CPU, and otherwise 4.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from honeybadger.ledger.block import MAX_BODY_BYTES, Block
from honeybadger.ledger.body_frames import (
    FIRST_FRAME,
    TAG_BYTES,
    Found,
    Frame,
    StoredBlock,
    frame_start,
    next_frame,
    read_frame,
    read_tag,
    segment_header,
)
from honeybadger.ledger.disk import sync, sync_data, write_all
from honeybadger.ledger.errors import LedgerError
from honeybadger.transactions import Reader

SEGMENT_BYTES = 64 << 20
KEPT = 16 << 20
"""Bytes before the end of the log that stay in the kernel's page cache."""
_NAME = re.compile(r"bodies-(\d{6,})\.seg")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body is: number of its segment, byte of that file, and length."""

    segment: int
    position: int
    length: int

    @classmethod
    def of(cls, row: Sequence[object]) -> Place:
        """From three columns of the index, which may hold anything; `LedgerError` if they name no place."""
        segment, position, length = row
        if not (isinstance(segment, int) and isinstance(position, int) and isinstance(length, int)):
            raise LedgerError("the index does not say where its body is")
        if position < 0 or not 0 <= length <= MAX_BODY_BYTES:
            raise LedgerError("the index says that its body is where none can be")
        return cls(segment, position, length)


def frame_of(timestamp: float, blocks: Sequence[Block], certificates: Mapping[int, bytes]) -> Frame:
    """The list of a frame with these blocks; `certificates`: by height, also of earlier blocks."""
    listed = tuple(StoredBlock(b.header.encode(), len(b.body), zlib.crc32(b.body)) for b in blocks)
    return Frame(timestamp, listed, dict(certificates))


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"bodies-{number:06}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """Numbers of the segments there are, ascending."""
    return sorted(int(match[1]) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name)))


class MemoryLog:
    """A log without a file: it holds on to the bodies."""

    def __init__(self) -> None:
        #: by position and length; the position alone would not tell an empty one from the next
        self._bodies: dict[tuple[int, int], bytes] = {}
        self._end = 0

    def append(self, frame: Frame, bodies: Sequence[bytes]) -> tuple[int, Found]:
        bodies_at = self._end
        for body in bodies:
            self._bodies[self._end, len(body)] = bytes(body)
            self._end += len(body)
        return 1, Found(frame, bodies_at, self._end)

    @contextmanager
    def open_body(self, place: Place) -> Iterator[Reader]:
        body = self._bodies.get((place.position, place.length))
        if body is None:
            raise LedgerError(f"no body at {place.position}")
        yield body

    def go_on(self, chain_id: bytes, segment: int, end: int) -> None:
        """It begins where it is."""

    def fail(self, why: str) -> None:
        """What could not be indexed is not found, and that is all."""

    def close(self) -> None:
        """Nothing to release."""


class FileLog:
    """The segments in `directory`. Failures are OSError or LedgerError; `fsync`: whether each append is synced."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        """For reading; `go_on` before the first `append`."""
        self._directory = directory
        self._chain_id = b""
        self._fsync = fsync
        self._file = -1
        self._tag = b""
        #: the last segment, and the byte where it ends; 0 before it has a file
        self._segment = self._end = 0
        #: why nothing can be written any more
        self._failed = ""

    def go_on(self, chain_id: bytes, segment: int, end: int) -> None:
        """Append behind byte `end` of a segment, which is its last; 0 begins it."""
        self._chain_id, self._segment, self._end = chain_id, segment, end
        if end:
            path = segment_path(self._directory, segment)
            self._file = os.open(path, os.O_RDWR)
            tag = read_tag(self._file, path, chain_id, segment)
            if tag is None:
                raise LedgerError(f"{path}: not a file of bodies")
            self._tag = tag

    def append(self, frame: Frame, bodies: Sequence[bytes]) -> tuple[int, Found]:
        """Store all of it, as durable as the log is, or nothing; returns the segment, and where it is in it."""
        if self._failed:
            raise LedgerError(self._failed)
        if self._end > SEGMENT_BYTES:
            self._finish()
            self._segment, self._end = self._segment + 1, 0
        is_new = not self._end
        if is_new:
            self._tag = os.urandom(TAG_BYTES)
        place = self._end or FIRST_FRAME
        start = frame_start(frame, place, self._tag)
        parts: list[bytes] = [start, *bodies]
        path = segment_path(self._directory, self._segment)
        if is_new:
            parts.insert(0, segment_header(self._chain_id, self._segment, self._tag))
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            write_all(self._file, parts, self._end)
        except OSError:
            self._undo(path, is_new)
            raise
        if self._fsync:
            try:
                sync_data(self._file)
                if is_new:
                    sync(self._directory)
            except OSError as error:
                # What the kernel could not write it may have forgotten: a second sync would prove nothing.
                self._failed = f"{path}: cannot be synced ({error})"
                raise
        bodies_at = place + len(start)
        self._end = bodies_at + sum(map(len, bodies))
        self._give_back(self._end - KEPT)
        return self._segment, Found(frame, bodies_at, self._end)

    def fail(self, why: str) -> None:
        """Take nothing more: the index may not know what the last frame says."""
        self._failed = self._failed or why

    @contextmanager
    def open_body(self, place: Place) -> Iterator[Reader]:
        """Random access to a body."""
        path = segment_path(self._directory, place.segment)
        file = os.open(path, os.O_RDONLY)
        try:
            if place.position + place.length > os.fstat(file).st_size:
                raise LedgerError(f"{path}: it ends before byte {place.position + place.length}")
            yield _Part(path, file, place)
        finally:
            os.close(file)

    def close(self) -> None:
        """Also makes durable what is not yet, unless the log has failed."""
        if self._file >= 0:
            self._finish()

    def _finish(self) -> None:
        """The segment is durable from here on, whatever the setting: after a power failure only the last is read."""
        try:
            if not self._failed and not self._fsync:
                os.fsync(self._file)
            self._give_back(self._end)
        finally:
            os.close(self._file)
            self._file = -1

    def _undo(self, path: Path, is_new: bool) -> None:
        """Leave nothing of a frame that could not be written."""
        try:
            if is_new:
                os.close(self._file)
                self._file = -1
                path.unlink()
            else:
                os.ftruncate(self._file, self._end)
        except OSError as error:
            self._failed = f"{path}: what could not be written cannot be removed ({error})"

    def _give_back(self, end: int) -> None:
        if end > 0 and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, end, os.POSIX_FADV_DONTNEED)


class _Part:
    """A body in an open file."""

    def __init__(self, path: Path, file: int, place: Place) -> None:
        self._path, self._file, self._place = path, file, place

    def __len__(self) -> int:
        return self._place.length

    def __getitem__(self, part: slice) -> bytes:
        first, end, _ = part.indices(self._place.length)
        wanted = max(0, end - first)
        data = os.pread(self._file, wanted, self._place.position + first)
        while len(data) < wanted:
            # A system call reads 2 GiB at most, and less if a signal comes.
            more = os.pread(self._file, wanted - len(data), self._place.position + first + len(data))
            if not more:
                raise LedgerError(f"{self._path}: it ends before byte {self._place.position + end}")
            data += more
        return data


@dataclass(frozen=True, slots=True)
class Known:
    """What the index has of the last segment that it knows: how many bytes, and how many of them are durable."""

    segment: int
    indexed: int
    durable: int


@dataclass(slots=True)
class Tail:
    """What `read_log` found. `frames`: whole ones, with their segments, in order; `segment`, `end`: where the log goes
    on; `lost_from`: rows whose bodies are in the index's last segment from this byte on have no body any more."""

    frames: list[tuple[int, Found]] = field(default_factory=list)
    segment: int = 1
    end: int = 0
    lost_from: int | None = None


def read_log(directory: Path, chain_id: bytes, known: Known | None) -> Tail:
    """Read the log behind what the index knows to be durable, cut off what is torn, and make the rest durable.

    Without `known` there is no index, and everything is read.
    """
    last, indexed, durable = (known.segment, known.indexed, known.durable) if known else (0, 0, 0)
    numbers = [number for number in segment_numbers(directory) if number >= last]
    tail = Tail(segment=max([last, *numbers]) + 1)
    if last and last not in numbers and durable < indexed:
        tail.lost_from = durable
    for number in numbers:
        path = segment_path(directory, number)
        start = durable if number == last else 0
        is_last = number == numbers[-1]
        file = os.open(path, os.O_RDWR)
        try:
            size = os.fstat(file).st_size
            tag = read_tag(file, path, chain_id, number)
            if tag is None:
                # The first append to it never returned, or its frames can no longer be told. It takes no other.
                if number == last and durable < indexed:
                    tail.lost_from = durable
                continue
            found, end = _frames(file, start or FIRST_FRAME, size, tag, pass_over=not is_last or known is None)
            tail.frames += [(number, frame) for frame in found]
            if number == last and end < indexed:
                tail.lost_from = end
            if is_last and start <= size:
                tail.segment, tail.end = number, end
                if end < size:
                    os.ftruncate(file, end)
            if found:
                # It may have been written and not synced.
                os.fsync(file)
        finally:
            os.close(file)
    if tail.frames:
        sync(directory)
    return tail


def _frames(file: int, place: int, size: int, tag: bytes, *, pass_over: bool) -> tuple[list[Found], int]:
    """The whole frames from `place` on, and where the last of them ends. `pass_over`: also those behind damage."""
    found: list[Found] = []
    end = place
    following: int | None = place
    while following is not None and following < size:
        frame = read_frame(file, following, size, tag)
        if frame is not None:
            found.append(frame)
            following = end = frame.end
        else:
            following = next_frame(file, following + 1, size, tag) if pass_over else None
    return found, end
