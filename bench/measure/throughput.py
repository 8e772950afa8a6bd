"""Throughput from commit to commit, with its error.

Blocks are large, so counting those that end inside the measured window errs by up to one block: 17 % if there are six.
Here the transactions of a block were made evenly over its *interval*, the time since the commit before it. The window
gets the part of each interval that lies inside it. So

- blocks that come at a constant rate give exactly that rate, whatever their sizes and wherever the window begins;
- windows side by side add up to the whole, so that over all places of the window the mean is right: no bias towards
  short intervals, which fit into a window more often than long ones do;
- waiting at an edge counts like waiting in the middle. A block that ends a stall spreads over the stall, and the time
  after the very last block of the run counts with no transactions.

A commit is when the last correct node has the block on its disk.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.measure.student import t_quantile

#: the error is worked out from at most so many groups of consecutive intervals. Neighbours depend on each other: blocks
#: come in pairs where epochs overlap, and a machine has slow spells
MOST_GROUPS = 20


@dataclass(frozen=True)
class Commit:
    """A block that all correct nodes have on disk: since when, seconds, and what is in it."""

    at: float
    transactions: int
    bytes: int


@dataclass(frozen=True)
class Throughput:
    """What the window has of all intervals: `transactions`, `bytes`, and `epochs`; all with fractions.

    `error_tx_per_s`: half of the 95 % confidence interval of `tx_per_s`; None if no block ended in the window.
    """

    length_s: float
    transactions: float
    bytes: float
    epochs: float
    error_tx_per_s: float | None

    @property
    def tx_per_s(self) -> float:
        return self.transactions / self.length_s

    @property
    def bytes_per_s(self) -> float:
        return self.bytes / self.length_s


def throughput(window: tuple[float, float], began: float, commits: Sequence[Commit]) -> Throughput:
    """Of `commits`, those of the whole run, in the `window` (start, end), seconds. `began`: when the nodes could agree
    on a first block.

    Without a block that ends in the window nothing was committed in it, and everything is 0. With one, the error is the
    whole figure.
    """
    start, end = window
    length = end - start
    inside = sum(start <= one.at < end for one in commits)
    if not inside:
        return Throughput(length, 0.0, 0.0, 0.0, None)
    ordered = sorted(commits, key=lambda one: one.at)
    at = np.array([one.at for one in ordered])
    begin = np.minimum(np.concatenate([[began], at[:-1]]), at)
    overlap = np.maximum(np.minimum(at, end) - np.maximum(begin, start), 0.0)
    # Blocks that become durable together have no time between them, and are where they end.
    lasted = at - begin
    share = np.where(lasted > 0, overlap / np.where(lasted > 0, lasted, 1.0), (start <= at) & (at < end))
    transactions = share * np.array([one.transactions for one in ordered], dtype=float)
    size = share * np.array([one.bytes for one in ordered], dtype=float)
    total = float(transactions.sum())
    if inside == 1:
        error = total / length
    else:
        # Time that belongs to no interval: before the first could begin, and after the last block of the run.
        before, after = max(0.0, float(begin[0]) - start), max(0.0, end - float(at[-1]))
        took = np.concatenate([[before], overlap, [after]])
        made = np.concatenate([[0.0], transactions, [0.0]])
        used = (took > 0) | (made > 0)
        error = _error(made[used], took[used], inside)
    return Throughput(length, total, float(size.sum()), float(share.sum()), error)


def _error(made: np.ndarray, took: np.ndarray, blocks: int) -> float:
    """Half of the 95 % interval of the rate Σ made / Σ took, a ratio of sums over intervals, by Student's t.

    Each interval deviates by what it made more than the mean rate gives in its time. Deviations are summed within
    groups of consecutive intervals, one interval each if there are few, and the spread of these sums counts. It is 0
    at a constant rate, and falls with the root of the number of epochs.
    """
    length = float(took.sum())
    deviations = made - float(made.sum()) / length * took
    groups = min(blocks, MOST_GROUPS)
    sums = np.array([part.sum() for part in np.array_split(deviations, groups)])
    return t_quantile(groups - 1) * math.sqrt(groups / (groups - 1) * float(np.square(sums).sum())) / length
