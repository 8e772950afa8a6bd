"""What is around the axes of a figure: title and legend above, notes below. The figure gets as high as all of it needs.

Nothing of it may touch anything else at any width, so texts are measured and wrapped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from bench.show.figures.axes import thin_labels
from bench.show.figures.style import Style

#: line spacing, in sizes of the font
LEADING = 1.25
#: points at the edges, between the parts, and between blocks of the legend
EDGE, GAP, BLOCKS = 3.0, 5.0, 2.0
#: what a legend's entry has besides its text, and between two of them, in sizes of the font
HANDLE, BETWEEN = 3.4, 1.2

_RULER = RendererAgg(10, 10, 720)


def width_of(text: str, size: float) -> float:
    """Points, with a little to spare: at few pixels to the point, glyphs are wider."""
    return 1.03 * float(_RULER.get_text_width_height_descent(text, FontProperties(size=size), False)[0]) / 10


def wrapped(text: str, size: float, width: float) -> str:
    """In lines of at most `width` points; a longer word stays whole, and so do "N = 4" and "2 s"."""
    lines: list[str] = []
    for word in re.sub(r"(?<=\d) (?=\w)|(?<==) | (?==)", "\N{NO-BREAK SPACE}", text).split(" "):
        if lines and width_of(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def height_of(text: str, size: float) -> float:
    """Points, of what `wrapped` made; 0 of nothing."""
    return LEADING * size * len(text.splitlines())


@dataclass
class Sheet:
    """A figure, and what a drawing needs besides numbers. `notes`: the small print, to which a drawing may add;
    `marks`: rows of points that others published."""

    figure: Any
    style: Style
    title: str
    notes: str
    marks: Sequence[dict[str, Any]] = ()


def draw_around(sheet: Sheet, handles: Sequence[Sequence[Any]], body: float) -> None:
    """Give the axes `body` inches of height, put the rest around them, and fix the places of all. `handles`: of the
    legend, those together that say the same kind of thing."""
    figure, style = sheet.figure, sheet.style
    width = 72 * style.width - 2 * EDGE
    title = wrapped(sheet.title, style.size, width) if style.title else ""
    notes = wrapped(sheet.notes, style.small, width) if style.notes else ""
    title_height = height_of(title, style.size) + (GAP if title else 0)
    legends = _legends(figure, style, handles, width)
    heights = [72 * legend.get_window_extent(_renderer(figure)).height / figure.dpi for legend in legends]
    legend_height = sum(heights) + (len(legends) - 1) * BLOCKS + GAP if legends else 0.0
    notes_height = height_of(notes, style.small) + (GAP if notes else 0)
    total = 72 * body + title_height + legend_height + notes_height + 2 * EDGE
    figure.set_size_inches(style.width, total / 72)

    left, wide = sides(style)
    if title:
        figure.text(left, 1 - EDGE / total, title, ha="left", va="top", fontsize=style.size, linespacing=LEADING)
    above = EDGE + title_height
    for legend, height in zip(legends, heights, strict=True):
        legend.set_bbox_to_anchor((left, 1 - above / total), transform=figure.transFigure)
        above += height + BLOCKS
    quiet = {"fontsize": style.small, "color": "0.3", "linespacing": LEADING}
    figure.text(left, EDGE / total, notes, ha="left", va="bottom", **quiet)
    bottom = (EDGE + notes_height) / total
    lay_out(figure, (left, bottom, wide, 72 * body / total))
    for axes in figure.axes:
        thin_labels(axes, _renderer(figure))
        if axes.xaxis.label.get_window_extent(_renderer(figure)).width > axes.get_window_extent().width:
            # In the middle below its axes it would leave the figure.
            axes.set_xlabel(axes.get_xlabel(), loc="right")


def sides(style: Style) -> tuple[float, float]:
    """Where the axes with their labels begin from the left, and how wide they are, as parts of the width."""
    left = EDGE / (72 * style.width)
    return left, 1 - 2 * left


def lay_out(figure: Any, rect: tuple[float, float, float, float]) -> None:
    """Place the axes, with what belongs to them, in this part of the figure."""
    figure.set_layout_engine("constrained", rect=rect, w_pad=0, h_pad=2 / 72, wspace=0.04, hspace=0)
    figure.draw_without_rendering()
    # From here on, nothing moves.
    figure.set_layout_engine("none")


def _renderer(figure: Any) -> Any:
    return figure.canvas.get_renderer()


def _legends(figure: Any, style: Style, handles: Sequence[Sequence[Any]], width: float) -> list[Any]:
    """One row if there is room for all, otherwise a block for each group; none where nothing is to be told apart."""
    everything = [handle for group in handles for handle in group]
    if len(everything) < 2:
        return []
    size = style.small
    row = sum(width_of(handle.get_label(), size) + (HANDLE + BETWEEN) * size for handle in everything) - BETWEEN * size
    blocks = [everything] if row <= width else [group for group in handles if group]
    return [_legend(figure, style, block, width) for block in blocks]


def _legend(figure: Any, style: Style, handles: Sequence[Any], width: float) -> Any:
    """In as many columns as there is room for."""
    size = style.small
    texts = [wrapped(handle.get_label(), size, width - HANDLE * size) for handle in handles]
    entries = [max(width_of(line, size) for line in text.splitlines()) + HANDLE * size for text in texts]
    columns = next(
        (count for count in range(len(texts), 1, -1) if _row(entries, count) + (count - 1) * BETWEEN * size <= width), 1
    )
    return figure.legend(
        handles,
        texts,
        loc="upper left",
        ncol=columns,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=HANDLE - 0.7,
        handletextpad=0.5,
        columnspacing=BETWEEN,
        labelspacing=0.3,
    )


def _row(entries: Sequence[float], columns: int) -> float:
    """How wide a legend with so many columns is, which are filled one after the other."""
    full, more = divmod(len(entries), columns)
    total, at = 0.0, 0
    for column in range(columns):
        count = full + (column < more)
        total += max(entries[at : at + count], default=0.0)
        at += count
    return total
