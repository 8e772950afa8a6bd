"""The leader's side: what every follower has forwarded. Of each it keeps a little more than a correct one may have on
its way, and drops the rest."""

from collections import deque

import numpy as np

from honeybadger.protocols.batching.forwarder import chunk_limit, cost, forward_limit
from honeybadger.protocols.parameters import Parameters
from honeybadger.transactions import COUNT_BYTES, END_BYTES, Transactions


class Pool:
    """What each follower has forwarded, first in first out."""

    def __init__(self, parameters: Parameters) -> None:
        #: cost of what is kept of one sender: twice what a correct one has on its way, since it forwards all of it
        #: again when it hears that the primary has restarted
        self.limit = 2 * (forward_limit(parameters) + chunk_limit(parameters))
        #: sender → the view in which it forwarded, the transactions in their order, and their cost
        self._views: dict[int, int] = {}
        self._chunks: dict[int, deque[Transactions]] = {}
        self._costs: dict[int, int] = {}
        #: transactions that wait
        self.count = 0

    def add(self, sender: int, view: int, transactions: Transactions) -> None:
        """Keep what `sender` forwarded in `view`, as far as its share of memory allows. A newer view replaces older
        ones: the sender forwards everything again then."""
        if view < self._views.get(sender, 0):
            return
        if view > self._views.get(sender, 0):
            self._drop(sender)
        self._views[sender] = view
        amount = cost(transactions)
        if self._costs.get(sender, 0) + amount > self.limit:
            return
        self._chunks.setdefault(sender, deque()).append(transactions)
        self._costs[sender] = self._costs.get(sender, 0) + amount
        self.count += len(transactions)

    def keep_only(self, view: int) -> None:
        """What was forwarded in earlier views is forwarded again by those who still want it."""
        for sender in [sender for sender, theirs in self._views.items() if theirs < view]:
            self._drop(sender)

    @property
    def senders(self) -> list[int]:
        return [sender for sender, chunks in self._chunks.items() if chunks]

    def take(self, sender: int, count: int, room: int) -> Transactions:
        """At most `count` transactions, in at most `room` encoded bytes."""
        chunks = self._chunks.get(sender)
        parts: list[Transactions] = []
        room -= COUNT_BYTES
        while chunks and count:
            chunk = chunks[0]
            sizes = np.cumsum(chunk.lengths[:count].astype(np.int64) + END_BYTES)
            fitting = int(np.searchsorted(sizes, room, side="right"))
            if not fitting:
                break
            parts.append(chunk[:fitting])
            room -= int(sizes[fitting - 1])
            count -= fitting
            if fitting < len(chunk):
                chunks[0] = chunk[fitting:]
                break
            chunks.popleft()
        taken = Transactions.concat(parts)
        self._costs[sender] = self._costs.get(sender, 0) - cost(taken)
        self.count -= len(taken)
        return taken

    def held_bytes(self) -> int:
        return sum(self._costs.values())

    def _drop(self, sender: int) -> None:
        self.count -= sum(map(len, self._chunks.pop(sender, ())))
        self._costs.pop(sender, None)
