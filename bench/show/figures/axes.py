"""Axes: linear or logarithmic, plain numbers, and no more tick labels than there is room for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from bench.show.figures.style import Style
from bench.show.words import number

#: values that span more decades than this are on a logarithmic axis, and so are parameters
VALUE_DECADES, PARAMETER_DECADES = 1.5, 1.0
#: a logarithmic axis over more decades has labels at powers of ten only; x of a narrow figure
MOST_DECADES, NARROW_DECADES = 3, 1.8
#: what an axis of a parameter leaves free at each end, as part of its length: lines are drawn side by side
MARGIN = 0.08
#: points between two tick labels
GAP = 4


class _Numbers(FuncFormatter):
    """Of axes with numbers and not names, whose labels may be left out."""


def span(values: Sequence[float]) -> float:
    """How many powers of ten lie between the smallest and the largest positive value."""
    positive = [value for value in values if value > 0]
    return math.log10(max(positive) / min(positive)) if positive else 0.0


def value_axis(axis: Any, values: Sequence[float], style: Style, *, log: bool = False, room: float = 0.0) -> None:
    """For measured values: from 0, or logarithmic if they span decades or `log` asks for it. `room`: the part of the
    axis that is left free beyond the largest, for labels."""
    positive = [value for value in values if value > 0]
    set_scale, set_limits = _setters(axis)
    if positive and (log or span(values) > VALUE_DECADES):
        set_scale("log")
        highest = max(positive) * 10 ** (room * span(values))
        set_limits(_round(min(positive) * 0.95, math.floor), _round(highest * 1.05, math.ceil))
        most = NARROW_DECADES if style.narrow and axis.axis_name == "x" else MOST_DECADES
        subs = (1.0,) if span(values) > most else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
        axis.set_minor_formatter(NullFormatter())
        _plain(axis)
        return
    set_limits(0, (1.08 + room) * max(positive, default=1.0))
    count_ticks(axis, style)


def parameter_axis(axis: Any, values: Sequence[float], style: Style, *, log: bool = False) -> None:
    """For a parameter: a tick at each value, logarithmic if they span decades or `log` asks for it. Not for a single
    value."""
    set_scale, set_limits = _setters(axis)
    low, high = min(values), max(values)
    if log or span(values) >= PARAMETER_DECADES:
        set_scale("log")
        margin = (high / low) ** MARGIN
        set_limits(low / margin, high * margin)
    else:
        set_limits(low - MARGIN * (high - low), high + MARGIN * (high - low))
    axis.set_major_locator(FixedLocator(sorted(set(values))))
    axis.set_minor_locator(NullLocator())
    _plain(axis)


def count_ticks(axis: Any, style: Style, most: int = 0) -> None:
    axis.set_major_locator(MaxNLocator(most or (5 if style.narrow else 8), steps=[1, 2, 2.5, 5, 10]))
    _plain(axis)


def thin_labels(axes: Any, renderer: Any) -> None:
    """Leave out tick labels that would touch others; the first and the last stay. After layout."""
    for axis, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
        if not isinstance(axis.get_major_formatter(), _Numbers):
            # Names, not numbers.
            continue
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        ticks = [tick for tick in axis.get_major_ticks() if low - slack <= tick.get_loc() <= high + slack]
        if len(ticks) < 2 or not ticks[0].label1.get_visible():
            continue
        gap = GAP * axes.figure.dpi / 72
        ranges = [tuple(tick.label1.get_window_extent(renderer).get_points()[:, side]) for tick in ticks]
        kept = [0]
        for index in range(1, len(ticks)):
            begin, end = ranges[index]
            is_last = index == len(ticks) - 1
            if begin >= ranges[kept[-1]][1] + gap and (is_last or end + gap <= ranges[-1][0]):
                kept.append(index)
        places = [tick.get_loc() for tick in ticks]
        texts = [tick.label1.get_text() if index in kept else "" for index, tick in enumerate(ticks)]
        axis.set_ticks(places, labels=texts)


def _setters(axis: Any) -> tuple[Any, Any]:
    axes = axis.axes
    return (axes.set_xscale, axes.set_xlim) if axis.axis_name == "x" else (axes.set_yscale, axes.set_ylim)


def _plain(axis: Any) -> None:
    axis.set_major_formatter(_Numbers(lambda value, _: number(value)))


def _round(value: float, which: Any) -> float:
    """To the next 1, 2 or 5 times a power of ten, down (floor) or up (ceil)."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = [step * power for step in (1.0, 2.0, 5.0, 10.0)]
    if which is math.floor:
        return max(step for step in steps if step <= value * (1 + 1e-12))
    return min(step for step in steps if step >= value * (1 - 1e-12))
