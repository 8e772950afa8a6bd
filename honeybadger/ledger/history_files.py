"""The history's large runs as files that outlive the process, so that a node starts without reading its ledger.

`history/key` has the secret that fingerprints depend on: a client that knew it could make transactions with equal
fingerprints. `history/run-<first>-<last>.idx` has the transactions of the blocks from `first` to `last`: a header with
its checksum, then the run's columns and filter as `segment` has them in memory (little-endian).

Nothing here is trusted or needed. A file counts only if its checksums are right, if it was made with this key for this
chain, and if the ledger's block `last` has the hash that it names: the hash chain then speaks for all blocks below.
What is missing, stale or damaged is made again from the bodies. So no file is ever synced, and most short-lived ones
never reach the disk. A run is written only once all of its blocks are durable.
"""

import os
import re
import secrets
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from honeybadger.ledger.run_filter import filter_bytes
from honeybadger.ledger.segment import Entries, Segment, map_columns, write_columns
from honeybadger.transactions import FingerprintKey

FORMAT = 2
SECRET_BYTES = 32
_MAGIC = b"HBhr"
_HEADER = struct.Struct("<4sI32s32s32sQQQ4I")
"""Magic, format, chain id, key's hash, hash of block `last`, first, last, entries, checksums of columns and filter."""
_CHECKSUM = struct.Struct("<I")
#: where the columns begin: behind the header, at a multiple of 8
_COLUMNS = 256
_NAME = re.compile(r"run-(\d+)-(\d+)\.idx")
_PIECE = 1 << 20


class RunFiles:
    """The files in `directory`, for one process: the caller holds the ledger's lock. Raises OSError if the directory
    cannot be used, which costs a start its index and nothing else.

    `hash_at(height)`: hash of a durable block, None if there is none.
    """

    def __init__(self, directory: Path, chain_id: bytes, hash_at: Callable[[int], bytes | None]) -> None:
        self._directory = directory
        self._chain_id = chain_id
        self._hash_at = hash_at
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = self._secret()
        self.key = FingerprintKey(secret)
        self._key_hash = sha256(b"history key" + secret).digest()

    def load(self, top: int) -> list[Segment]:
        """Good runs that follow each other from block 1 on, none beyond block `top`; all other files are removed."""
        there: dict[int, list[tuple[int, Path]]] = {}
        for path in self._directory.glob("*.idx*"):
            match = _NAME.fullmatch(path.name)
            if match is None:
                _remove(path)
            else:
                there.setdefault(int(match[1]), []).append((int(match[2]), path))
        runs: list[Segment] = []
        following = 1
        while (run := self._longest(following, top, there.get(following, []))) is not None:
            runs.append(run)
            following = run.last + 1
        kept = {run.path for run in runs}
        for path in (path for paths in there.values() for _, path in paths if path not in kept):
            _remove(path)
        return runs

    def write(self, total: int, pieces: Iterable[Entries], first: int, last: int) -> Segment:
        """The run of `total` entries, from sorted pieces, in a file."""
        tip = self._hash_at(last)
        if tip is None:
            raise OSError(f"no block {last}")
        path = self._directory / f"run-{first:010}-{last:010}.idx"
        new = path.with_suffix(".idx-new")
        try:
            with _private(new) as file:
                words, checksums = write_columns(file, _COLUMNS, total, pieces)
                file.seek(_COLUMNS + 16 * total)
                file.write(words.data)
                header = _HEADER.pack(
                    *(_MAGIC, FORMAT, self._chain_id, self._key_hash, tip, first, last, total),
                    *(*checksums, zlib.crc32(words.data)),
                )
                file.seek(0)
                file.write(header + _CHECKSUM.pack(zlib.crc32(header)))
                file.flush()
                run = map_columns(file, _COLUMNS, total, words, first, last, path)
            new.replace(path)
        except BaseException:
            _remove(new)
            raise
        return run

    def forget(self, runs: Iterable[Segment]) -> None:
        """Remove the files of runs that another one has replaced; whoever still looks something up in them may."""
        for run in runs:
            if run.path is not None:
                _remove(run.path)

    def _longest(self, first: int, top: int, there: list[tuple[int, Path]]) -> Segment | None:
        for last, path in sorted(there, reverse=True):
            if first <= last <= top:
                with suppress(OSError), path.open("rb") as file:
                    if (run := self._read(file, first, last, path)) is not None:
                        return run
        return None

    def _read(self, file: BinaryIO, first: int, last: int, path: Path) -> Segment | None:
        """The run in an open file, None if it is not good."""
        header = file.read(_HEADER.size + _CHECKSUM.size)
        if len(header) < _HEADER.size + _CHECKSUM.size or header[_HEADER.size :] != _CHECKSUM.pack(
            zlib.crc32(header[: _HEADER.size])
        ):
            return None
        *described, total, a, b, c, d = _HEADER.unpack_from(header)
        expected = [_MAGIC, FORMAT, self._chain_id, self._key_hash, self._hash_at(last), first, last]
        if described != expected:
            return None
        lengths = (8 * total, 4 * total, 4 * total, filter_bytes(total))
        if os.fstat(file.fileno()).st_size != _COLUMNS + sum(lengths):
            return None
        file.seek(_COLUMNS)
        for length, checksum in zip(lengths, (a, b, c, d), strict=True):
            if _read_checksum(file, length) != checksum:
                return None
        file.seek(_COLUMNS + 16 * total)
        words = bytearray(file.read(filter_bytes(total)))
        return map_columns(file, _COLUMNS, total, words, first, last, path)

    def _secret(self) -> bytes:
        """The persistent one; another if there is none, or if it is damaged."""
        path = self._directory / "key"
        with suppress(OSError):
            content = path.read_bytes()
            secret = content[:SECRET_BYTES]
            if content[SECRET_BYTES:] == sha256(secret).digest():
                return secret
        secret = secrets.token_bytes(SECRET_BYTES)
        new = path.with_name("key-new")
        with _private(new) as file:
            file.write(secret + sha256(secret).digest())
        new.replace(path)
        return secret


def _private(path: Path) -> BinaryIO:
    """A new file that nobody else may read."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _remove(path: Path) -> None:
    """What cannot be removed is not read either."""
    with suppress(OSError):
        path.unlink()


def _read_checksum(file: BinaryIO, length: int) -> int:
    checksum = 0
    while length:
        piece = file.read(min(_PIECE, length))
        if not piece:
            return -1
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    return checksum
