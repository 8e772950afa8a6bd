"""What all clients of a run offered and heard, put together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench import load
from bench.workload import TxSizes, Workload


@dataclass(frozen=True)
class Offer:
    """One client's transactions: where they come from, its batches, and which were acknowledged (two rows)."""

    workload: Workload
    batches: list[tuple[int, int, int]]
    acknowledged: Any


@dataclass(frozen=True)
class Offers:
    """Of all clients. `latencies`: two rows, when durable and how long it took, seconds; counts as in `load.Result`."""

    offers: list[Offer]
    latencies: Any
    offered_in_window: int
    late: int
    unanswered: int
    abandoned: int
    refused: dict[str, int]
    offered_by_second: dict[int, int]

    def latencies_in(self, window: tuple[float, float]) -> Any:
        """Of the transactions that were durable inside `window`, seconds."""
        return self.latencies[1][(self.latencies[0] >= window[0]) & (self.latencies[0] < window[1])]


def client_directory(directory: Path, client: int) -> Path:
    """Where a client of a run leaves its result."""
    return directory / f"client-{client}"


def read_offers(directory: Path, clients: int, seed: int, sizes: TxSizes) -> Offers:
    """What the clients of the run in `directory` left behind."""
    offers, results, latencies = [], [], []
    for client in range(clients):
        home = client_directory(directory, client)
        result = msgspec.json.decode((home / "load.json").read_bytes(), type=load.Result)
        results.append(result)
        offers.append(Offer(Workload(seed, sizes, client), result.batches, np.load(home / "acknowledged.npy")))
        latencies.append(np.load(home / "latencies.npy"))
    refused: Counter[str] = Counter()
    by_second: Counter[int] = Counter()
    for result in results:
        refused.update(result.refused)
        by_second.update(result.offered_by_second)
    return Offers(
        offers,
        np.concatenate(latencies, axis=1),
        sum(result.offered_in_window for result in results),
        sum(result.late for result in results),
        sum(result.unanswered for result in results),
        sum(result.abandoned for result in results),
        dict(refused),
        dict(sorted(by_second.items())),
    )
