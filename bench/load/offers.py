"""What all clients of a run offered and heard, put together."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.load.client import Result
from bench.load.outstanding import REFUSED
from bench.load.waits import Waits
from bench.plan.workload import TxSizes, Workload


@dataclass(frozen=True)
class Offer:
    """One client's transactions: where they come from, its batches, and which of them were acknowledged (a mask)."""

    workload: Workload
    batches: list[tuple[int, int, int]]
    acknowledged: Any


@dataclass(frozen=True)
class Offers:
    """Of all clients; counts are over the whole run, as in `client.Result`, but of all that carried transactions stand
    for; only `offers` are of those that were carried.

    `scheduled`, `durable`: of each transaction, see `Outstanding.transactions`; `drained`: until when it was waited
    for, at most. Seconds of one clock.
    """

    offers: list[Offer]
    scheduled: Any
    durable: Any
    drained: Any
    late: int
    unanswered: int
    abandoned: int
    refused: dict[str, int]

    def within(self, window: tuple[float, float]) -> Any:
        """Which transactions were due inside `window` (a mask)."""
        return (self.scheduled >= window[0]) & (self.scheduled < window[1])

    def waits(self, which: Any) -> Waits:
        """How long those of `which` (a mask, or indices) waited."""
        scheduled, durable, drained = self.scheduled[which], self.durable[which], self.drained[which]
        answered = np.isfinite(durable)
        return Waits((durable - scheduled)[answered], (drained - scheduled)[~answered])

    def refused_of(self, which: Any) -> int:
        """How many of them nobody took."""
        return int(np.count_nonzero(self.durable[which] == REFUSED))

    def backlog(self, at: float, due_before: float | None = None) -> int:
        """How many that were due before `at`, or before `due_before`, were not answered at `at`, nor are refused."""
        done = (self.durable < at) | (self.durable == REFUSED)
        due = self.scheduled < (at if due_before is None else due_before)
        return int(np.count_nonzero(due & ~done))

    def by_second(self, start: float) -> dict[int, Any]:
        """Second after `start` (may be negative) → the indices of the transactions that were due in it."""
        order = np.argsort(self.scheduled, kind="stable")
        seconds, first = np.unique(np.floor(self.scheduled[order] - start).astype(np.int64), return_index=True)
        return dict(zip(seconds.tolist(), np.split(order, first[1:]), strict=True)) if len(order) else {}


def client_directory(directory: Path, client: int) -> Path:
    return directory / f"client-{client}"


def read_offers(directory: Path, clients: int, seed: int, sizes: TxSizes) -> Offers:
    """What the clients of the run in `directory` left behind."""
    offers, results, columns = [], [], [np.empty((3, 0))]
    for client in range(clients):
        home = client_directory(directory, client)
        result = msgspec.json.decode((home / "load.json").read_bytes(), type=Result)
        results.append(result)
        scheduled, durable = np.load(home / "transactions.npy")
        sent = sum(count for _, count, _ in result.batches)
        carried = TxSizes.parse(result.carried_bytes) if result.carried_bytes else sizes
        offers.append(Offer(Workload(seed, carried, client), result.batches, np.isfinite(durable[:sent])))
        column = np.array([scheduled, durable, np.full(len(scheduled), result.drained_at)])
        columns.append(np.repeat(column, result.bundle, axis=1))
    refused: Counter[str] = Counter()
    for result in results:
        refused.update({reason: count * result.bundle for reason, count in result.refused.items()})
    late, unanswered, abandoned = (
        sum(getattr(result, name) * result.bundle for result in results) for name in ("late", "unanswered", "abandoned")
    )
    scheduled, durable, drained = np.concatenate(columns, axis=1)
    return Offers(offers, scheduled, durable, drained, late, unanswered, abandoned, dict(refused))
