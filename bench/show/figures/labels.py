"""Texts at places of their own: labels at points that touch no line and no other label, and words above a panel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from bench.show.figures.frame import LEADING, width_of, wrapped
from bench.show.figures.style import Style

#: points from a point to its label, tried in this order
DISTANCES = (4.0, 6.0, 8.0)
#: how many times as far any other point must be from a label
OTHERS = 1.5
#: in which direction to try: right or left (1, -1) or partly, up or down
DIRECTIONS = (
    *((1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (-1, 0)),
    *((0.5, 1), (0.5, -1), (-0.5, 1), (-0.5, -1), (0, 1), (0, -1)),
)
#: points that a label keeps from lines
CLEAR = 1.5


class Label(NamedTuple):
    x: float
    y: float
    text: str


def label_points(axes: Any, labels: Iterable[Label], points: Iterable[Label], style: Style) -> None:
    """Write each text next to its point, where nothing else is, and none of `points` with another text is as near; one
    that has no room is left out. After layout."""
    dpi_scale = axes.figure.dpi / 72
    size = style.small
    obstacles = _drawn(axes, dpi_scale)
    marks = [(point.text, axes.transData.transform((point.x, point.y))) for point in points]
    inside = axes.get_window_extent().get_points()
    taken: list[Any] = []
    for label in labels:
        x, y = axes.transData.transform((label.x, label.y))
        others = np.array([at for text, at in marks if text != label.text]).reshape(-1, 2)
        half = np.array([width_of(label.text, size), size]) * dpi_scale / 2
        for distance, (right, up) in product(DISTANCES, DIRECTIONS):
            away = distance * dpi_scale * np.array([int(right), up])
            middle = np.array([x, y]) + half * (right, up) + away
            box = np.array([middle - half, middle + half])
            grown = box + CLEAR * dpi_scale * np.array([[-1], [1]])
            if (
                (box[0] < inside[0]).any()
                or (box[1] > inside[1]).any()
                or any(_touch(box, one) for one in taken)
                or ((obstacles >= grown[0]) & (obstacles <= grown[1])).all(axis=1).any()
                or (_from(box, others) < OTHERS * _from(box, np.array([[x, y]]))[0]).any()
            ):
                continue
            taken.append(grown)
            place = {"xytext": (middle - (x, y)) / dpi_scale, "textcoords": "offset points"}
            looks = {"ha": "center", "va": "center_baseline", "fontsize": size, "color": "0.15"}
            axes.annotate(label.text, (label.x, label.y), **place, **looks)
            break


def _from(box: Any, points: Any) -> Any:
    """How far each point is from the box, pixels."""
    return np.hypot(*np.maximum(np.maximum(box[0] - points, points - box[1]), 0).T)


def _touch(one: Any, other: Any) -> bool:
    return bool((one[0] < other[1]).all() and (other[0] < one[1]).all())


def _drawn(axes: Any, dpi_scale: float) -> Any:
    """Pixels along all lines and bars through points, and around all markers."""
    paths = [axes.transData.transform(line.get_xydata()) for line in axes.lines if len(line.get_xydata())]
    for collection in axes.collections:
        paths += [axes.transData.transform(segment) for segment in collection.get_segments()]
    pixels = []
    for path in paths:
        pixels += [_between(begin, end) for begin, end in pairwise(path)]
        around = 3.0 * dpi_scale * np.array([(right, up) for right in (-1, 0, 1) for up in (-1, 0, 1)])
        pixels.append((path[:, None, :] + around).reshape(-1, 2))
    return np.concatenate(pixels) if pixels else np.empty((0, 2))


def _between(begin: Any, end: Any) -> Any:
    """Pixels from one to the other."""
    steps = 2 + int(np.abs(end - begin).max())
    return begin + (end - begin) * np.linspace(0, 1, steps)[:, None]


def words_above(axes: Any, words: Sequence[tuple[float, str]], style: Style) -> int:
    """Write texts above the axes, each from its x on, in as many rows as keep them apart; returns how many."""
    size, scale = style.small, axes.figure.dpi / 72
    left, right = axes.get_window_extent().get_points()[:, 0] / scale
    ends: list[float] = []
    for x, text in words:
        at = axes.transData.transform((x, 0))[0] / scale
        lines = wrapped(text, size, right - left)
        width = max(width_of(line, size) for line in lines.splitlines())
        begin = max(left, min(at, right - width))
        needed = lines.count("\n") + 1
        row = next(row for row in range(len(ends) + 1) if all(begin >= end + size for end in ends[row : row + needed]))
        ends[row : row + needed] = [begin + width] * needed
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        looks = {"ha": "left", "va": "bottom", "fontsize": size, "color": "0.15", "linespacing": LEADING}
        axes.annotate(lines, (x, 1.0), xytext=(begin - at, 2 + row * LEADING * size), **place, **looks)
    return len(ends)
