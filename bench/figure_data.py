"""The numbers of each figure, as they are drawn and as they are written to the CSV beside it.

Every row belongs to a `line`, named by what varies in the experiment besides the figure's own axes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from bench.experiment import varied_keys
from bench.results import Group, in_words
from bench.series import read_csv

Row = dict[str, Any]

#: what is varied along a curve of latency against throughput
LOAD_KEYS = ("rate", "batch-size", "window", "pipeline-depth")


def _keys(groups: Sequence[Group], *without: str) -> list[str]:
    return [key for key in varied_keys([group.options for group in groups]) if key not in without]


def _spread(name: str, values: Sequence[float], factor: float = 1.0) -> Row:
    """Median, min and max of a figure over repeats; None where nothing was measured."""
    if not values:
        return {name: None, f"{name}_min": None, f"{name}_max": None}
    found = {name: median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
    return {key: value * factor for key, value in found.items()}


def curve_rows(groups: Sequence[Group], key: str) -> list[Row]:
    """Throughput against `key`; only lines of two points and more."""
    keys = _keys(groups, key)
    lines: dict[str, list[Row]] = defaultdict(list)
    for group in groups:
        values = group.figures("throughput_tx_per_s")
        if values:
            line = group.label(keys) if keys else "all"
            lines[line].append({"line": line, key: group.options[key], **_spread("throughput_tx_per_s", values)})
    return [row for rows in lines.values() if len(rows) > 1 for row in sorted(rows, key=lambda row: float(row[key]))]


def latency_rows(groups: Sequence[Group]) -> list[Row]:
    """Latency against throughput, along what loads the system; `point` says how far along the line a point is."""
    keys = _keys(groups, *LOAD_KEYS)
    along = [key for key in _keys(groups) if key in LOAD_KEYS]
    lines: dict[str, list[Row]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: [_load(group.options[key]) for key in along]):
        throughput, p50 = group.figures("throughput_tx_per_s"), group.figures("latency_s.p50")
        if not throughput or not p50:
            continue
        line = group.label(keys) if keys else "all"
        lines[line].append(
            {
                "line": line,
                "point": ", ".join(in_words(key, group.options[key]) for key in along),
                **_spread("throughput_tx_per_s", throughput),
                **_spread("latency_p50_ms", p50, 1e3),
                **_spread("latency_p99_ms", group.figures("latency_s.p99"), 1e3),
                "lower_bounds": " ".join(name for name in ("p50", "p99") if group.is_bound(f"latency_s.{name}")),
            }
        )
    return [row for rows in lines.values() for row in rows]


def _load(value: Any) -> float:
    """How much a load is, for its place along a line: beyond saturation the line turns back. No rate is the most."""
    return float(value) if isinstance(value, int | float) and value else math.inf


def series_rows(groups: Sequence[Group], most: int) -> list[Row]:
    """Second by second, of the first valid repeat of each of the first `most` groups."""
    keys = _keys(groups)
    rows: list[Row] = []
    for group in groups[:most]:
        path = group.valid[0].directory / "series.csv"
        for row in read_csv(path) if path.exists() else ():
            numbers = {key: float(value) if value else None for key, value in row.items()}
            rows.append({"line": group.label(keys), **numbers, "second": int(row["second"])})
    return rows


def fault_spans(summary: dict[str, Any]) -> list[tuple[float, float | None, str]]:
    """(begin, end, words) of what was done to the nodes, seconds of the window; end None: until the end."""
    spans: dict[tuple[float, float | None], list[int]] = defaultdict(list)
    for outage in summary.get("outages", ()):
        spans[outage["killed_at_s"], outage["restarted_at_s"]].append(outage["node"])
    found = [(begin, end, f"killed: {', '.join(map(str, nodes))}") for (begin, end), nodes in spans.items()]
    links: dict[tuple[float, float | None], list[str]] = defaultdict(list)
    for fault in summary.get("link_faults", ()):
        zero = summary["link_fault_zero_s"]
        end = fault.get("end_s")
        links[zero + fault.get("start_s", 0.0), None if end is None else zero + end].append(fault["kind"])
    found += [(begin, end, ", ".join(sorted(set(kinds)))) for (begin, end), kinds in links.items()]
    return sorted(found, key=lambda span: span[0])


def phase_rows(groups: Sequence[Group], most: int) -> list[Row]:
    """Mean milliseconds of each step of an epoch, over repeats, of the first `most` groups."""
    keys = _keys(groups)
    rows: list[Row] = []
    for group in groups[:most]:
        steps = dict.fromkeys(step for result in group.valid for step in result.summary.get("phase_s", {}))
        for step in steps:
            values = group.figures(f"phase_s.{step}")
            if values:
                rows.append({"line": group.label(keys), "step": step, "mean_ms": 1e3 * mean(values)})
    return rows


def cdf_rows(groups: Sequence[Group]) -> list[Row]:
    """Share of the offered transactions up to each latency, of all valid repeats together: below 1 in the end if some
    were never answered."""
    keys = _keys(groups)
    rows: list[Row] = []
    for group in groups:
        counts: dict[float, int] = defaultdict(int)
        for result in group.valid:
            path = result.directory / "latency.csv"
            for row in read_csv(path) if path.exists() else ():
                counts[float(row["upper_s"])] += int(row["count"])
        total, so_far = sum(counts.values()), 0
        for upper_s in sorted(filter(math.isfinite, counts)):
            so_far += counts[upper_s]
            rows.append({"line": group.label(keys), "latency_ms": 1e3 * upper_s, "share": so_far / total})
    return rows


def cost_rows(groups: Sequence[Group], most: int) -> list[Row]:
    """Processor time and bytes of all correct nodes for each committed transaction, of the first `most` groups."""
    keys = _keys(groups)
    return [
        {
            "line": group.label(keys),
            **_spread("cpu_us", group.figures("cpu_s_per_tx"), 1e6),
            **_spread("sent_bytes", group.figures("sent_bytes_per_tx")),
        }
        for group in groups[:most]
        if group.figures("cpu_s_per_tx")
    ]
