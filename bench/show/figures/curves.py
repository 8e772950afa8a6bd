"""Lines: throughput and latency against a parameter or each other, and the distribution of latency."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from bench.measure.results import Group
from bench.show.against import BATCH_SIZE, BYTES, THROUGHPUT, Along, Quantity
from bench.show.figure_data import Row
from bench.show.figures.axes import parameter_axis, value_axis
from bench.show.figures.frame import Sheet, draw_around
from bench.show.figures.labels import Label, label_points
from bench.show.figures.style import GREY, HOLLOW, HOLLOW_MARKERS, Style, line_styles
from bench.show.growth import fit
from bench.show.growth import in_words as growth_in_words
from bench.show.overhead import VANISHING, in_words
from bench.show.words import number

#: from this many milliseconds on, an axis of latency is in seconds
SECONDS_FROM_MS = 10_000
#: part of an axis for the label of its last point
LABELS_ROOM = 0.2
#: points between lines at the same x, and between the outermost
BESIDE, MOST_BESIDE = 4.0, 12.0
PARAMETERS = {"batch-size": "batch size B (transactions per epoch)", "nodes": "number of nodes N"}
QUANTILES = ("p50", "p99")


def curve(
    sheet: Sheet, rows: Sequence[Row], _: Sequence[Group], *, along: Along, quantity: Quantity, dotted: str = ""
) -> None:
    """One quantity against a parameter, and hollow marks for what others published. `dotted`: the column of the rows
    with the place of a vertical line, if they have one."""
    axes, style, marks = sheet.figure.subplots(), sheet.style, sheet.marks
    lines, key, column = by_line(rows), along.key, quantity.column
    shifts = _beside(axes, len(lines))
    looks = [one | {"transform": shift} for one, shift in zip(_looks(lines), shifts, strict=True)]
    for points, its in zip(lines.values(), looks, strict=True):
        _points(axes, points, key, column, 1.0, **its)
    sources = _hollow(axes, marks, key, column, dict(zip(lines, looks, strict=True)))
    parameter_axis(axes.xaxis, [row[key] for row in (*rows, *marks)], style)
    value_axis(axes.yaxis, _values([*rows, *marks], column), style, log=style.log_y)
    axes.set(xlabel=PARAMETERS[key], ylabel=quantity.label)
    low, high = axes.get_xlim()
    for points, its in zip(lines.values(), looks, strict=True):
        if dotted and low < points[0][dotted] < high:
            axes.axvline(points[0][dotted], color=its["color"], linewidth=1, linestyle=":", zorder=1)
    draw_around(sheet, [_handles(lines, single="this project" if marks else ""), sources], style.body)


def overhead(sheet: Sheet, rows: Sequence[Row], groups: Sequence[Group]) -> None:
    """What a node sends, and for each N the batch size from which on the protocol's own part is small."""
    sheet.notes += f"; {in_words(rows)}"
    curve(sheet, rows, groups, along=BATCH_SIZE, quantity=BYTES, dotted=VANISHING)


def growth(sheet: Sheet, rows: Sequence[Row], _: Sequence[Group]) -> None:
    """Both axes are logarithmic, so that a power of N is a straight line: the one that fits best is dotted."""
    axes, style = sheet.figure.subplots(), sheet.style
    lines = by_line(rows)
    fitted: dict[str, Any] = {"linestyle": ":", "linewidth": 1.2}
    for points, looks in zip(lines.values(), _looks(lines), strict=True):
        exponent, factor = fit(points)
        ends = [points[0]["nodes"], points[-1]["nodes"]]
        axes.plot(ends, [factor * nodes**exponent for nodes in ends], color=looks["color"], **fitted)
        _points(axes, points, "nodes", "cpu_s_per_epoch", 1.0, **looks | {"linestyle": "none"})
    parameter_axis(axes.xaxis, [row["nodes"] for row in rows], style, log=True)
    value_axis(axes.yaxis, _values(rows, "cpu_s_per_epoch"), style, log=True)
    axes.set(xlabel=PARAMETERS["nodes"], ylabel="CPU per epoch, all nodes (s)")
    if len(lines) == 1:
        sheet.notes += f"; B / N = {number(rows[0]['batch-size'] / rows[0]['nodes'])}"
    for name, points in lines.items():
        sheet.notes += f"; {name} {growth_in_words(points)}" if len(lines) > 1 else f"; {growth_in_words(points)}"
    sheet.notes += "; fitted by least squares of logarithms"
    single = [Line2D([], [], label="measured", **looks | {"linestyle": "none"}) for looks in _looks(lines)]
    named = [handle for handle in _handles(lines) if not handle.set_linestyle("none")] or single
    law = f"N^{rows[0]['exponent']:.2f}" if len(lines) == 1 else "powers of N that fit best"
    draw_around(sheet, [named, [Line2D([], [], color=GREY, label=law, **fitted)]], style.body)


