"""The numbers of each figure, for the drawing and for its CSV.

Every row belongs to a `line`, named by what varies in the experiment apart from the axes of the figure.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from bench.measure.results import Group
from bench.measure.timeline import read_csv
from bench.plan.experiment import varied_keys
from bench.show.clock import clocks_of
from bench.show.words import line_names, number, setting
from honeybadger.node.crypto_time import OPERATIONS

Row = dict[str, Any]

#: points of a line may differ in these, since larger batches and more nodes take longer and need more waiting
FOLLOWING_KEYS = ("duration", "warmup", "window")
#: keys that vary along a curve of latency against throughput
LOAD_KEYS = ("rate", "batch-size", "window", "pipeline-depth")


def names(groups: Sequence[Group], *without: str) -> list[str]:
    """What to call the line of each group: what varies among them, but for `without`."""
    return line_names([group.options for group in groups], _keys(groups, *without))


def _keys(groups: Sequence[Group], *without: str) -> list[str]:
    return [key for key in varied_keys([group.options for group in groups]) if key not in without]


def lines_along(groups: Sequence[Group], key: str) -> list[str]:
    """The names of their lines along `key`: what only follows from it (`FOLLOWING_KEYS`) makes no other line."""
    lines = names(groups, key, *FOLLOWING_KEYS)
    points = {(line, group.options[key]) for line, group in zip(lines, groups, strict=True)}
    return lines if len(points) == len(groups) else names(groups, key)


def _named(group: Group, line: str) -> Row:
    """How each row begins; lines of a protocol look alike."""
    return {"line": line, "protocol": group.options["protocol"]}


def row_of(group: Group, line: str) -> Row:
    """The beginning of a row of a figure against a parameter."""
    return {**_named(group, line), "nodes": group.options["nodes"], "batch-size": group.options["batch-size"]}


def spread_of(name: str, values: Sequence[float], factor: float = 1.0) -> Row:
    """Median, min and max of a figure over repeats; None where nothing was measured."""
    names = (name, f"{name}_min", f"{name}_max")
    if not values:
        return dict.fromkeys(names)
    return dict(zip(names, (factor * median(values), factor * min(values), factor * max(values)), strict=True))


def on_curves(groups: Sequence[Group], key: str, figure: str) -> list[Group]:
    """Those with a value of `figure` that are on a line along `key` with others, in order along it."""
    lines: dict[str, list[Group]] = defaultdict(list)
    for group, line in zip(groups, lines_along(groups, key), strict=True):
        if group.figures(figure):
            lines[line].append(group)
    return [
        group
        for line in lines.values()
        if len({group.options[key] for group in line}) > 1
        for group in sorted(line, key=lambda group: float(group.options[key]))
    ]


def cpu_per_epoch(group: Group) -> Row:
    """Processor seconds of all nodes for an epoch."""
    return spread_of("cpu_s_per_epoch", group.figures("cpu_s_per_epoch"))


def latency_curve_rows(groups: Sequence[Group], key: str) -> list[Row]:
    """Latency against `key`."""
    return [
        {**_named(group, line), key: group.options[key], **_latency(group)}
        for group, line in zip(groups, lines_along(groups, key), strict=True)
    ]


def latency_rows(groups: Sequence[Group]) -> list[Row]:
    """Latency against throughput; `point` says which load a point is for."""
    along = load_keys(groups)
    ordered = sorted(groups, key=lambda group: [_load(group.options[key]) for key in along])
    lines: dict[str, list[Row]] = {line: [] for line in names(groups, *LOAD_KEYS)}
    for group, line in zip(ordered, names(ordered, *LOAD_KEYS), strict=True):
        if group.figures("throughput_tx_per_s") and group.figures("latency_s.p50"):
            row = {**_named(group, line), "point": _point(group, along)}
            lines[line].append(row | _throughput(group) | _latency(group))
    return [row for rows in lines.values() for row in rows]


def load_keys(groups: Sequence[Group]) -> list[str]:
    """What varies along a curve of latency against throughput."""
    return [key for key in _keys(groups) if key in LOAD_KEYS]


def _point(group: Group, along: Sequence[str]) -> str:
    """The load, without the name of its key if there is only one; "closed loop" has no number."""
    if len(along) == 1 and isinstance(value := group.options[along[0]], int | float):
        return number(value)
    return ", ".join(setting(group.options, key) for key in along)


def _throughput(group: Group) -> Row:
    return spread_of("throughput_tx_per_s", group.figures("throughput_tx_per_s"))


def _latency(group: Group) -> Row:
    row: Row = {}
    for name in ("p50", "p99"):
        row |= spread_of(f"latency_{name}_ms", group.figures(f"latency_s.{name}"), 1e3)
    return row | {"lower_bounds": " ".join(name for name in ("p50", "p99") if group.is_bound(f"latency_s.{name}"))}


def _load(value: Any) -> float:
    """The order of loads along a line, which turns back beyond saturation; no rate is the largest load."""
    return float(value) if isinstance(value, int | float) and value else math.inf


def series_rows(groups: Sequence[Group]) -> list[Row]:
    """Second by second, of the first valid repeat of each group. `second` is of the measured time, `clock_s` is the
    same moment on the clock that the figure shows."""
    clocks = clocks_of(groups)
    rows: list[Row] = []
    for group, line, clock in zip(groups, names(groups), clocks, strict=True):
        first = group.valid[0]
        path = first.directory / "seconds.csv"
        for row in read_csv(path) if path.exists() else ():
            numbers = {key: float(value) if value else None for key, value in row.items()}
            second = int(row["second"])
            rows.append({"line": line, **numbers, "second": second, "clock_s": second + clock.shift(first.summary)})
    return rows


def phase_rows(groups: Sequence[Group]) -> list[Row]:
    """Mean milliseconds of each step of an epoch, over repeats."""
    rows: list[Row] = []
    for group, line in zip(groups, names(groups), strict=True):
        steps = dict.fromkeys(step for result in group.valid for step in result.summary.get("phase_s", {}))
        for step in steps:
            if values := group.figures(f"phase_s.{step}"):
                rows.append({**_named(group, line), "step": step, "mean_ms": 1e3 * mean(values)})
    return rows


def crypto_rows(groups: Sequence[Group]) -> list[Row]:
    """Mean milliseconds of processor time that each cryptographic operation takes in an epoch at all nodes, if any, and
    of all else."""
    rows: list[Row] = []
    for group, line in zip(groups, names(groups), strict=True):
        taken = {name: mean(group.figures(f"crypto_cpu_s_per_epoch.{name}")) for name in OPERATIONS}
        rest = max(0.0, mean(group.figures("cpu_s_per_epoch")) - sum(taken.values()))
        rows += [
            {**_named(group, line), "step": step, "mean_ms": 1e3 * seconds}
            for step, seconds in {**taken, "all_else": rest}.items()
            if seconds
        ]
    return rows


def cdf_rows(groups: Sequence[Group]) -> list[Row]:
    """Share of the offered transactions up to each latency, over all valid repeats; it ends below 1 if some were never
    answered."""
    rows: list[Row] = []
    for group, line in zip(groups, names(groups), strict=True):
        counts: dict[float, int] = defaultdict(int)
        for result in group.valid:
            path = result.directory / "latency.csv"
            for row in read_csv(path) if path.exists() else ():
                counts[float(row["upper_s"])] += int(row["count"])
        total, so_far = sum(counts.values()), 0
        for upper_s in sorted(filter(math.isfinite, counts)):
            so_far += counts[upper_s]
            rows.append({**_named(group, line), "latency_ms": 1e3 * upper_s, "share": so_far / total})
    return rows


def cost_rows(groups: Sequence[Group]) -> list[Row]:
    """Processor time and bytes of all correct nodes for each committed transaction."""
    rows = []
    for group, line in zip(groups, names(groups), strict=True):
        if cpu := group.figures("cpu_s_per_tx"):
            bytes_ = spread_of("sent_bytes", group.figures("sent_bytes_per_tx"))
            rows.append({**_named(group, line), **spread_of("cpu_us", cpu, 1e6), **bytes_})
    return rows
