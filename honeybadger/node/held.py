"""The transactions that a mempool holds, in rows: found by fingerprint, told apart by their bytes, forgotten together.

A row is a number. Rows ascend in the order in which transactions came; `make_room` numbers them anew.

Look-up: a hash table with chains, all of it in arrays. A bucket is the high bits of a fingerprint; `_heads` has the
newest row of each bucket, `_next` the one before it. Clients do not know the key of the fingerprints, so they cannot
make chains long. A row that is gone stays in its chain until the next `make_room`, which comes after as many new rows
as there were then: removing costs nothing, and each row is moved about once.

Memory: what came with one request is one block of bytes, `_Batch`. At most twice the bytes held are kept, whatever
clients leave behind of long requests: when it would be more, what is left of the blocks that are more than half empty
is copied. When that is too much still, `give_back` copies the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from honeybadger.fingerprinted import Fingerprinted, Mask, equal_pairs
from honeybadger.transactions import U32, U64, Index, Transactions

#: rows of the smallest table, a power of two
FEWEST = 1024
NOBODY = -1
#: rows, and the transactions in them
Copied = tuple[Index, Transactions]


@dataclass(eq=False, slots=True)
class Request:
    """A client's request some of whose transactions wait here. `client`: ZeroMQ routing id; `number`: the client's."""

    client: bytes
    number: int


@dataclass(eq=False, slots=True)
class _Batch:
    """What was taken of one request. `rows` and `size` (bytes): of it that is still held."""

    request: Request
    transactions: Transactions
    rows: int
    size: int


class Held:
    """`rows`: how many transactions are held; `bytes`: of how many bytes; `kept_bytes`: those included that are
    forgotten and not given back."""

    def __init__(self) -> None:
        self.rows = self.bytes = self.kept_bytes = 0
        #: batches of which something is forgotten and not given back
        self._wasteful: set[int] = set()
        self._batches: dict[int, _Batch] = {}
        self._next_batch = 0
        #: rows in use, held or not; the columns have more, a power of two
        self._used = 0
        self._fingerprints: U64 = np.empty(FEWEST, np.uint64)
        self._lengths: U32 = np.empty(FEWEST, np.uint32)
        #: the transaction's position in its request
        self._positions: U32 = np.empty(FEWEST, np.uint32)
        #: the number of its batch, which never descends, and its place there
        self._batch: NDArray[np.int64] = np.empty(FEWEST, np.int64)
        self._place: U32 = np.empty(FEWEST, np.uint32)
        self._alive: Mask = np.zeros(FEWEST, bool)
        self._next: NDArray[np.int32] = np.empty(FEWEST, np.int32)
        self._heads = _no_heads(FEWEST)

    def make_room(self, count: int) -> Index | None:
        """Before `count` transactions are added. If that numbers the rows anew: the new number of each old one, shape
        (rows in use,); those that are not held have none (-1)."""
        capacity = len(self._alive)
        if self._used + count <= capacity:
            return None
        left = np.flatnonzero(self._alive[: self._used])
        renumbered = np.full(self._used, NOBODY, np.intp)
        renumbered[left] = np.arange(len(left))
        while capacity < 2 * (len(left) + count):
            capacity *= 2
        while capacity > max(FEWEST, 4 * (len(left) + count)):
            capacity //= 2
        for name in ("_fingerprints", "_lengths", "_positions", "_batch", "_place"):
            old = getattr(self, name)
            column = np.empty(capacity, old.dtype)
            column[: len(left)] = old[left]
            setattr(self, name, column)
        self._alive = np.arange(capacity) < len(left)
        self._next = np.empty(capacity, np.int32)
        self._heads = _no_heads(capacity)
        self._used = len(left)
        self._link(np.arange(len(left)))
        return renumbered

    def add(self, request: Request, taken: Fingerprinted, positions: Index) -> Index:
        """Hold what was `taken` of a request, where they stood at `positions`; returns their rows. None of them may be
        held already, and there must be room."""
        count = len(taken)
        rows = np.arange(self._used, self._used + count)
        new = slice(self._used, self._used + count)
        self._fingerprints[new] = taken.fingerprints
        self._lengths[new] = taken.transactions.lengths
        self._positions[new] = positions
        self._batch[new] = self._next_batch
        self._place[new] = np.arange(count)
        self._alive[new] = True
        self._used += count
        self._link(rows)
        self._batches[self._next_batch] = _Batch(request, taken.transactions, count, len(taken.transactions.data))
        self._next_batch += 1
        self.rows += count
        self.bytes += len(taken.transactions.data)
        self.kept_bytes += len(taken.transactions.data)
        return rows

    def find(self, asked: Fingerprinted, copied: Copied | None = None) -> tuple[Index, Index]:
        """Pairs (position in `asked`, row) of equal transactions, ascending by position. `copied`: transactions that
        are at hand, perhaps those which will be found."""
        rows = self._heads[_buckets(asked.fingerprints, len(self._heads))]
        left = np.flatnonzero(rows != NOBODY)
        rows = rows[left]
        positions, found = [], []
        while len(left):
            equal = self._alive[rows] & (self._fingerprints[rows] == asked.fingerprints[left])
            positions.append(left[equal])
            found.append(rows[equal])
            rows = self._next[rows]
            further = rows != NOBODY
            left, rows = left[further], rows[further]
        if not found:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        where, which = np.concatenate(positions), np.concatenate(found).astype(np.intp)
        order = np.argsort(where, kind="stable")
        where, which = where[order], which[order]
        if not len(where):
            return where, which
        if copied is None or not np.array_equal(which, copied[0]):
            copied = which, self.transactions(which)
        same = equal_pairs(asked.transactions, where, copied[1], np.arange(len(which)))
        return where[same], which[same]

    def holds(self, rows: Index) -> Mask:
        """Which of these rows are held."""
        return self._alive[rows]

    def lengths(self, rows: Index) -> U32:
        """Bytes of each."""
        return self._lengths[rows]

    def transactions(self, rows: Index) -> Transactions:
        """Those in `rows`, in that order, copied together."""
        numbers, places = self._batch[rows], self._place[rows].astype(np.intp)
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        if len(cuts) > len(rows) // 4:
            pairs = zip(numbers.tolist(), places.tolist(), strict=True)
            return Transactions.of([self._batches[number].transactions[place] for number, place in pairs])
        runs = pairwise([0, *cuts.tolist(), len(rows)] if len(rows) else ())
        return Transactions.gathered([(self._batches[int(numbers[a])].transactions, places[a:b]) for a, b in runs])

    def owners(self, rows: Index) -> Iterator[tuple[Request, Index, slice]]:
        """Who asked for them: the request, the positions in it, and which part of `rows` these are. Ascending rows."""
        numbers = self._batch[rows]
        positions = self._positions[rows].astype(np.intp)
        cuts = (np.flatnonzero(np.diff(numbers)) + 1).tolist()
        for a, b in pairwise([0, *cuts, len(rows)] if len(rows) else ()):
            yield self._batches[int(numbers[a])].request, positions[a:b], slice(a, b)

    def remove(self, rows: Index) -> None:
        """Forget these rows, which are held, each once, ascending."""
        self._alive[rows] = False
        self.rows -= len(rows)
        lengths, numbers = self._lengths[rows], self._batch[rows]
        self.bytes -= int(lengths.sum(dtype=np.int64))
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        sizes = np.add.reduceat(lengths.astype(np.int64), starts).tolist() if len(rows) else []
        counts = np.diff(starts, append=len(rows)).tolist()
        for number, count, size in zip(numbers[starts].tolist(), counts, sizes, strict=True):
            batch = self._batches[number]
            batch.rows -= count
            batch.size -= size
            self._wasteful.add(number)
            if not batch.rows:
                self._wasteful.discard(number)
                del self._batches[number]
                self.kept_bytes -= len(batch.transactions.data)
        if self.kept_bytes > 2 * self.bytes:
            self._shrink(2)

    def give_back(self) -> None:
        """Keep nothing but what is held."""
        self._shrink(1)

    def _shrink(self, most: int) -> None:
        """Copy what is left of the batches that keep more than `most` times as many bytes."""
        batches = [(number, self._batches[number]) for number in self._wasteful]
        chosen = [number for number, batch in batches if len(batch.transactions.data) > most * batch.size]
        bounds = np.searchsorted(self._batch[: self._used], [chosen, [number + 1 for number in chosen]])
        for number, first, last in zip(chosen, *bounds.tolist(), strict=True):
            batch = self._batches[number]
            self._wasteful.discard(number)
            self.kept_bytes -= len(batch.transactions.data) - batch.size
            left = np.flatnonzero(self._alive[first:last])
            batch.transactions = batch.transactions.take(self._place[first:last][left].astype(np.intp))
            self._place[first:last][left] = np.arange(len(left))

    def _link(self, rows: Index) -> None:
        """Put rows into their chains; each bucket's in front of those that it has."""
        buckets = _buckets(self._fingerprints[rows], len(self._heads))
        order = np.argsort(buckets, kind="stable")
        buckets, rows = buckets[order], rows[order]
        previous = self._heads[buckets]
        again = np.flatnonzero(buckets[1:] == buckets[:-1])
        previous[again + 1] = rows[again]
        self._next[rows] = previous
        # Of several rows in a bucket the last one is assigned last.
        self._heads[buckets] = rows


def _no_heads(capacity: int) -> NDArray[np.int32]:
    return np.full(2 * capacity, NOBODY, np.int32)


def _buckets(fingerprints: U64, count: int) -> U64:
    """`count` is a power of two, above 1."""
    return fingerprints >> np.uint64(65 - count.bit_length())
