"""How long transactions waited, those without an answer included.

A sample of latencies is of all transactions that were OFFERED in some time, not of those that were answered in it:
what is answered late, or never, is just what a sample of answers leaves out. So each is waited for beyond that time
(the drain). One whose answer never comes has waited at least until the end of the drain, and ranks behind all that
were answered: a quantile that falls among such transactions is a lower bound, and is called so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def distribution(values: Sequence[float] | Any, quantiles: dict[str, float]) -> dict[str, float | None]:
    """Mean and quantiles in seconds, or None where nothing was measured."""
    if not len(values):
        return {"mean": None, **dict.fromkeys(quantiles)}
    data = np.asarray(values, dtype=float)
    points = np.quantile(data, list(quantiles.values()))
    return {"mean": float(data.mean()), **{name: float(p) for name, p in zip(quantiles, points, strict=True)}}


@dataclass(frozen=True)
class Waits:
    """Of some transactions, in seconds. `answered`: from the scheduled sending time to the answer "durable"; `never`:
    of those without it, from the scheduled time to the end of the drain."""

    answered: Any
    never: Any

    def __len__(self) -> int:
        return len(self.answered) + len(self.never)

    def distribution(self, quantiles: dict[str, float]) -> dict[str, float | None]:
        """Mean and quantiles of all of them; those in `at_least` are lower bounds."""
        longest = self.answered.max() if len(self.answered) else 0.0
        return distribution(np.concatenate([self.answered, np.maximum(self.never, longest)]), quantiles)

    def at_least(self, quantiles: dict[str, float]) -> list[str]:
        """The names of those figures, "mean" among them, that depend on transactions without an answer."""
        if not len(self.never):
            return []
        last = len(self) - 1
        return ["mean", *(name for name, q in quantiles.items() if math.ceil(q * last) >= len(self.answered))]