def latency_curve(sheet: Sheet, rows: Sequence[Row], _: Sequence[Group], *, key: str) -> None:
    axes, style = sheet.figure.subplots(), sheet.style
    lines = by_line(rows)
    scale = _latency_axis(axes, rows, style)
    for points, looks, shift in zip(lines.values(), _looks(lines), _beside(axes, len(lines)), strict=True):
        _quantiles(axes, points, key, scale, **looks, transform=shift)
    parameter_axis(axes.xaxis, [row[key] for row in rows], style)
    axes.set(xlabel=PARAMETERS[key])
    draw_around(sheet, [_handles(lines), _quantile_handles()], style.body)


def latency_throughput(sheet: Sheet, rows: Sequence[Row], _: Sequence[Group]) -> None:
    axes, style = sheet.figure.subplots(), sheet.style
    lines = by_line(rows)
    scale = _latency_axis(axes, rows, style)
    for points, looks in zip(lines.values(), _looks(lines), strict=True):
        _quantiles(axes, points, "throughput_tx_per_s", scale, **looks)
    has_labels = any(row["point"] for row in rows)
    value_axis(axes.xaxis, _values(rows, "throughput_tx_per_s"), style, room=LABELS_ROOM if has_labels else 0)
    axes.set(xlabel=THROUGHPUT.label)
    draw_around(sheet, [_handles(lines), _quantile_handles()], style.body)
    # The ends of all lines come first: from them a reader can count.
    ends = [row for points in lines.values() for row in (points[0], *points[1:][-1:])]
    between = [row for points in lines.values() for row in points[1:-1]]
    medians, tails = (
        [
            Label(row["throughput_tx_per_s"], scale * row[f"latency_{name}_ms"], row["point"])
            for row in (*ends, *between)
            if row["point"] and row[f"latency_{name}_ms"] is not None
        ]
        for name in QUANTILES
    )
    label_points(axes, medians, [*medians, *tails], style)


