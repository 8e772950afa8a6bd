"""Sizes, colours, markers, dashes and hatches.

Lines and bars must stay apart in grey and for people who see few colours: they differ in lightness, and in marker and
dash or hatch too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MM_PER_INCH = 25.4
#: width unless asked for, inches
USUAL_WIDTH = 7.5
#: up to this width a figure is one for a column of a paper, inches
NARROW = 4.8

#: neighbours are dark and light by turns
COLOURS = ("#12305c", "#e5933a", "#8a2f4a", "#62b6a0", "#4f6fb5", "#c9a227", "#3b3b3b", "#9fb8de")
#: they have the first colours in every figure, other protocols the next ones
FIRST_PROTOCOLS = ("honeybadger", "pbft")
MARKERS = "osD^vP*Xhd"
#: of points that others published, one shape for each source
HOLLOW_MARKERS = "sD^vP"
HOLLOW: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "markeredgewidth": 1.3}
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (2, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
GREY = "0.45"
FAULT, FAULT_EDGE = "#f6dcd8", "#b03a2e"


@dataclass(frozen=True)
class Style:
    """What a person chose for all figures. `width`: inches; `log_y`: where y is a value; `title`, `notes`: or none."""

    width: float = USUAL_WIDTH
    log_y: bool = False
    title: bool = True
    notes: bool = True

    @property
    def narrow(self) -> bool:
        return self.width < NARROW

    @property
    def size(self) -> float:
        """Of most text, points."""
        return 8 if self.narrow else 10

    @property
    def small(self) -> float:
        """Of ticks, legends and notes, points."""
        return 7 if self.narrow else 8.5

    @property
    def body(self) -> float:
        """Usual height of what is between legend and footer, inches."""
        return 0.6 + 0.5 * self.width

    @cached_property
    def settings(self) -> dict[str, Any]:
        """For matplotlib."""
        return {
            "font.size": self.size,
            "axes.labelsize": self.size,
            "axes.titlesize": self.size,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "legend.fontsize": self.small,
            "lines.linewidth": 1.2 if self.narrow else 1.6,
            "lines.markersize": 4 if self.narrow else 5.5,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "hatch.linewidth": 0.6,
            # A label is not a formula.
            "text.parse_math": False,
            # Type 3 fonts are refused by many publishers.
            "pdf.fonttype": 42,
            # The same numbers give the same file.
            "svg.hashsalt": "honeybadger",
        }


def line_styles(protocols: Sequence[str]) -> list[dict[str, Any]]:
    """Of the lines that belong to these protocols. A protocol has one colour in all figures, and the dashes tell apart
    what else varies; only if all of several lines are of one protocol, their colours differ. No two of 20 have the same
    looks, nor do the first ten in grey."""
    alike = len(set(protocols)) == 1 < len(protocols)
    looks = []
    for index, (protocol, hue) in enumerate(zip(protocols, hues(protocols), strict=True)):
        dash = index if alike else protocols[:index].count(protocol)
        colour = index if alike else hue
        looks.append(
            {
                "color": COLOURS[colour % len(COLOURS)],
                "marker": MARKERS[index % len(MARKERS)],
                "linestyle": DASHES[dash % len(DASHES)],
            }
        )
    return looks


def hues(protocols: Sequence[str]) -> list[int]:
    """For each, the number of its protocol's colour."""
    order = list(dict.fromkeys([*FIRST_PROTOCOLS, *protocols]))
    return [order.index(protocol) for protocol in protocols]


def bar_style(index: int) -> dict[str, Any]:
    colour = COLOURS[index % len(COLOURS)]
    edge = "white" if lightness(colour) < 0.5 else "0.2"
    return {"facecolor": colour, "edgecolor": edge, "hatch": HATCHES[index % len(HATCHES)], "linewidth": 0.5}


def lightness(colour: str) -> float:
    """From 0 (black) to 1 (white), as a grey print shows it."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue
