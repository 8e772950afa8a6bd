"""Transactions.

Unique, incompressible, and reproducible from a seed, so that a ledger can be checked against what was offered.
"""

from __future__ import annotations

import random

#: below this many random bytes, "unique" would be a hope
SHORTEST_TX = 16


class Workload:
    """The transactions of one run: batch k is a function of (seed, k, size) only."""

    def __init__(self, seed: int, tx_bytes: int) -> None:
        if tx_bytes < SHORTEST_TX:
            raise ValueError(f"transactions of {tx_bytes} bytes cannot all be different: at least {SHORTEST_TX} bytes")
        self._seed = seed
        self.tx_bytes = tx_bytes

    def batch(self, number: int, count: int) -> list[bytes]:
        """`count` transactions of `tx_bytes` random bytes each."""
        size = self.tx_bytes
        data = random.Random(f"workload {self._seed} {number}").randbytes(count * size)
        return [data[start : start + size] for start in range(0, count * size, size)]
