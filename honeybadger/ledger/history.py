"""Which transactions are already committed, and at what height: exact, compact, for many millions of them.

Guarantee: ``find`` answers exactly, whatever the fingerprints do. An entry is a 64-bit fingerprint with the
height and the byte offset of the transaction in its block's body; a fingerprint that matches is confirmed
against those very bytes through ``open_body``. Two transactions with the same fingerprint, by chance or by
choice, only cost a second look. Nodes use different fingerprint keys, so an unconfirmed hit could fork the
ledger.

The fingerprint is Python's ``hash`` of bytes (SipHash with a key random per process, cached on the object
and needed for every set and dict anyway). It never leaves the process.

Structure: a log-structured list of sorted runs (``segment``). ``add`` appends a run per block; ``compact``
merges neighbours geometrically, moves large runs to files, and is meant for a worker thread: it works on a
snapshot and swaps the result in. ``add`` and ``find`` belong to one thread, ``compact`` may run in another
at the same time. A caller that never compacts has it done by ``add`` once in ``MOST_RUNS`` blocks.

Why offsets and not a set per block: confirming against a decoded block takes some 20 ms of CPU per block
touched, so anyone who resubmits one old transaction of each of many blocks would stall a node. A point read
takes microseconds.

Measured (2 cores, CPU time) with 40,000 new transactions of 250 bytes against 5,000,000 entries: ``find``
9-15 ms (the lower end when the transactions' hashes are cached), ``add`` 6-9 ms, ``compact`` 6 ms on
average and 0.4 s for the rare merge of several millions (in its worker thread). Memory kept: 37 MB at 5
million entries and 90 MB at 20 million, two thirds of it bitmaps; while merging, mapped pages add to what
the process shows as resident (peaks of 100 and 275 MB), which the kernel can take back.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from honeybadger.ledger.block import encode_body
from honeybadger.ledger.segment import U32, U64, Index, Segment, make_segment, merge_segments

SPILL_ENTRIES = 1 << 20
"""Runs above this many entries live in temporary files."""
NEVER = 1 << 62
"""A spill threshold no run reaches."""
MANY_HITS = 1000
"""From this many hits in one body on, reading all of it is cheaper than seeking (SQLite: 2-5 us a seek)."""
MOST_RUNS = 64
"""``add`` compacts by itself when there are this many runs."""


class BodyReader(Protocol):
    """Random access to the bytes of one body: ``bytes`` itself, or a database's blob handle."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Bytes ``part.start`` up to ``part.stop`` of the body."""


OpenBody = Callable[[int], AbstractContextManager[BodyReader]]
"""Gives access to the body at a height that was added; the block may be on disk or still in memory."""


