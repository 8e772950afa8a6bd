"""The figure of `agreement_rounds`. Needs matplotlib, the optional extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from bench.show.figures.style import COLOURS, DASHES, Style


def shares_by_rounds(row: Mapping[str, Any], most_rounds: int) -> list[float]:
    """For 1 … `most_rounds`: the share of the runs that needed at least so many rounds; it ends before it is 0."""
    left, shares = row["runs"], []
    for number in range(1, most_rounds + 1):
        if not left:
            break
        shares.append(left / row["runs"])
        left -= row["rounds"].get(number, 0)
    return shares


def draw(found: Mapping[str, Any], path: Path) -> None:
    """The share of runs that needed at least so many rounds, both axes logarithmic."""
    style = Style()
    with rc_context(style.settings):
        figure = Figure(figsize=(style.width, style.body), layout="constrained")
        axes = figure.add_subplot()
        for index, row in enumerate(found["rows"]):
            shares = shares_by_rounds(row, found["most_rounds"])
            axes.plot(
                range(1, len(shares) + 1),
                shares,
                color=COLOURS[index // 2],
                linestyle=DASHES[1 - index % 2],
                marker="so"[index % 2],
                markevery=max(1, len(shares) // 12),
                # Lines that coincide show one inside the other.
                linewidth=6 - index,
                markersize=10 - index,
                label=f"{row['agreement']}, {'attacked' if row['attacked'] else 'calm'}",
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="rounds",
            ylabel="share of runs that need at least so many",
            title=f"N = 4, f = 1, coin schedule {found['coin_schedule']}, {found['seeds']:,} seeds, simulated",
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        axes.legend()
        figure.savefig(path, dpi=150)
