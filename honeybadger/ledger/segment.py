"""One sorted run of the history: fingerprints with the place of each transaction, and a bitmap for misses.

An entry takes 16 bytes (`positions`: of the transaction in its block), plus 2 to 4 for the bitmap, which holds one
bit per fingerprint prefix at 16 to 32 bits an entry. So at most 6 % of the new fingerprints reach the binary search,
which costs some twenty cache misses, or disk reads once the run lives in a file.

Large runs are written to a file and mapped read-only: here to an unlinked temporary one, in `history_files` to one that
stays. `drop_pages` unmaps
the pages that look-ups have touched, so that only the bitmaps stay resident; the file stays in the page cache. The file
is written, and not mapped for writing, so that a full disk is an `OSError` and not a SIGBUS.
"""

from __future__ import annotations

import mmap
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
U8 = NDArray[np.uint8]
Index = NDArray[np.intp]
Entries = tuple[NDArray[Any], ...]

PIECE = 1 << 18
"""Entries merged at a time: bounds the temporary memory of a merge to about 10 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A run of n entries: arrays of equal length, sorted by fingerprint."""

    fingerprints: U64
    heights: U32
    positions: U32
    bitmap: U8
    #: the heights that it covers, both included: no other transactions are in those blocks
    first: int
    last: int
    mapped: tuple[mmap.mmap, ...] = ()
    #: its file, if that has a name
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.fingerprints)

    def drop_pages(self) -> None:
        """Give back the resident pages of a mapped run; safe while another thread looks something up."""
        for mapping in self.mapped:
            mapping.madvise(mmap.MADV_DONTNEED)

    def lookup(self, asked: U64) -> tuple[Index, Index]:
        """Pairs (index into `asked`, which is sorted; index into this run) of equal fingerprints."""
        bits = _bit_positions(asked, len(self.bitmap))
        maybe = np.flatnonzero((self.bitmap[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8)) & 1)
        candidates = asked[maybe]
        first = np.searchsorted(self.fingerprints, candidates, "left")
        inside = first < len(self)
        inside[inside] = self.fingerprints[first[inside]] == candidates[inside]
        maybe, first = maybe[inside], first[inside]
        counts = np.searchsorted(self.fingerprints, candidates[inside], "right") - first
        starts = np.cumsum(counts) - counts
        entries = np.repeat(first - starts, counts) + np.arange(counts.sum())
        return np.repeat(maybe, counts), entries


class Files(Protocol):
    """Where large runs go."""

    def write(self, total: int, pieces: Iterable[Entries], first: int, last: int) -> Segment:
        """The run of `total` entries, from sorted pieces, in a file. Raises `OSError`."""

    def forget(self, runs: Iterable[Segment]) -> None:
        """These are not needed any more."""