def latency_cdf(sheet: Sheet, rows: Sequence[Row], _: Sequence[Group]) -> None:
    axes, style = sheet.figure.subplots(), sheet.style
    lines = by_line(rows)
    latencies = [row["latency_ms"] for row in rows]
    unit, scale = _unit(latencies)
    for index, (points, looks) in enumerate(zip(lines.values(), _looks(lines), strict=True)):
        x = [scale * point["latency_ms"] for point in points]
        # Markers tell lines apart where colours do not; each line has them at other points.
        every = max(1, len(points) // 6)
        marks = slice(index * every // max(1, len(lines)), None, every)
        axes.plot(x, [point["share"] for point in points], markevery=marks, **looks)
    value_axis(axes.xaxis, [scale * value for value in latencies], style)
    axes.set_ylim(0, 1.02)
    axes.set(xlabel=f"latency ({unit})", ylabel="fraction of transactions")
    draw_around(sheet, [_handles(lines)], style.body)


def by_line(rows: Sequence[Row]) -> dict[str, list[Row]]:
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row["line"], []).append(row)
    return lines


def spread(rows: Sequence[Row], name: str, scale: float = 1.0) -> tuple[Any, Any]:
    """The medians of a figure, and the distances from each down to its smallest and up to its largest value.

    NaN where nothing was measured, so nothing is drawn there. Without a spread the distances are 0."""

    def column(end: str) -> Any:
        values = (row.get(name + end, row[name]) for row in rows)
        return scale * np.array([np.nan if value is None else value for value in values], dtype=float)

    middle = column("")
    return middle, (middle - column("_min"), column("_max") - middle)


def _points(axes: Any, points: Sequence[Row], x: str, y: str, scale: float, **looks: Any) -> None:
    """A line through medians, with bars where repeats differ. `scale`: of y."""
    across, x_errors = spread(points, x)
    up, y_errors = spread(points, y, scale)
    errors = {name: pair for name, pair in (("xerr", x_errors), ("yerr", y_errors)) if np.any(np.asarray(pair) > 0)}
    axes.errorbar(across, up, capsize=2, elinewidth=0.8, **errors, **looks)


def _quantiles(axes: Any, points: Sequence[Row], x: str, scale: float, **looks: Any) -> None:
    _points(axes, points, x, "latency_p99_ms", scale, **looks | {"linestyle": ":", "markerfacecolor": "white"})
    _points(axes, points, x, "latency_p50_ms", scale, **looks)


def _beside(axes: Any, lines: int) -> list[Any]:
    """For each line, where to draw it: a little to the side, since points at the same x could hide each other."""
    step = min(BESIDE, MOST_BESIDE / max(1, lines - 1))
    inches = ((index - (lines - 1) / 2) * step / 72 for index in range(lines))
    return [axes.transData + ScaledTranslation(shift, 0, axes.figure.dpi_scale_trans) for shift in inches]


def _latency_axis(axes: Any, rows: Sequence[Row], style: Style) -> float:
    """Set up y; returns what to multiply milliseconds with."""
    values = [value for name in QUANTILES for value in _values(rows, f"latency_{name}_ms")]
    unit, scale = _unit(values)
    value_axis(axes.yaxis, [scale * value for value in values], style, log=style.log_y)
    axes.set_ylabel(f"latency ({unit})")
    return scale


def _values(rows: Sequence[Row], name: str) -> list[float]:
    """With the ends of the bars."""
    return [row[name + end] for row in rows for end in ("", "_min", "_max") if row.get(name + end) is not None]


def _unit(milliseconds: Sequence[float]) -> tuple[str, float]:
    return ("s", 1e-3) if max(milliseconds) >= SECONDS_FROM_MS else ("ms", 1.0)


def _handles(lines: dict[str, list[Row]], single: str = "") -> list[Any]:
    """Of the lines; of a single one there is nothing to tell apart, unless it has a name for that."""
    if len(lines) < 2 and not single:
        return []
    labels = lines if len(lines) > 1 else [single]
    return [Line2D([], [], label=line, **looks) for line, looks in zip(labels, _looks(lines), strict=True)]


def _hollow(axes: Any, marks: Sequence[Row], x: str, y: str, lines: dict[str, dict[str, Any]]) -> list[Any]:
    """Marks in the colour and at the side of their line; returns a handle for each source. `lines`: their looks."""
    sources = dict(zip(dict.fromkeys(mark["line"] for mark in marks), itertools.cycle(HOLLOW_MARKERS), strict=False))
    for mark in marks:
        place = {name: lines[mark["beside"]][name] for name in ("color", "transform")}
        axes.plot(mark[x], mark[y], marker=sources[mark["line"]], **HOLLOW, **place)
    return [Line2D([], [], label=name, color=GREY, marker=shape, **HOLLOW) for name, shape in sources.items()]


def _looks(lines: dict[str, list[Row]]) -> list[dict[str, Any]]:
    return line_styles([points[0]["protocol"] for points in lines.values()])


def _quantile_handles() -> list[Any]:
    looks: dict[str, Any] = {"color": GREY, "marker": "o"}
    return [
        Line2D([], [], label="p50 (filled)", **looks),
        Line2D([], [], label="p99 (hollow)", linestyle=":", markerfacecolor="white", **looks),
    ]
