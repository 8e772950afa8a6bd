"""Bars: the phases of an epoch, and the cost of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Patch

from bench.measure.results import Group
from bench.show.figure_data import Row
from bench.show.figures.axes import count_ticks
from bench.show.figures.curves import by_line, spread
from bench.show.figures.frame import Sheet, draw_around, height_of, width_of, wrapped
from bench.show.figures.style import Style, bar_style, hues
from bench.show.words import number

#: part of the width that names of bars may take
NAMES_SHARE = 0.36
#: points from a bar to its value
VALUE_GAP = 3.0
#: the step that comes after the epoch, which is over when its block is committed
LEDGER = "ledger"
AFTER_EPOCH = {"facecolor": "white", "edgecolor": "0.4", "hatch": "////", "linewidth": 0.5}
COSTS = (("cpu_us", "processor time (µs per transaction)"), ("sent_bytes", "sent (bytes per transaction)"))


def phases(
    sheet: Sheet, rows: Sequence[Row], _: Sequence[Group], label: str = "mean epoch time (ms)", after: str = LEDGER
) -> None:
    """A bar of steps for each line; `after`: the step that looks unlike the others."""
    lines, steps = list(by_line(rows)), in_order([[row["step"] for row in line] for line in by_line(rows).values()])
    looks = {step: bar_style(index) for index, step in enumerate(steps)}
    if after in looks:
        looks[after] = AFTER_EPOCH
    axes, style = sheet.figure.subplots(), sheet.style
    left = dict.fromkeys(lines, 0.0)
    for row in rows:
        line = row["line"]
        axes.barh(lines.index(line), row["mean_ms"], left=left[line], height=0.7, **looks[row["step"]])
        left[line] += row["mean_ms"]
    body = _name_bars(axes, lines, style)
    axes.set_xlim(0, 1.03 * max(left.values()))
    count_ticks(axes.xaxis, style)
    axes.set_xlabel("mean time from proposal to disk (ms)" if LEDGER in looks else label)
    names = {LEDGER: "to disk"}
    if LEDGER in looks:
        sheet.notes += "; an epoch ends where “to disk” begins"
    handles = [Patch(label=names.get(step, step.replace("_", " ")), **its) for step, its in looks.items()]
    draw_around(sheet, [handles], body + 0.45)


def cost(sheet: Sheet, rows: Sequence[Row], _: Sequence[Group]) -> None:
    lines = [row["line"] for row in rows]
    panels = [(name, label) for name, label in COSTS if any(row[name] is not None for row in rows)]
    style, stacked = sheet.style, sheet.style.narrow
    grid = sheet.figure.subplots(len(panels) if stacked else 1, 1 if stacked else len(panels), squeeze=False).ravel()
    looks = [bar_style(hue) for hue in hues([row["protocol"] for row in rows])]
    across = 72 * style.width * (1 - NAMES_SHARE) / (1 if stacked else len(panels))
    body = 0.0
    for index, (axes, (name, label)) in enumerate(zip(grid, panels, strict=True)):
        values, errors = spread(rows, name)
        whiskers = {"xerr": errors, "error_kw": {"ecolor": "0.5", "elinewidth": 1.1}, "capsize": 2}
        shown = whiskers if np.any(np.asarray(errors) > 0) else {}
        styles = {key: [its[key] for its in looks] for key in looks[0]}
        axes.barh(range(len(lines)), values, height=0.7, **shown, **styles)
        # Beside a bar that is a hundred times as long, one cannot tell how long a short one is.
        texts = ["" if np.isnan(value) else number(float(f"{value:.3g}")) for value in values]
        for at, (value, error, text) in enumerate(zip(values, errors[1], texts, strict=True)):
            place = {"xytext": (VALUE_GAP, 0), "textcoords": "offset points"}
            axes.annotate(text, (value + error, at), va="center_baseline", fontsize=style.small, **place)
        height = _name_bars(axes, lines, style, named=stacked or not index) + 0.45
        body = body + height if stacked else max(body, height)
        room = max(width_of(text, style.small) for text in texts) + 2 * VALUE_GAP
        axes.set_xlim(0, float(np.nanmax(values + errors[1])) / (1 - room / across))
        count_ticks(axes.xaxis, style, 4)
        axes.set_xlabel(label)
    draw_around(sheet, [], body)


def in_order(sequences: Iterable[Sequence[str]]) -> list[str]:
    """What is in any of them, once, such that each keeps its order: protocols share some steps, not all."""
    merged: list[str] = []
    for sequence in sequences:
        place = len(merged)
        for item in reversed(sequence):
            if item in merged:
                place = merged.index(item)
            else:
                merged.insert(place, item)
    return merged


def _name_bars(axes: Any, lines: Sequence[str], style: Style, *, named: bool = True) -> float:
    """Names at the left, the first bar on top; returns the height that they need, inches."""
    texts = [wrapped(line, style.small, NAMES_SHARE * 72 * style.width) for line in lines]
    axes.set_yticks(range(len(lines)), labels=texts if named else [""] * len(lines), linespacing=1.05)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(False, axis="y")
    tallest = max(height_of(text, style.small) for text in texts)
    return len(lines) * max(tallest + 4, 22 if style.narrow else 30) / 72