def fingerprint(transactions: Sequence[bytes]) -> U64:
    """Fingerprints of transactions, shape (n,), uint64."""
    return np.fromiter(map(hash, transactions), np.int64, len(transactions)).view(np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """Transactions with their fingerprints in ascending order: ``order`` says where each stands in the list."""

    transactions: Sequence[bytes]
    order: Index
    fingerprints: U64

    @classmethod
    def of(cls, transactions: Sequence[bytes]) -> Sorted:
        """Sort them, which whoever both looks up and adds needs to do once only."""
        unordered = fingerprint(transactions)
        order = np.argsort(unordered)
        return cls(transactions, order, unordered[order])


def body_offsets(transactions: Sequence[bytes]) -> U32:
    """Byte offset of each transaction's payload in ``encode_body(transactions)``, shape (n,), uint32."""
    n = len(transactions)
    lengths = np.fromiter(map(len, transactions), np.int64, n)
    prefixes = np.where(lengths < 1 << 8, 2, np.where(lengths < 1 << 16, 3, 5))  # bin 8, bin 16, bin 32
    array_prefix = 1 if n < 16 else 3 if n < 1 << 16 else 5
    return (np.cumsum(lengths + prefixes) + array_prefix - lengths).astype(np.uint32)


class History:
    """The committed transactions of a ledger; see the module for its guarantee and its threads."""

    def __init__(
        self, open_body: OpenBody, *, directory: Path | None = None, spill_entries: int = SPILL_ENTRIES
    ) -> None:
        """``directory`` takes the temporary files of large runs (``None``: the system's place)."""
        self._open_body = open_body
        self._directory = directory
        self._spill = spill_entries
        self._runs: tuple[Segment, ...] = ()
        self._swap = threading.Lock()
        self._compacting = threading.Lock()

    def __len__(self) -> int:
        """Number of transactions added."""
        return sum(map(len, self._runs))

    @property
    def runs(self) -> int:
        """Number of sorted runs, for status and tests."""
        return len(self._runs)

    def add(self, height: int, transactions: Sequence[bytes] | Sorted) -> None:
        """Record the transactions of the block at ``height``, in the order of its body."""
        new = transactions if isinstance(transactions, Sorted) else Sorted.of(transactions)
        if not new.transactions:
            return
        heights = np.full(len(new.transactions), height, np.uint32)
        run = make_segment(new.fingerprints, heights, body_offsets(new.transactions)[new.order])
        with self._swap:
            self._runs = (*self._runs, run)
        if len(self._runs) >= MOST_RUNS:
            self.compact()

    def find(self, wanted: Sequence[bytes] | Sorted) -> dict[bytes, int]:
        """Return the height of each transaction that is committed; the others are left out.

        Raises ``LedgerError`` if a body that is needed to confirm cannot be read.
        """
        if not self._runs:
            return {}
        known = wanted if isinstance(wanted, Sorted) else Sorted.of(wanted)
        transactions, order, ordered = known.transactions, known.order, known.fingerprints
        if not transactions:
            return {}
        candidates: defaultdict[int, list[tuple[bytes, int]]] = defaultdict(list)
        for run in self._runs:
            asked, entries = run.lookup(ordered)
            run.drop_pages()
            if len(asked):
                heights, offsets = run.heights[entries].tolist(), run.offsets[entries].tolist()
                for i, height, offset in zip(order[asked].tolist(), heights, offsets, strict=True):
                    candidates[height].append((transactions[i], offset))
        found: dict[bytes, int] = {}
        for height in sorted(candidates):
            with self._open_body(height) as reader:
                body = reader if len(candidates[height]) < MANY_HITS else reader[slice(0, None)]
                for transaction, offset in candidates[height]:
                    if transaction not in found and _stands_at(body, offset, transaction):
                        found[transaction] = height
        return found

    def compact(self) -> None:
        """Merge runs so that each is at least twice its successor; callable from a worker thread."""
        if not self._compacting.acquire(blocking=False):
            return
        try:
            snapshot = self._runs
            first = _first_to_merge(list(map(len, snapshot)))
            if first >= len(snapshot) - 1:
                return
            try:
                merged = merge_segments(snapshot[first:], self._spill, self._directory)
            except OSError:  # no room for temporary files: costs memory, not the node
                merged = merge_segments(snapshot[first:], NEVER, None)
            with self._swap:
                self._runs = (*snapshot[:first], merged, *self._runs[len(snapshot) :])
        finally:
            self._compacting.release()


def _first_to_merge(sizes: Sequence[int]) -> int:
    """Index of the run from which on all are merged, such that every run left is at least twice the next."""
    first = len(sizes) - 1
    total = sizes[-1] if sizes else 0
    for i in reversed(range(len(sizes) - 1)):
        if sizes[i] < 2 * (total if i + 1 == first else sizes[i + 1]):
            first, total = i, sum(sizes[i:])
    return first


def _stands_at(body: BodyReader, offset: int, transaction: bytes) -> bool:
    """Does exactly this transaction start at ``offset``? Its length prefix is compared too."""
    packed = encode_body((transaction,))[1:]  # without the array prefix: bin prefix and payload
    end = offset + len(transaction)
    return body[slice(end - len(packed), end)] == packed
