"""Transactions with their fingerprints: found, compared and told apart many at a time, and yet exactly.

Equal fingerprints are a hint only: nodes have different keys, so a verdict that rested on fingerprints could fork the
ledger. Whatever has equal ones is compared byte by byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from honeybadger.transactions import U64, FingerprintKey, Index, Transactions

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fingerprinted:
    """`fingerprints[i]` is that of `transactions[i]`, shape (n,), uint64."""

    transactions: Transactions
    fingerprints: U64

    @classmethod
    def of(cls, transactions: Transactions, key: FingerprintKey) -> Fingerprinted:
        """With the fingerprints that the key gives."""
        return cls(transactions, transactions.fingerprints(key))

    def __len__(self) -> int:
        return len(self.fingerprints)

    @cached_property
    def order(self) -> Index:
        """Positions in ascending order of fingerprints, shape (n,)."""
        return np.argsort(self.fingerprints)

    @cached_property
    def ascending(self) -> U64:
        """The fingerprints in `order`."""
        return self.fingerprints[self.order]

    def take(self, indices: Index) -> Fingerprinted:
        """Those at `indices`, in that order."""
        return Fingerprinted(self.transactions.take(indices), self.fingerprints[indices])

    def first_equal(self) -> Index | None:
        """For each transaction the position of the first one that equals it; None if no two are equal."""
        same = np.flatnonzero(self.ascending[1:] == self.ascending[:-1])
        if not len(same):
            return None
        # Neighbours of one group of equal fingerprints; usually their bytes are equal as well.
        groups = np.concatenate([[True], self.ascending[1:] != self.ascending[:-1]])
        first = np.empty(len(self), np.intp)
        lowest = np.minimum.reduceat(self.order, np.flatnonzero(groups))
        first[self.order] = lowest[np.cumsum(groups) - 1]
        others = np.flatnonzero(first != np.arange(len(self)))
        for position in others[~equal_pairs(self.transactions, others, self.transactions, first[others])].tolist():
            first[position] = self._first_by_bytes(position, int(first[position]))
        return first

    def _first_by_bytes(self, position: int, lowest: int) -> int:
        """As `first_equal`, of one whose fingerprint another has as well."""
        wanted = self.transactions[position]
        group = lowest + np.flatnonzero(self.fingerprints[lowest:position] == self.fingerprints[position])
        return next((other for other in group.tolist() if self.transactions[other] == wanted), position)


def equal_pairs(these: Transactions, a: Index, those: Transactions, b: Index) -> Mask:
    """Whether `these[a[i]]` and `those[b[i]]` are the same bytes, shape (len(a),)."""
    equal: Mask = these.lengths[a] == those.lengths[b]
    left, right = these.take(a[equal]), those.take(b[equal])
    if left.data != right.data:
        equal[equal] = [one == other for one, other in zip(left, right, strict=True)]
    return equal
