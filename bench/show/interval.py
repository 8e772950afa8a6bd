"""The mean of repeats with its 95 % confidence interval, by Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench.measure.student import t_quantile

#: of fewer values the interval says little
FEWEST = 5


@dataclass(frozen=True)
class Interval:
    """From `mean - half` to `mean + half`."""

    mean: float
    half: float


def interval(values: Sequence[float]) -> Interval | None:
    """None of fewer than `FEWEST` values, which are taken to be independent and roughly normal."""
    count = len(values)
    if count < FEWEST:
        return None
    return Interval(fmean(values), t_quantile(count - 1) * stdev(values) / math.sqrt(count))
