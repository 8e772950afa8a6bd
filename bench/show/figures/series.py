"""Transactions second by second, a panel for each kind of run, with the faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.measure.results import FAULT_KEYS, RESTART_KEYS, Group
from bench.plan import link_faults
from bench.plan.experiment import varied_keys
from bench.show.clock import clocks_of, fault_spans
from bench.show.figure_data import Row
from bench.show.figures.axes import count_ticks, value_axis
from bench.show.figures.curves import by_line
from bench.show.figures.frame import LEADING, Sheet, draw_around, height_of, lay_out, sides, wrapped
from bench.show.figures.labels import words_above
from bench.show.figures.style import COLOURS, FAULT, FAULT_EDGE, Style
from bench.show.words import label

SERIES: dict[str, dict[str, Any]] = {
    "offered_tx": {"color": "0.62", "linewidth": 1.0, "label": "offered"},
    "committed_at_quorum_tx": {"color": COLOURS[0], "label": "on disk at N−f nodes"},
    "committed_tx": {
        "color": COLOURS[1],
        "linewidth": 1.0,
        "linestyle": (0, (3, 1.5)),
        "label": "at all correct nodes",
    },
}
#: panels have separate scales if their highest values differ by this factor
UNLIKE_SCALES = 4
#: faults that are named in a panel; with more nobody could tell which is which
MOST_WORDS = 4
_EDGE: dict[str, Any] = {"color": "0.3", "linewidth": 0.9, "linestyle": "-."}


def time_series(sheet: Sheet, rows: Sequence[Row], groups: Sequence[Group]) -> None:
    figure, style = sheet.figure, sheet.style
    lines = by_line(rows)
    panels = figure.subplots(len(lines), 1, squeeze=False)[:, 0]
    clocks = clocks_of(groups)
    peaks = [max(1.0, *(row[name] for row in points for name in SERIES)) for points in lines.values()]
    # One scale for all, unless it would flatten the small ones.
    if max(peaks) >= UNLIKE_SCALES * min(peaks):
        sheet.notes += "; the scales differ"
    else:
        peaks = [max(peaks)] * len(peaks)
    spans = [
        # What would have begun after the end is none.
        [span for span in fault_spans(group, clock) if span[0] <= points[-1]["clock_s"] + 1]
        for group, clock, points in zip(groups, clocks, lines.values(), strict=True)
    ]
    lowest = min((row[name] for row in rows for name in SERIES if row[name]), default=1.0)
    if style.log_y:
        sheet.notes += "; a second with none is at the lower edge"
    for axes, points, peak in zip(panels, lines.values(), peaks, strict=True):
        _steps(axes, points)
        value_axis(axes.yaxis, [lowest, peak] if style.log_y else [peak], style, log=style.log_y)
        if not style.log_y:
            count_ticks(axes.yaxis, style, 4)
        axes.set_ylabel("tx/s")
    # One clock, one range of it.
    for clock in set(clocks):
        same = [axes for axes, its in zip(panels, clocks, strict=True) if its is clock]
        limits = [axes.dataLim.intervalx for axes in same]
        for axes in same:
            axes.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
            count_ticks(axes.xaxis, style)
    several = len(set(clocks)) > 1
    for axes, clock in zip(panels, clocks, strict=True):
        if several or axes is panels[-1]:
            axes.set_xlabel(clock.value)
        else:
            axes.tick_params(labelbottom=False)
    for axes, group, clock, faults in zip(panels, groups, clocks, spans, strict=True):
        _faults(axes, faults)
        begin = clock.shift(group.valid[0].summary)
        for edge in (begin, begin + group.options["duration"]):
            axes.axvline(edge, **_EDGE)
    height = _titles(figure, style, panels, groups, spans)
    handles: list[Any] = [Line2D([], [], **looks) for looks in SERIES.values()]
    handles.append(Line2D([], [], label="measured time begins, ends", **_EDGE))
    if any(spans):
        handles.append(Patch(facecolor=FAULT, edgecolor=FAULT_EDGE, hatch="////", linewidth=0.8, label="fault"))
    draw_around(sheet, [handles], height)


def _steps(axes: Any, points: Sequence[Row]) -> None:
    # A value holds for the second after its mark; so does the last one.
    points = [*points, {**points[-1], "clock_s": points[-1]["clock_s"] + 1}]
    for name, looks in SERIES.items():
        axes.step([row["clock_s"] for row in points], [row[name] for row in points], where="post", **looks)


def _faults(axes: Any, spans: Sequence[tuple[float, float | None, str]]) -> None:
    low, high = axes.get_xlim()
    for begin, end, _ in spans:
        until = high if end is None else min(end, high)
        if until > begin:
            looks = {"facecolor": FAULT, "edgecolor": FAULT_EDGE, "hatch": "////", "alpha": 0.5}
            axes.axvspan(max(begin, low), until, zorder=0, linewidth=0, **looks)
        axes.axvline(begin, color=FAULT_EDGE, linewidth=1)


def _titles(
    figure: Any,
    style: Style,
    panels: Sequence[Any],
    groups: Sequence[Group],
    spans: Sequence[Sequence[tuple[float, float | None, str]]],
) -> float:
    """Above each panel its name, and between the two the words for its faults; returns the height of all, inches."""
    keys = varied_keys([group.options for group in groups])
    figure.set_size_inches(style.width, 2.0 * len(panels))
    left, wide = sides(style)
    lay_out(figure, (left, 0, wide, 1))
    height = 0.0
    for axes, group, faults in zip(panels, groups, spans, strict=True):
        named = 0 < len(faults) <= MOST_WORDS
        texts = [(max(begin, axes.get_xlim()[0]), text) for begin, _, text in faults] if named else []
        rows = words_above(axes, texts, style)
        # The words for faults say it already, if they are about all of them.
        said = {*FAULT_KEYS, *RESTART_KEYS} - {"byzantine"} if named and not _whole_run(group) else set()
        name = label(group.options, [key for key in keys if key not in said]) if set(keys) - said else ""
        name = wrapped(name, style.size, 72 * axes.get_window_extent().width / figure.dpi)
        # The title stands on its baseline, so its tails reach down.
        pad = (6 if rows else 4) + rows * LEADING * style.small
        if len(groups) > 1 or name != "all runs":
            axes.set_title(name, loc="left", pad=pad)
        height += (pad + height_of(name, style.size)) / 72 + (0.85 if style.narrow else 1.45)
        height += 0.4 if axes.get_xlabel() else 0.08
    return height


def _whole_run(group: Group) -> bool:
    """Whether a fault of its links lasts for the whole run."""
    asked = group.valid[0].summary.get("link_faults", ())
    return any(not fault.get("start_s") and fault.get("end_s") is None for fault in asked) and any(
        group.options.get(key) for key in link_faults.KINDS
    )