class TemporaryFiles:
    """Unlinked files in `directory`; `None`: the system's place for temporary files."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def write(self, total: int, pieces: Iterable[Entries], first: int, last: int) -> Segment:
        # The mappings keep the unlinked file alive.
        with tempfile.TemporaryFile(dir=self._directory, prefix="history-") as file:
            bitmap, _ = write_columns(file, 0, total, pieces)
            file.flush()
            return map_columns(file, 0, total, bitmap, first, last, None)

    def forget(self, runs: Iterable[Segment]) -> None:
        """They are gone with their mappings."""


def make_segment(ordered: U64, height: int, positions: U32) -> Segment:
    """Build the in-memory run of a block from entries in the order of their fingerprints."""
    bitmap = _empty_bitmap(len(ordered))
    _set_bits(bitmap, ordered)
    return Segment(ordered, np.full(len(ordered), height, np.uint32), positions, bitmap, height, height)


def merge_segments(runs: Sequence[Segment], first: int, files: Files | None) -> Segment:
    """Merge neighbouring runs into one that covers the blocks from `first` on, in memory or in a file of `files`.

    Raises `OSError` when the file cannot be written.
    """
    total = sum(map(len, runs))
    pieces = 1 << max(0, (total // PIECE).bit_length())
    bounds = (np.arange(1, pieces, dtype=np.uint64) << np.uint64(64 - pieces.bit_length() + 1)).astype(np.uint64)
    cuts = [[0, *np.searchsorted(run.fingerprints, bounds).tolist(), len(run)] for run in runs]

    def merged() -> Iterator[Entries]:
        for p in range(pieces):
            parts = [(run, slice(cut[p], cut[p + 1])) for run, cut in zip(runs, cuts, strict=True)]
            fingerprints = np.concatenate([run.fingerprints[part] for run, part in parts])
            order = np.argsort(fingerprints, kind="stable")  # finds the sorted runs and merges them
            heights = np.concatenate([run.heights[part] for run, part in parts])[order]
            yield fingerprints[order], heights, np.concatenate([run.positions[part] for run, part in parts])[order]
            for run in runs:
                run.drop_pages()

    last = runs[-1].last
    return _in_memory(total, merged(), first, last) if files is None else files.write(total, merged(), first, last)


def _in_memory(total: int, pieces: Iterable[Entries], first: int, last: int) -> Segment:
    columns: Entries = (np.empty(total, np.uint64), np.empty(total, np.uint32), np.empty(total, np.uint32))
    bitmap = _empty_bitmap(total)
    at = 0
    for piece in pieces:
        _set_bits(bitmap, piece[0])
        for column, part in zip(columns, piece, strict=True):
            column[at : at + len(part)] = part
        at += len(piece[0])
    return Segment(columns[0], columns[1], columns[2], bitmap, first, last)


def write_columns(file: BinaryIO, start: int, total: int, pieces: Iterable[Entries]) -> tuple[U8, tuple[int, int, int]]:
    """Write fingerprints, heights and positions, one column behind the other from byte `start` of the file on; returns
    the bitmap, and the CRC-32 of each column."""
    bitmap = _empty_bitmap(total)
    at = [start, start + total * 8, start + total * 12]
    checksums = [0, 0, 0]
    for piece in pieces:
        _set_bits(bitmap, piece[0])
        for number, part in enumerate(piece):
            file.seek(at[number])
            at[number] += file.write(part.data)
            checksums[number] = zlib.crc32(part.data, checksums[number])
    return bitmap, (checksums[0], checksums[1], checksums[2])


def map_columns(
    file: BinaryIO, start: int, total: int, bitmap: bytearray | U8, first: int, last: int, path: Path | None
) -> Segment:
    """The run of `total` > 0 entries whose columns `write_columns` wrote."""
    kinds = ((np.uint64, start), (np.uint32, start + total * 8), (np.uint32, start + total * 12))
    columns = [np.memmap(file, kind, "r", at, (total,)) for kind, at in kinds]
    mapped = tuple(getattr(column, "_mmap") for column in columns)  # noqa: B009
    bits = np.frombuffer(bitmap, np.uint8)
    return Segment(columns[0], columns[1], columns[2], bits, first, last, mapped, path)


def bitmap_bytes(entries: int) -> int:
    """Length of the bitmap of a run."""
    return 1 << max(10, (2 * entries - 1).bit_length())


def _empty_bitmap(entries: int) -> U8:
    return np.zeros(bitmap_bytes(entries), np.uint8)


def _bit_positions(fingerprints: U64, bitmap_bytes: int) -> U64:
    bits = fingerprints >> np.uint64(64 - (bitmap_bytes * 8).bit_length() + 1)
    return bits.astype(np.uint64, copy=False)


def _set_bits(bitmap: U8, ordered: U64) -> None:
    """Mark sorted fingerprints; bits of one byte are neighbours, so they are joined first."""
    if not len(ordered):
        return
    bits = _bit_positions(ordered, len(bitmap))
    byte = bits >> np.uint64(3)
    masks = np.left_shift(np.uint8(1), (bits & np.uint64(7)).astype(np.uint8))
    starts = np.concatenate([[0], np.flatnonzero(byte[1:] != byte[:-1]) + 1])
    bitmap[byte[starts]] |= np.bitwise_or.reduceat(masks, starts)
