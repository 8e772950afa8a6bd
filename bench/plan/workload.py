"""Transactions.

Unique, incompressible, and reproducible from a seed, so that a ledger can be checked against what was offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from honeybadger.transactions import Transactions

#: below this many random bytes, "unique" would be a hope
SHORTEST_TX = 16
#: an exponential distribution is cut at this multiple of its mean
EXPONENTIAL_CUT = 20


@dataclass(frozen=True)
class TxSizes:
    """How long transactions are, bytes: all `low`, or drawn between `low` and `high`, with mean `mean`.

    Written "250" (all the same), "100-500" (uniform) or "exp:250" (exponential with mean 250 above the shortest
    length that can be unique, 16 bytes, cut at 20 times the mean).
    """

    text: str
    low: int
    high: int
    mean: int

    @staticmethod
    def parse(text: str | int) -> TxSizes:
        """ValueError, in one line, for anything else."""
        text = str(text).strip()
        found = re.fullmatch(r"(?:(exp:)?(\d{1,9})|(\d{1,9})-(\d{1,9}))", text, re.ASCII)
        if not found:
            raise ValueError(f'"{text}" is no size of transactions: write 250, 100-500 or exp:250')
        exponential, single, first, last = found.groups()
        if exponential:
            mean = int(single)
            sizes = TxSizes(text, SHORTEST_TX, EXPONENTIAL_CUT * mean, mean)
        else:
            low, high = (int(single), int(single)) if single else (int(first), int(last))
            sizes = TxSizes(text, low, high, (low + high) // 2)
        if sizes.low > sizes.high:
            raise ValueError(f'"{text}": the shortest comes first')
        if min(sizes.low, sizes.mean) < SHORTEST_TX:
            shortest = min(sizes.low, sizes.mean)
            raise ValueError(f"transactions of {shortest} bytes cannot all be different: at least {SHORTEST_TX} bytes")
        return sizes

    def draw(self, generator: np.random.Generator, count: int) -> Any:
        if self.text.startswith("exp:"):
            longer = generator.exponential(self.mean - self.low, count).astype(np.int64) if self.mean > self.low else 0
            return np.minimum(self.low + np.zeros(count, np.int64) + longer, self.high)
        return generator.integers(self.low, self.high, count, endpoint=True)


class Workload:
    """The transactions of one client of a run: batch k is a function of (seed, client, k, sizes) only."""

    def __init__(self, seed: int, sizes: TxSizes | str | int, client: int = 0) -> None:
        self._seed = seed
        self._client = client
        self.sizes = sizes if isinstance(sizes, TxSizes) else TxSizes.parse(sizes)

    def batch(self, number: int, count: int) -> Transactions:
        key = sha256(f"workload {self._seed} {self._client} {number}".encode()).digest()
        if self.sizes.low == self.sizes.high:
            lengths = np.full(count, self.sizes.low, np.int64)
        else:
            lengths = self.sizes.draw(np.random.default_rng(int.from_bytes(key)), count)
        ends = np.cumsum(lengths)
        return Transactions(_random_bytes(key, int(ends[-1]) if count else 0), ends.astype(np.uint32))


def _random_bytes(key: bytes, count: int) -> bytes:
    """AES-256 in counter mode: twenty times as fast as `random`, and the processors are shared with the nodes."""
    return Cipher(AES(key), CTR(bytes(16))).encryptor().update(bytes(count))
