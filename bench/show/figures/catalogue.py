"""All figures: what each shows, of which runs, and how it gets into files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.measure.results import Group
from bench.show.against import BATCH_SIZE, BYTES, EPOCH, NODES, NODES_AT_SHARE, THROUGHPUT, Along, Quantity
from bench.show.captions import Of, caption
from bench.show.figure_data import (
    Row,
    cdf_rows,
    cost_rows,
    crypto_rows,
    latency_curve_rows,
    latency_rows,
    load_keys,
    on_curves,
    phase_rows,
    series_rows,
)
from bench.show.figures import bars, curves, series
from bench.show.figures.frame import Sheet
from bench.show.figures.style import Style
from bench.show.growth import at_fixed_share, growth_rows
from bench.show.overhead import overhead_rows
from bench.show.published import Point

#: groups in one figure; with more nobody can read it
MOST_PANELS = 8
MOST_BARS = 24
MOST_LINES = 20
#: for each format, what keeps dates out of the file
_METADATA: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
#: dots per inch, in PNG: of a figure for a column of a paper, and of others
_PRINT_DPI, _SCREEN_DPI = 300, 150
_POINTS = {"rate": "tx/s offered", "batch-size": "B", "window": "window", "pipeline-depth": "pipeline depth"}


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    `groups` chooses what it shows, nothing if the figure makes no sense; `of`: what of the repeats; `most`: groups that
    it holds; `has_values`: its y can be logarithmic; `against`: what it draws along which parameter, if it has room
    for points that others published.
    """

    title: str
    of: Of
    groups: Callable[[Sequence[Group]], Sequence[Group]]
    rows: Callable[[Sequence[Group]], list[Row]]
    draw: Callable[[Sheet, Sequence[Row], Sequence[Group]], None]
    most: int | None = None
    has_values: bool = False
    against: tuple[Along, Quantity] | None = None

    def marks(self, published: Iterable[Point], rows: Sequence[Row]) -> list[Row]:
        """Those of these points that belong into the figure with these rows."""
        return [mark for point in published for mark in point.marks(rows, *self.against)] if self.against else []

    def sheet(
        self, style: Style, rows: Sequence[Row], shown: Sequence[Group], in_all: int, marks: Sequence[Row] = ()
    ) -> Sheet:
        """The figure, drawn. `in_all`: how many groups it would have if it held them all; `marks`: see above."""
        with matplotlib.rc_context(style.settings):
            sheet = Sheet(Figure(), style, self.title, self._notes(rows, shown, in_all), marks)
            FigureCanvasAgg(sheet.figure)
            self.draw(sheet, rows, shown)
            return sheet

    def save(
        self,
        style: Style,
        rows: Sequence[Row],
        shown: Sequence[Group],
        in_all: int,
        paths: Sequence[Path],
        marks: Sequence[Row] = (),
    ) -> str:
        """In the format that each path ends in; returns the small print, for a caption."""
        sheet = self.sheet(style, rows, shown, in_all, marks)
        with matplotlib.rc_context(style.settings):
            for path in paths:
                dpi = _PRINT_DPI if style.narrow else _SCREEN_DPI
                sheet.figure.savefig(path, dpi=dpi, metadata=_METADATA[path.suffix])
        return sheet.notes

    def _notes(self, rows: Sequence[Row], shown: Sequence[Group], in_all: int) -> str:
        """The caption, and what a reader must not miss."""
        notes = [caption(shown, self.of)]
        if any(row.get("point") for row in rows):
            notes.append(f"at the points: {', '.join(_POINTS[key] for key in load_keys(shown))}")
        if any(row.get("lower_bounds") for row in rows):
            notes.append("some latencies are lower bounds, since not all that was offered was answered")
        if "share" in rows[0] and min(line[-1]["share"] for line in curves.by_line(rows).values()) < 1:
            notes.append("what a curve lacks to 1 was never answered")
        if len(shown) < in_all:
            notes.append(f"the first {len(shown)} of {in_all} kinds of runs")
        return "; ".join(notes)


def _with_file(name: str, groups: Sequence[Group]) -> list[Group]:
    """Those whose first valid run has this file."""
    return [group for group in groups if (group.valid[0].directory / name).exists()]


def _with_figure(name: str, groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if group.figures(name)]


def _with_latency(groups: Sequence[Group]) -> list[Group]:
    groups = _with_figure("latency_s.p50", groups)
    return groups if len(groups) > 1 else []


def _with_phases(groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if any(result.summary.get("phase_s") for result in group.valid)]


def _curve(along: Along, quantity: Quantity) -> Kind:
    return Kind(
        f"{quantity.title} against {along.what}",
        "points",
        lambda groups: along.groups(groups, quantity.figure),
        partial(along.rows, quantity=quantity),
        partial(curves.curve, along=along, quantity=quantity),
        has_values=True,
        against=(along, quantity),
    )


#: by the names of their files
KINDS = {
    "latency-throughput": Kind(
        "Latency against throughput",
        "points",
        _with_latency,
        latency_rows,
        curves.latency_throughput,
        has_values=True,
    ),
    "throughput-batch-size": _curve(BATCH_SIZE, THROUGHPUT),
    "throughput-nodes": _curve(NODES, THROUGHPUT),
    "throughput-share": _curve(NODES_AT_SHARE, THROUGHPUT),
    "epoch-batch-size": _curve(BATCH_SIZE, EPOCH),
    "epoch-share": _curve(NODES_AT_SHARE, EPOCH),
    "bytes-batch-size": Kind(
        f"{BYTES.title} against {BATCH_SIZE.what}",
        "points",
        lambda groups: BATCH_SIZE.groups(groups, BYTES.figure),
        overhead_rows,
        curves.overhead,
        has_values=True,
    ),
    "cpu-per-epoch-nodes": Kind(
        "Processor time of an epoch against the number of nodes, at the same B / N",
        "points",
        at_fixed_share,
        growth_rows,
        curves.growth,
        most=MOST_LINES,
    ),
    "latency-batch-size": Kind(
        "Latency against the batch size",
        "points",
        partial(on_curves, key="batch-size", figure="latency_s.p50"),
        partial(latency_curve_rows, key="batch-size"),
        partial(curves.latency_curve, key="batch-size"),
        has_values=True,
    ),
    "time-series": Kind(
        "Transactions second by second",
        "first",
        partial(_with_file, "seconds.csv"),
        series_rows,
        series.time_series,
        most=MOST_PANELS,
        has_values=True,
    ),
    "phases": Kind("Where an epoch's time goes", "mean", _with_phases, phase_rows, bars.phases, most=MOST_BARS),
    "crypto-per-epoch": Kind(
        "Processor time of an epoch by cryptographic operation, all nodes together",
        "mean",
        partial(_with_figure, "crypto_cpu_s_per_epoch.check"),
        crypto_rows,
        partial(bars.phases, label="mean processor time of an epoch (ms)", after="all_else"),
        most=MOST_BARS,
    ),
    "latency-cdf": Kind(
        "Distribution of latency",
        "together",
        partial(_with_file, "latency.csv"),
        cdf_rows,
        curves.latency_cdf,
        most=MOST_LINES,
    ),
    "cost-per-transaction": Kind(
        "Cost of a committed transaction, all nodes together",
        "bars",
        partial(_with_figure, "cpu_s_per_tx"),
        cost_rows,
        bars.cost,
        most=MOST_BARS,
    ),
}
