"""One sorted run of the history: fingerprints with the place of each transaction, and a filter for misses.

An entry takes 16 bytes (`positions`: of the transaction in its block), plus 2 to 4 for the filter (`run_filter`), so
that hardly any of the new fingerprints reach the binary search, which costs some twenty cache misses, or page faults
and disk reads once the run lives in a file.

Large runs are written to a file and mapped read-only: here to an unlinked temporary one, in `history_files` to one that
stays. `drop_pages` unmaps
the pages that look-ups have touched, so that only the filters stay resident; the file stays in the page cache. The file
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

from honeybadger.ledger.run_filter import empty_filter, may_have, put

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
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
    filter: U64
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

    def lookup(self, asked: U64, patterns: U64) -> tuple[Index, Index]:
        """Pairs (index into `asked`; index into this run) of equal fingerprints. `patterns`: those of `asked`."""
        maybe = may_have(self.filter, asked, patterns)
        if not len(maybe):
            return maybe, maybe
        candidates = asked[maybe]
        first = np.searchsorted(self.fingerprints, candidates, "left")
        # Behind the end: the last, which is less.
        inside = np.flatnonzero(self.fingerprints.take(first, mode="clip") == candidates)
        if len(inside):
            first = first[inside]
            counts = np.searchsorted(self.fingerprints, candidates[inside], "right") - first
            starts = np.cumsum(counts) - counts
            entries = np.repeat(first - starts, counts) + np.arange(counts.sum())
            maybe = np.repeat(maybe[inside], counts)
        else:
            maybe = entries = inside
        self.drop_pages()
        return maybe, entries


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
            words, _ = write_columns(file, 0, total, pieces)
            file.flush()
            return map_columns(file, 0, total, words, first, last, None)

    def forget(self, runs: Iterable[Segment]) -> None:
        """They are gone with their mappings."""


def make_segment(ordered: U64, height: int, positions: U32) -> Segment:
    """Build the in-memory run of a block from entries in the order of their fingerprints."""
    words = empty_filter(len(ordered))
    put(words, ordered)
    return Segment(ordered, np.full(len(ordered), height, np.uint32), positions, words, height, height)


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
    words = empty_filter(total)
    at = 0
    for piece in pieces:
        put(words, piece[0])
        for column, part in zip(columns, piece, strict=True):
            column[at : at + len(part)] = part
        at += len(piece[0])
    return Segment(columns[0], columns[1], columns[2], words, first, last)


def write_columns(
    file: BinaryIO, start: int, total: int, pieces: Iterable[Entries]
) -> tuple[U64, tuple[int, int, int]]:
    """Write fingerprints, heights and positions, one column behind the other from byte `start` of the file on; returns
    the filter, and the CRC-32 of each column."""
    words = empty_filter(total)
    at = [start, start + total * 8, start + total * 12]
    checksums = [0, 0, 0]
    for piece in pieces:
        put(words, piece[0])
        for number, part in enumerate(piece):
            file.seek(at[number])
            at[number] += file.write(part.data)
            checksums[number] = zlib.crc32(part.data, checksums[number])
    return words, (checksums[0], checksums[1], checksums[2])


def map_columns(
    file: BinaryIO, start: int, total: int, words: bytearray | U64, first: int, last: int, path: Path | None
) -> Segment:
    """The run of `total` > 0 entries whose columns `write_columns` wrote."""
    kinds = ((np.uint64, start), (np.uint32, start + total * 8), (np.uint32, start + total * 12))
    columns = [np.memmap(file, kind, "r", at, (total,)) for kind, at in kinds]
    mapped = tuple(getattr(column, "_mmap") for column in columns)  # noqa: B009
    filled = np.frombuffer(words, np.uint64)
    return Segment(columns[0], columns[1], columns[2], filled, first, last, mapped, path)
