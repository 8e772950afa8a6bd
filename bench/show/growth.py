"""How the processor time of an epoch grows with N when every node proposes the same number of transactions (B / N)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from bench.measure.results import Group
from bench.show.figure_data import FOLLOWING_KEYS, Row, cpu_per_epoch, names, row_of
from bench.show.words import number

#: what may differ along a line
ALONG = ("nodes", "batch-size", *FOLLOWING_KEYS)
CPU = "cpu_s_per_epoch"


def at_fixed_share(groups: Sequence[Group], figure: str = CPU) -> list[Group]:
    """Those with a value of `figure` that are on a line with others of the same B / N and settings, line by line, in
    order of N."""
    lines: dict[tuple[Fraction, str], list[Group]] = defaultdict(list)
    measured = [group for group in groups if group.figures(figure)]
    for group, name in zip(measured, names(measured, *ALONG), strict=True):
        lines[_share(group), name].append(group)
    return [
        group
        for line in lines.values()
        if len({group.options["nodes"] for group in line}) > 1
        for group in sorted(line, key=lambda group: int(group.options["nodes"]))
    ]


def lines_of_share(groups: Sequence[Group]) -> list[str]:
    """The name of each one's line, with B / N if that varies."""
    several = len({_share(group) for group in groups}) > 1
    lines = []
    for group, name in zip(groups, names(groups, *ALONG), strict=True):
        said = f"B / N = {number(float(_share(group)))}"
        lines.append(name if not several else said if name == "all runs" else f"{name}, {said}")
    return lines


def growth_rows(groups: Sequence[Group]) -> list[Row]:
    """Seconds of all nodes for an epoch, against N; `exponent` is that of the line, as `exponent_of` fits it."""
    lines: dict[str, list[Row]] = {}
    for group, line in zip(groups, lines_of_share(groups), strict=True):
        lines.setdefault(line, []).append(row_of(group, line) | cpu_per_epoch(group))
    return [row | {"exponent": exponent_of(rows)} for rows in lines.values() for row in rows]


def exponent_of(rows: Sequence[Row]) -> float:
    """The k of N^k that fits the medians best: least squares of logarithms. All rows are of one line."""
    return fit(rows)[0]


def fit(rows: Sequence[Row]) -> tuple[float, float]:
    """(k, c) of c · N^k."""
    x, y = (np.log([row[name] for row in rows]) for name in ("nodes", "cpu_s_per_epoch"))
    away = x - x.mean()
    k = float((away * (y - y.mean())).sum() / np.square(away).sum())
    return k, math.exp(float(y.mean()) - k * float(x.mean()))


def in_words(rows: Sequence[Row]) -> str:
    """The exponent of one line; with three points or more also between the first two and between the last two, because
    what dominates may change in between."""
    distinct = sorted({row["nodes"] for row in rows})
    text = f"grows as N^{exponent_of(rows):.2f}"
    if len(distinct) < 3:
        return text
    ends = list(pairwise(distinct))
    parts = [
        f"N^{exponent_of([row for row in rows if row['nodes'] in pair]):.2f} from {pair[0]} to {pair[1]}"
        for pair in (ends[0], ends[-1])
    ]
    return f"{text}, {' and '.join(parts)}"


def _share(group: Group) -> Fraction:
    return Fraction(group.options["batch-size"], group.options["nodes"])
