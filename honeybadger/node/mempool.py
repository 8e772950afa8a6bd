"""Transactions that wait to be committed: first in, first considered, bounded in number, bytes and size of each.

A full mempool refuses; it does not grow. A transaction leaves only when it is committed: while it is in a proposal
of an epoch in progress it is reserved, and if that proposal is not in the epoch's subset it returns to the head of
the queue.

The bound on bytes is one on memory, too: requests of which little is left are cut down before more is taken.

The queue and what is reserved are arrays of rows of `Held`; nothing here handles one transaction at a time but what
clients ask for twice.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from honeybadger.fingerprinted import Fingerprinted, Mask
from honeybadger.node.held import Copied, Held
from honeybadger.node.held import Request as Request
from honeybadger.transactions import COUNT_BYTES, EMPTY, END_BYTES, U32, FingerprintKey, Index, Transactions

#: requests for one transaction, after the first, that are told of it; for all together, as many as transactions
MORE_REQUESTS = 16

#: who asked for transactions: the request and their positions in it
Ticket = tuple[Request, Sequence[int] | U32 | Index]
_NONE = np.empty(0, np.intp)


class Mempool:
    """`max_transactions` and `max_bytes` bound the whole, `max_tx_bytes` each transaction.

    `key`: for fingerprints (`None`: a new one); with that of the chain, what has them needs no new ones.
    """

    def __init__(
        self, max_transactions: int, max_bytes: int, max_tx_bytes: int, key: FingerprintKey | None = None
    ) -> None:
        self._max_transactions = max_transactions
        self._max_bytes = max_bytes
        self._max_tx_bytes = max_tx_bytes
        self._key = FingerprintKey(os.urandom(16)) if key is None else key
        self._held = Held()
        #: the queue: its head, and what came since it was looked at
        self._head: Index = _NONE
        self._fresh: list[Index] = []
        #: transactions that the next proposal can choose from
        self.waiting = 0
        #: by epoch; a few of them, so that looking into each costs little
        self._reserved: dict[int, Index] = {}
        #: what was reserved last: usually all that the next block has of this mempool
        self._latest: Copied = _NONE, EMPTY
        #: further requests for a transaction that is held, by row
        self._also: dict[int, list[tuple[Request, int]]] = {}
        self._also_count = 0

    def __len__(self) -> int:
        """Transactions waiting or reserved."""
        return self._held.rows

    @property
    def held_bytes(self) -> int:
        """Of all transactions waiting or reserved."""
        return self._held.bytes

    def add(
        self, request: Request, transactions: Sequence[bytes] | Fingerprinted, skip: Mask | None = None
    ) -> Mapping[str, Index]:
        """Take a request's transactions, but for those marked in `skip`; returns positions refused, by reason.

        A transaction that is held is not taken twice; this request gets its outcome too.
        """
        asked = Fingerprinted.of(transactions, self._key)
        lengths = asked.transactions.lengths
        refused: dict[str, Index] = {}
        wanted = np.ones(len(asked), bool) if skip is None else ~skip
        for reason, bad in (("empty", lengths == 0), ("too long", lengths > self._max_tx_bytes)):
            if (bad & wanted).any():
                refused[reason] = np.flatnonzero(bad & wanted)
                wanted &= ~bad
        again, rows = self._held.find(asked)
        first = asked.first_equal()
        new = wanted.copy()
        new[again] = False
        if first is not None:
            new &= _first_of(first, wanted)[first] == np.arange(len(first))
        chosen = np.flatnonzero(new)
        fits = self._fitting(lengths[chosen])
        full = chosen[~fits].tolist()
        taken = chosen[fits]
        renumbered = self._take(request, asked, taken)
        if len(again) or first is not None:
            row_of = np.full(len(asked), -1, np.intp)
            row_of[again] = rows if renumbered is None else renumbered[rows]
            row_of[taken] = self._fresh[-1] if len(taken) else _NONE
            if first is not None:
                row_of = row_of[_first_of(first, wanted)[first]]
            for position in np.flatnonzero(wanted & ~new).tolist():
                if not self._ask_also(int(row_of[position]), request, position):
                    full.append(position)
        if full:
            refused["full"] = np.array(sorted(full), np.intp)
        return refused

    def select(
        self, epoch: int, first: int, count: int, max_bytes: int, randbytes: Callable[[int], bytes] = os.urandom
    ) -> Transactions:
        """Reserve for `epoch` a uniformly random choice of `count` of the `first` oldest, within `max_bytes`
        encoded.

        Source: Miller et al. (CCS 2016), sections 4.2 and 4.3: randomness makes proposals disjoint and unpredictable.
        """
        candidates = self._queue()[:first]
        # A random key each, and the `count` smallest of them: a uniform choice in a few vector operations.
        keys = np.frombuffer(randbytes(8 * len(candidates)), dtype=np.uint64)
        chosen = np.arange(len(candidates))
        if len(candidates) > count:
            chosen = np.sort(np.argpartition(keys, count)[:count])
        sizes = self._held.lengths(candidates[chosen]).astype(np.int64) + END_BYTES
        room = max_bytes - COUNT_BYTES
        if sizes.sum() > room:
            # Leave out at random, too: those with the largest keys.
            order = np.argsort(keys[chosen])
            fitting = int(np.searchsorted(np.cumsum(sizes[order]), room, side="right"))
            chosen = np.sort(chosen[order[:fitting]])
        return self._set_aside(epoch, chosen)

    def reserve(self, label: int, count: int, max_bytes: int) -> Transactions:
        """Reserve under `label` the oldest `count`, within `max_bytes` encoded; no randomness, order kept."""
        sizes = self._held.lengths(self._queue()[:count]).astype(np.int64) + END_BYTES
        fitting = int(np.searchsorted(np.cumsum(sizes), max_bytes - COUNT_BYTES, side="right"))
        return self._set_aside(label, np.arange(fitting))

    def release(self, label: int) -> None:
        """What is still reserved under `label` goes back to the head of the queue, in order."""
        back = self._reserved.pop(label, _NONE)
        if len(back):
            self._head = np.concatenate([back, self._head])
            self.waiting += len(back)

    def still_pending(self, transactions: Sequence[bytes]) -> Transactions:
        """Those that wait or are reserved, in order."""
        asked = Fingerprinted.of(transactions, self._key)
        return asked.transactions.take(self._held.find(asked)[0])

    def forget(self, transactions: Sequence[bytes] | Fingerprinted) -> list[tuple[Request, Index, Index]]:
        """Forget `transactions`, which are committed; returns who asked for them: the request, the positions in it,
        and which of `transactions` those are.

        A transaction may come more than once: several proposers, or a faulty one alone, may have contributed it.
        """
        where, rows = self._held.find(Fingerprinted.of(transactions, self._key), self._latest)
        if not len(rows):
            return []
        rows, first = np.unique(rows, return_index=True)
        where = where[first]
        tickets = [(request, positions, where[part]) for request, positions, part in self._held.owners(rows)]
        if self._also:
            tickets += self._also_asked(rows, where)
        self._held.remove(rows)
        if not self._held.holds(self._latest[0]).all():
            self._latest = _NONE, EMPTY
        left = len(rows)
        for label, reserved in self._reserved.items():
            self._reserved[label] = still = reserved[self._held.holds(reserved)]
            left -= len(reserved) - len(still)
        if left:
            queue = self._queue()
            self._head = queue[self._held.holds(queue)]
            self.waiting -= left
        return tickets

    def commit(self, epoch: int, transactions: Sequence[bytes] | Fingerprinted) -> list[tuple[Request, Index, Index]]:
        """`forget` what `epoch` committed. Reserved for this epoch but not among them: back to the head of the queue,
        in order."""
        tickets = self.forget(transactions)
        self.release(epoch)
        return tickets

    def release_through(self, epoch: int) -> None:
        """Epochs up to this one were passed over: what is reserved for them and not committed waits again."""
        for number in sorted((n for n in self._reserved if 0 < n <= epoch), reverse=True):
            self.release(number)

    def _queue(self) -> Index:
        """The rows that wait, in order."""
        if self._fresh:
            self._head = np.concatenate([self._head, *self._fresh])
            self._fresh = []
        return self._head

    def _set_aside(self, label: int, chosen: Index) -> Transactions:
        """Reserve what stands at the places `chosen`, ascending, of the queue."""
        queue = self._queue()
        rows = queue[chosen]
        stay = np.ones(len(queue), bool)
        stay[chosen] = False
        self._head = queue[stay]
        self.waiting -= len(rows)
        self._reserved[label] = np.concatenate([self._reserved.get(label, _NONE), rows])
        self._latest = rows, self._held.transactions(rows)
        return self._latest[1]

    def _fitting(self, lengths: U32) -> Mask:
        """Which of these there is room for, if those before them that fit are taken."""
        rows, room = self._max_transactions - len(self), self._max_bytes - self.held_bytes
        if len(lengths) <= rows and int(lengths.sum(dtype=np.int64)) <= room:
            return np.ones(len(lengths), bool)
        fits = np.zeros(len(lengths), bool)
        for i, length in enumerate(lengths.tolist()):
            if rows and length <= room:
                fits[i] = True
                rows, room = rows - 1, room - length
        return fits

    def _take(self, request: Request, asked: Fingerprinted, taken: Index) -> Index | None:
        """Hold those at the positions `taken`; returns the new numbers of rows if they have changed."""
        if not len(taken):
            return None
        renumbered = self._held.make_room(len(taken))
        if renumbered is not None:
            self._head = renumbered[self._queue()]
            self._reserved = {label: renumbered[rows] for label, rows in self._reserved.items()}
            self._latest = renumbered[self._latest[0]], self._latest[1]
            self._also = {int(renumbered[row]): others for row, others in self._also.items()}
        columns = asked if len(taken) == len(asked) else asked.take(taken)
        if self._held.kept_bytes + len(columns.transactions.data) > self._max_bytes:
            self._held.give_back()
        self._fresh.append(self._held.add(request, columns, taken))
        self.waiting += len(taken)
        return renumbered

    def _ask_also(self, row: int, request: Request, position: int) -> bool:
        """Another request wants to be told of the transaction in `row`; False if too many do, or there is none."""
        if row < 0 or self._also_count >= self._max_transactions:
            return False
        others = self._also.setdefault(row, [])
        if len(others) >= MORE_REQUESTS:
            return False
        others.append((request, position))
        self._also_count += 1
        return True

    def _also_asked(self, rows: Index, where: Index) -> list[tuple[Request, Index, Index]]:
        """The further requests for these rows, ascending, which are forgotten."""
        gone = rows.tolist()
        if len(self._also) < len(gone):
            among = np.fromiter(self._also, np.intp, len(self._also))
            gone = among[np.isin(among, rows)].tolist()
        found: defaultdict[Request, list[tuple[int, int]]] = defaultdict(list)
        for row in gone:
            others = self._also.pop(row, ())
            self._also_count -= len(others)
            for request, position in others:
                found[request].append((position, int(where[np.searchsorted(rows, row)])))
        return [(request, np.array(p)[:, 0], np.array(p)[:, 1]) for request, p in found.items()]


def _first_of(first: Index, wanted: Mask) -> Index:
    """For each position that `first` names: the first `wanted` one of those equal to it."""
    lowest = np.full(len(first), len(first), np.intp)
    positions = np.flatnonzero(wanted)[::-1]
    # Descending, so that the lowest is assigned last.
    lowest[first[positions]] = positions
    return np.where(lowest == len(first), np.arange(len(first)), lowest)
