"""What a client has sent and has not heard of: by batch, node and transaction.

A transaction that was sent to several nodes counts once. It is acknowledged with the first node that says "durable",
refused when all of them have refused it, and abandoned when the last node that could answer is gone. Its latency runs
from the scheduled time to the moment at which it was durable on the node whose answer came first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class _Batch:
    """`scheduled`: seconds; `done`: who is acknowledged; `pending`: node → what it has not answered."""

    scheduled: Any
    done: Any
    pending: dict[int, Any]

    def open(self) -> Any:
        """Which transactions somebody may still answer."""
        waiting = np.zeros(len(self.done), bool)
        for mask in self.pending.values():
            waiting |= mask
        return waiting & ~self.done


class Outstanding:
    """See the module. `by_node`: transactions that a node has not answered; arrays grow with every answer."""

    def __init__(self, nodes: int) -> None:
        self.by_node = [0] * nodes
        self.acknowledged = self.abandoned = 0
        self.refused: dict[str, int] = {}
        self._batches: dict[int, _Batch] = {}
        self._durable: deque[Any] = deque()
        self._latency: deque[Any] = deque()
        self._positions: deque[Any] = deque()

    def sent(self, number: int, scheduled: Any, nodes: Sequence[int]) -> None:
        """Batch `number` went to `nodes`; `scheduled`: seconds, one for each transaction."""
        count = len(scheduled)
        pending = {node: np.ones(count, bool) for node in nodes}
        self._batches[number] = _Batch(scheduled, np.zeros(count, bool), pending)
        for node in nodes:
            self.by_node[node] += count

    def committed(self, node: int, number: int, positions: Sequence[int], durable_ns: int) -> None:
        """`node` has these on disk since `durable_ns`; 0 if they were in its ledger before it was asked."""
        batch, where = self._answered(node, number, positions)
        if batch is None:
            return
        fresh = where[~batch.done[where]]
        batch.done[fresh] = True
        self.acknowledged += len(fresh)
        self._positions.append(np.stack([np.full(len(fresh), number, np.int64), fresh]))
        if durable_ns:
            durable = durable_ns / 1e9
            self._durable.append(np.full(len(fresh), durable))
            self._latency.append(durable - batch.scheduled[fresh])
        self._forget(number, batch)

    def refuse(self, node: int, number: int, positions: Sequence[int], reason: str) -> None:
        """`node` does not take these."""
        batch, where = self._answered(node, number, positions)
        if batch is None:
            return
        for_good = np.count_nonzero(~batch.open()[where] & ~batch.done[where])
        self.count_refused(reason, int(for_good))
        self._forget(number, batch)

    def count_refused(self, reason: str, count: int) -> None:
        """Transactions that nobody took."""
        if count:
            self.refused[reason] = self.refused.get(reason, 0) + count

    def abandon(self, node: int) -> None:
        """The node is gone, and with it what only its mempool held: nothing more is expected from it."""
        self.by_node[node] = 0
        for number, batch in list(self._batches.items()):
            if node in batch.pending:
                before = np.count_nonzero(batch.open())
                del batch.pending[node]
                self.abandoned += int(before - np.count_nonzero(batch.open()))
                self._forget(number, batch)

    @property
    def unanswered(self) -> int:
        """Transactions that nobody answered, the abandoned ones included."""
        return self.abandoned + sum(int(np.count_nonzero(batch.open())) for batch in self._batches.values())

    def latencies(self) -> Any:
        """Two rows: when each was durable, and how long after its scheduled time; seconds."""
        if not self._durable:
            return np.empty((2, 0))
        return np.array([np.concatenate(self._durable), np.concatenate(self._latency)])

    def acknowledged_positions(self) -> Any:
        """Two rows: batch, and position in it, of each acknowledged transaction."""
        empty: Any = np.empty((2, 0), np.int64)
        return np.concatenate([empty, *self._positions], 1)

    def _answered(self, node: int, number: int, positions: Sequence[int]) -> tuple[_Batch | None, Any]:
        """The batch and those positions that the node had not answered yet; None if nothing is expected of it."""
        batch = self._batches.get(number)
        mask = batch.pending.get(node) if batch is not None else None
        if mask is None:
            return None, np.empty(0, np.int64)
        where = np.array(positions, np.int64)
        where = where[mask[where]]
        mask[where] = False
        self.by_node[node] -= len(where)
        return batch, where

    def _forget(self, number: int, batch: _Batch) -> None:
        """Drop a batch that nobody will answer any more."""
        if not any(mask.any() for mask in batch.pending.values()):
            del self._batches[number]
