"""What a client has sent, and what it has heard of it: by batch, node and transaction.

A transaction that was sent to several nodes counts once. It is acknowledged with the first node that says "durable",
refused when all of them have refused it, and abandoned when the last node that could answer is gone. Its latency runs
from the scheduled time to the moment at which it was durable on the node whose answer came first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: in the place of the moment at which a transaction was durable: nobody answered, and all who were asked refused
NEVER, REFUSED = math.nan, math.inf


@dataclass
class _Batch:
    """`scheduled`, `durable`: seconds, see `Outstanding.transactions`; `pending`: node → what it has not answered."""

    scheduled: Any
    durable: Any
    pending: dict[int, Any]

    def open(self) -> Any:
        """Which transactions somebody may still answer."""
        waiting = np.zeros(len(self.durable), bool)
        for mask in self.pending.values():
            waiting |= mask
        return waiting & np.isnan(self.durable)


class Outstanding:
    """`by_node`: transactions that a node has not answered."""

    def __init__(self, nodes: int) -> None:
        self.by_node = [0] * nodes
        self.acknowledged = self.abandoned = 0
        self.refused: dict[str, int] = {}
        #: those that somebody may still answer
        self._open: dict[int, _Batch] = {}
        #: (scheduled, durable) of all batches, and of what was not sent
        self._sent: list[tuple[Any, Any]] = []
        self._not_sent: list[tuple[Any, Any]] = []

    def sent(self, number: int, scheduled: Any, nodes: Sequence[int]) -> None:
        """Batch `number`, the next one, went to `nodes`; `scheduled`: seconds, one for each transaction."""
        count = len(scheduled)
        pending = {node: np.ones(count, bool) for node in nodes}
        batch = self._open[number] = _Batch(scheduled, np.full(count, NEVER), pending)
        self._sent.append((batch.scheduled, batch.durable))
        for node in nodes:
            self.by_node[node] += count

    def not_sent(self, scheduled: Any, reason: str) -> None:
        """These were due, but there was nobody to send them to: they count as refused."""
        self._not_sent.append((scheduled, np.full(len(scheduled), REFUSED)))
        self._count_refused(reason, len(scheduled))

    def committed(self, node: int, number: int, positions: Sequence[int] | Any, durable_at: float) -> None:
        """`node` has had these on disk since `durable_at`, seconds."""
        batch, where = self._answered(node, number, positions)
        if batch is None:
            return
        fresh = where[np.isnan(batch.durable[where])]
        batch.durable[fresh] = durable_at
        self.acknowledged += len(fresh)
        self._forget(number, batch)

    def refuse(self, node: int, number: int, positions: Sequence[int] | Any, reason: str) -> None:
        batch, where = self._answered(node, number, positions)
        if batch is None:
            return
        for_good = where[~batch.open()[where] & np.isnan(batch.durable[where])]
        batch.durable[for_good] = REFUSED
        self._count_refused(reason, len(for_good))
        self._forget(number, batch)

    def abandon(self, node: int) -> None:
        """The node is gone, and with it what only its mempool held: nothing more is expected from it."""
        self.by_node[node] = 0
        for number, batch in list(self._open.items()):
            if node in batch.pending:
                before = np.count_nonzero(batch.open())
                del batch.pending[node]
                self.abandoned += int(before - np.count_nonzero(batch.open()))
                self._forget(number, batch)

    @property
    def unanswered(self) -> int:
        """Transactions that nobody answered, the abandoned ones included."""
        return self.abandoned + sum(int(np.count_nonzero(batch.open())) for batch in self._open.values())

    def transactions(self) -> Any:
        """Two rows, a column for each transaction: when it was due, and when it was durable, `NEVER` or `REFUSED`.

        Batch by batch; after them those that were not sent.
        """
        return np.concatenate([np.empty((2, 0)), *map(np.array, [*self._sent, *self._not_sent])], axis=1)

    def _answered(self, node: int, number: int, positions: Sequence[int]) -> tuple[_Batch | None, Any]:
        """The batch and those positions that the node had not answered yet; None if nothing is expected of it."""
        batch = self._open.get(number)
        mask = batch.pending.get(node) if batch is not None else None
        if mask is None:
            return None, np.empty(0, np.int64)
        # A node may lie, and name a position twice or one that does not exist.
        named = np.asarray(positions, np.int64)
        said = np.zeros(len(mask), bool)
        said[named[(named >= 0) & (named < len(mask))]] = True
        where = np.flatnonzero(said & mask)
        mask[where] = False
        self.by_node[node] -= len(where)
        return batch, where

    def _count_refused(self, reason: str, count: int) -> None:
        if count:
            self.refused[reason] = self.refused.get(reason, 0) + count

    def _forget(self, number: int, batch: _Batch) -> None:
        """Drop a batch that nobody will answer any more."""
        if not any(mask.any() for mask in batch.pending.values()):
            del self._open[number]
