"""One sorted run of the history: fingerprints with the place of each transaction, and a bitmap that answers
most misses.

Arrays of equal length n, sorted by fingerprint: ``fingerprints`` uint64, ``heights`` uint32, ``offsets``
uint32 (byte offset of the transaction in its block's body). 16 bytes an entry, plus 2 to 4 for the bitmap,
which holds one bit per fingerprint prefix at 16 to 32 bits an entry: at most 6 % of the unknown
fingerprints reach the binary search. Without it every lookup costs some twenty cache misses, or disk reads
once the run lives in a file.

Runs above ``spill`` entries are written to an unlinked temporary file and mapped read-only. ``drop_pages`` unmaps
what look-ups have touched, so that only the bitmaps stay resident; the page cache keeps the file at hand. They are
written, not mapped for writing: a full disk is then an ``OSError`` and not a SIGBUS.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
U8 = NDArray[np.uint8]
Index = NDArray[np.intp]

PIECE = 1 << 18
"""Entries merged at a time: bounds the temporary memory of a merge to some 10 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A run of n entries; see the module."""

    fingerprints: U64
    heights: U32
    offsets: U32
    bitmap: U8
    mapped: tuple[mmap.mmap, ...] = ()

    def __len__(self) -> int:
        return len(self.fingerprints)

    def drop_pages(self) -> None:
        """Give back the resident pages of a mapped run; safe while another thread looks something up."""
        for mapping in self.mapped:
            mapping.madvise(mmap.MADV_DONTNEED)

    def lookup(self, wanted: U64) -> tuple[Index, Index]:
        """Pairs (index into ``wanted``, which is sorted; index into this run) of equal fingerprints."""
        bits = _bit_positions(wanted, len(self.bitmap))
        maybe = np.flatnonzero((self.bitmap[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8)) & 1)
        candidates = wanted[maybe]
        first = np.searchsorted(self.fingerprints, candidates, "left")
        inside = first < len(self)
        inside[inside] = self.fingerprints[first[inside]] == candidates[inside]
        maybe, first = maybe[inside], first[inside]
        counts = np.searchsorted(self.fingerprints, candidates[inside], "right") - first
        starts = np.cumsum(counts) - counts
        entries = np.repeat(first - starts, counts) + np.arange(counts.sum())
        return np.repeat(maybe, counts), entries


def make_segment(ordered: U64, heights: U32, offsets: U32) -> Segment:
    """Build an in-memory run (one block's) from entries in the order of their fingerprints."""
    bitmap = _empty_bitmap(len(ordered))
    _set_bits(bitmap, ordered)
    return Segment(ordered, heights, offsets, bitmap)


def merge_segments(runs: Sequence[Segment], spill: int, directory: Path | None) -> Segment:
    """Merge runs into one, in memory up to ``spill`` entries and in a file of ``directory`` above it.

    ``directory=None`` is the system's place for temporary files. Raises ``OSError`` when the file cannot be
    written.
    """
    total = sum(map(len, runs))
    pieces = 1 << max(0, (total // PIECE).bit_length())
    bounds = (np.arange(1, pieces, dtype=np.uint64) << np.uint64(64 - pieces.bit_length() + 1)).astype(np.uint64)
    cuts = [[0, *np.searchsorted(run.fingerprints, bounds).tolist(), len(run)] for run in runs]
    bitmap = _empty_bitmap(total)
    out = _FileColumns(total, directory) if total > spill else _MemoryColumns(total)
    at = 0
    for p in range(pieces):
        parts = [slice(cut[p], cut[p + 1]) for cut in cuts]
        fingerprints = np.concatenate([run.fingerprints[part] for run, part in zip(runs, parts, strict=True)])
        order = np.argsort(fingerprints, kind="stable")  # finds the sorted runs and merges them
        ordered = fingerprints[order]
        heights = np.concatenate([run.heights[part] for run, part in zip(runs, parts, strict=True)])[order]
        offsets = np.concatenate([run.offsets[part] for run, part in zip(runs, parts, strict=True)])[order]
        out.write(at, ordered, heights, offsets)
        _set_bits(bitmap, ordered)
        at += len(ordered)
        for run in runs:
            run.drop_pages()
    return Segment(*out.finish(), bitmap, out.mapped)


class _MemoryColumns:
    mapped: tuple[mmap.mmap, ...] = ()

    def __init__(self, total: int) -> None:
        self._columns = (np.empty(total, np.uint64), np.empty(total, np.uint32), np.empty(total, np.uint32))

    def write(self, at: int, fingerprints: U64, heights: U32, offsets: U32) -> None:
        part = slice(at, at + len(fingerprints))
        self._columns[0][part], self._columns[1][part], self._columns[2][part] = (
            fingerprints,
            heights,
            offsets,
        )

    def finish(self) -> tuple[U64, U32, U32]:
        return self._columns


class _FileColumns:
    def __init__(self, total: int, directory: Path | None) -> None:
        self.mapped: tuple[mmap.mmap, ...] = ()
        self._total = total
        # Closed by ``finish``; the mappings made there keep the unlinked file alive.
        self._file = tempfile.TemporaryFile(dir=directory, prefix="history-")  # noqa: SIM115

    def write(self, at: int, fingerprints: U64, heights: U32, offsets: U32) -> None:
        self._write(at * 8, fingerprints.data)
        self._write(self._total * 8 + at * 4, heights.data)
        self._write(self._total * 12 + at * 4, offsets.data)

    def _write(self, start: int, data: memoryview) -> None:
        self._file.seek(start)
        self._file.write(data)

    def finish(self) -> tuple[U64, U32, U32]:
        self._file.flush()
        total = self._total
        fingerprints: U64 = np.memmap(self._file, np.uint64, "r", 0, (total,))
        heights: U32 = np.memmap(self._file, np.uint32, "r", total * 8, (total,))
        offsets: U32 = np.memmap(self._file, np.uint32, "r", total * 12, (total,))
        self._file.close()
        columns = (fingerprints, heights, offsets)
        self.mapped = tuple(getattr(column, "_mmap") for column in columns)  # noqa: B009
        return columns


def _empty_bitmap(entries: int) -> U8:
    return np.zeros(1 << max(10, (2 * entries - 1).bit_length()), np.uint8)


def _bit_positions(fingerprints: U64, bitmap_bytes: int) -> U64:
    bits = fingerprints >> np.uint64(64 - (bitmap_bytes * 8).bit_length() + 1)
    return bits.astype(np.uint64, copy=False)


def _set_bits(bitmap: U8, ordered: U64) -> None:
    """Mark sorted fingerprints: the bits that share a byte are neighbours and are first joined."""
    if not len(ordered):
        return
    bits = _bit_positions(ordered, len(bitmap))
    byte = bits >> np.uint64(3)
    masks = np.left_shift(np.uint8(1), (bits & np.uint64(7)).astype(np.uint8))
    starts = np.concatenate([[0], np.flatnonzero(byte[1:] != byte[:-1]) + 1])
    bitmap[byte[starts]] |= np.bitwise_or.reduceat(masks, starts)
