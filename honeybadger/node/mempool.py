"""Transactions that wait to be committed: first in, first considered, bounded in number, bytes and size of each.

A full mempool refuses; it does not grow. A transaction leaves only when it is committed: while it is in a proposal
of an epoch in progress it is reserved, and if that proposal is not in the epoch's subset it returns to the head of
the queue.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

import numpy as np

#: requests for one transaction, after the first, that are told of it; for all together, as many as transactions
MORE_REQUESTS = 16
#: most bytes that serialisation adds to a transaction
FRAMING_BYTES = 5


@dataclass(eq=False, slots=True)
class Request:
    """A client's request some of whose transactions wait here. `client`: ZeroMQ routing id; `number`: the client's."""

    client: bytes
    number: int


#: who asked for a transaction: the request and the transaction's position in it
Ticket = tuple[Request, int]


class Mempool:
    """`max_transactions` and `max_bytes` bound the whole, `max_tx_bytes` each transaction."""

    def __init__(self, max_transactions: int, max_bytes: int, max_tx_bytes: int) -> None:
        self._max_transactions = max_transactions
        self._max_bytes = max_bytes
        self._max_tx_bytes = max_tx_bytes
        self._waiting: dict[bytes, Ticket] = {}
        #: by epoch; a few of them, so that looking into each costs little
        self._reserved: dict[int, dict[bytes, Ticket]] = {}
        #: further requests for a transaction that already waits
        self._also: dict[bytes, list[Ticket]] = {}
        self._also_count = 0
        self.bytes = 0

    def __len__(self) -> int:
        """Transactions waiting or reserved."""
        return len(self._waiting) + sum(map(len, self._reserved.values()))

    @property
    def waiting(self) -> int:
        """Transactions that the next proposal can choose from."""
        return len(self._waiting)

    def add(self, request: Request, transactions: Sequence[bytes], skip: Iterable[int] = ()) -> dict[str, list[int]]:
        """Take a request's transactions, but for positions in `skip`; returns positions refused, by reason.

        A transaction that already waits is not taken twice; this request gets its outcome too.
        """
        refused = defaultdict[str, list[int]](list)
        skipped = set(skip)
        if not skipped and self._take_all(request, transactions):
            return refused
        for position, transaction in enumerate(transactions):
            if position in skipped:
                continue
            size = len(transaction)
            if not size:
                refused["empty"].append(position)
            elif size > self._max_tx_bytes:
                refused["too long"].append(position)
            elif self.still_pending([transaction]):
                others = self._also.setdefault(transaction, [])
                if len(others) < MORE_REQUESTS and self._also_count < self._max_transactions:
                    others.append((request, position))
                    self._also_count += 1
                else:
                    refused["full"].append(position)
            elif len(self) >= self._max_transactions or self.bytes + size > self._max_bytes:
                refused["full"].append(position)
            else:
                self._waiting[transaction] = (request, position)
                self.bytes += size
        return refused

    def select(
        self, epoch: int, first: int, count: int, max_bytes: int, randbytes: Callable[[int], bytes] = os.urandom
    ) -> list[bytes]:
        """Reserve for `epoch` a uniformly random choice of `count` of the `first` oldest, within `max_bytes`
        serialised.

        Source: Miller et al. (CCS 2016), sections 4.2 and 4.3: randomness makes proposals disjoint and unpredictable.
        """
        candidates = list(islice(self._waiting, first))
        # A random key each, and the `count` smallest of them: a uniform choice in a few vector operations.
        keys = np.frombuffer(randbytes(8 * len(candidates)), dtype=np.uint64)
        if len(candidates) > count:
            indices = np.sort(np.argpartition(keys, count)[:count])
            candidates = [candidates[i] for i in indices.tolist()]
            keys = keys[indices]
        room = max_bytes - FRAMING_BYTES
        if sum(map(len, candidates)) + FRAMING_BYTES * len(candidates) > room:
            # Leave out at random, too: those with the largest keys.
            order = np.argsort(keys)
            sizes = np.fromiter(map(len, candidates), dtype=np.int64, count=len(candidates))[order] + FRAMING_BYTES
            fitting = int(np.searchsorted(np.cumsum(sizes), room, side="right"))
            candidates = [candidates[i] for i in np.sort(order[:fitting]).tolist()]
        self._set_aside(epoch, candidates)
        return candidates

    def reserve(self, label: int, count: int, max_bytes: int) -> list[bytes]:
        """Reserve under `label` the oldest `count`, within `max_bytes` serialised; no randomness, order kept."""
        room = max_bytes - FRAMING_BYTES
        chosen = list(islice(self._waiting, count))
        if sum(map(len, chosen)) + FRAMING_BYTES * len(chosen) > room:
            sizes = accumulate(len(transaction) + FRAMING_BYTES for transaction in chosen)
            chosen = [transaction for transaction, size in zip(chosen, sizes, strict=True) if size <= room]
        self._set_aside(label, chosen)
        return chosen

    def release(self, label: int) -> None:
        """What is still reserved under `label` goes back to the head of the queue, in order."""
        self.commit(label, ())

    def still_pending(self, transactions: Sequence[bytes]) -> list[bytes]:
        """Those that wait or are reserved, in order."""
        held = [self._waiting, *self._reserved.values()]
        return [transaction for transaction in transactions if any(transaction in part for part in held)]

    def commit(self, epoch: int, transactions: Sequence[bytes]) -> list[Ticket]:
        """Forget `transactions`, which `epoch` committed (or found committed); returns who asked for them.

        Reserved for this epoch but not among them: back to the head of the queue, in order.
        """
        tickets: list[Ticket] = []
        for part in (*self._reserved.values(), self._waiting):
            # Usually only few of a block's transactions are ours: find those at the speed of a set look-up. (Several
            # proposers, or a faulty one alone, may have contributed a transaction more than once.)
            if part and not part.keys().isdisjoint(transactions):
                for transaction in dict.fromkeys([tx for tx in transactions if tx in part]):
                    tickets.append(part.pop(transaction))
                    self.bytes -= len(transaction)
        if self._also:
            for transaction in dict.fromkeys([tx for tx in transactions if tx in self._also]):
                others = self._also.pop(transaction)
                self._also_count -= len(others)
                tickets.extend(others)
        returned = self._reserved.pop(epoch, None)
        if returned:
            returned.update(self._waiting)
            self._waiting = returned
        return tickets

    def release_through(self, epoch: int) -> None:
        """Epochs up to this one were passed over: what is reserved for them and not committed waits again."""
        for number in sorted((n for n in self._reserved if 0 < n <= epoch), reverse=True):
            self.release(number)

    def _set_aside(self, label: int, chosen: list[bytes]) -> None:
        pop = self._waiting.pop
        self._reserved.setdefault(label, {}).update({transaction: pop(transaction) for transaction in chosen})

    def _take_all(self, request: Request, transactions: Sequence[bytes]) -> bool:
        """Take a request whose transactions are all new and in bounds, without a Python loop body per transaction."""
        count = len(transactions)
        lengths = set(map(len, transactions))
        if not count or min(lengths) < 1 or max(lengths) > self._max_tx_bytes:
            return False
        size = sum(map(len, transactions))
        if len(self) + count > self._max_transactions or self.bytes + size > self._max_bytes:
            return False
        new = dict(zip(transactions, zip([request] * count, range(count), strict=True), strict=True))
        if len(new) < count or not all(
            part.keys().isdisjoint(new) for part in (self._waiting, *self._reserved.values())
        ):
            return False
        self._waiting.update(new)
        self.bytes += size
        return True
