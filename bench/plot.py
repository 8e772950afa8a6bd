"""Figures of an experiment: each as PNG and SVG, with a CSV of its numbers beside it.

Which figures there are depends on what varies in the experiment. Lines and bars are medians over repeats, bars through
points reach from the smallest to the largest. Needs matplotlib, the optional extra `plot`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.experiment import varied_keys
from bench.figure_data import (
    Row,
    cdf_rows,
    cost_rows,
    curve_rows,
    fault_spans,
    latency_rows,
    phase_rows,
    series_rows,
)
from bench.results import Group
from bench.series import write_csv
from honeybadger.cluster.errors import ClusterError

MARKERS = "osD^vP*Xhd"
#: groups in one figure beyond which it is not read any more
MOST_PANELS = 8
MOST_BARS = 24
#: marks of faults with words; with more of them the words would overlap
MOST_WORDS = 4
#: panels get scales of their own if their highest values differ by this factor
UNLIKE_SCALES = 4

Draw = Callable[[Any, list[Row], Sequence[Group]], Any]


def draw_all(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write every figure that makes sense; returns the files. ClusterError, in one line, without matplotlib."""
    pyplot = _pyplot()
    groups = [group for group in groups if group.valid]
    if not groups:
        raise ClusterError("no valid run is there to draw")
    varied = varied_keys([group.options for group in groups])
    wanted: list[tuple[str, list[Row], Draw]] = []
    if len(groups) > 1:
        wanted.append(("latency-throughput", latency_rows(groups), _latency))
    for key, name in (("batch-size", "throughput-batch-size"), ("nodes", "throughput-nodes")):
        if key in varied:
            wanted.append((name, curve_rows(groups, key), _throughput(key)))
    wanted += [
        ("time-series", series_rows(groups, MOST_PANELS), _time_series),
        ("phases", phase_rows(groups, MOST_BARS), _phases),
        ("latency-cdf", cdf_rows(groups), _cdf),
        ("cost-per-transaction", cost_rows(groups, MOST_BARS), _cost),
    ]
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, rows, draw in wanted:
        if not rows:
            continue
        figure = draw(pyplot, rows, groups)
        for ending in ("png", "svg"):
            # A fixed date and salt: the same numbers give the same file.
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(out / f"{name}.{ending}", dpi=150, bbox_inches="tight", metadata=metadata)
            written.append(out / f"{name}.{ending}")
        pyplot.close(figure)
        write_csv(out / f"{name}.csv", rows)
        written.append(out / f"{name}.csv")
    return written


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ClusterError("figures need matplotlib; in the project's folder: pip install -e '.[plot]'") from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "font.size": 10,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            # What is in a label is no formula.
            "text.parse_math": False,
            "svg.hashsalt": "honeybadger",
        }
    )
    return pyplot


def _lines(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["line"], []).append(row)
    return found


def _style(number: int) -> dict[str, Any]:
    return {"color": f"C{number % 10}", "marker": MARKERS[number % len(MARKERS)], "markersize": 5}


def _legend(axes: Any, entries: int) -> None:
    if entries > 5:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9)
    elif entries > 1:
        axes.legend(fontsize=9)


def _errors(rows: list[Row], name: str) -> list[list[float]]:
    return [
        [row[name] - row[f"{name}_min"] for row in rows],
        [row[f"{name}_max"] - row[name] for row in rows],
    ]


def _count_axis(axis: Any) -> None:
    """Whole numbers with thousands separated."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _log_axis(axis: Any) -> None:
    """Plain numbers at 1, 2 and 5 of each factor of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=20))
    axis.set_minor_formatter(NullFormatter())
    _count_axis(axis)


def _latency(pyplot: Any, rows: list[Row], _: Sequence[Group]) -> Any:
    figure, axes = pyplot.subplots(figsize=(7.5, 4.8))
    lines = _lines(rows)
    for number, (line, points) in enumerate(lines.items()):
        style = _style(number)
        x = [point["throughput_tx_per_s"] for point in points]
        axes.errorbar(
            x,
            [point["latency_p50_ms"] for point in points],
            xerr=_errors(points, "throughput_tx_per_s"),
            yerr=_errors(points, "latency_p50_ms"),
            capsize=2,
            label=line,
            **style,
        )
        p99 = [point["latency_p99_ms"] for point in points]
        axes.plot(x, p99, linestyle=":", fillstyle="none", **style)
        for point in points:
            place = {"textcoords": "offset points", "xytext": (5, -11), "fontsize": 7, "color": style["color"]}
            if point["point"]:
                axes.annotate(point["point"], (point["throughput_tx_per_s"], point["latency_p50_ms"]), **place)
    axes.set(xlabel="committed, transactions per second", ylabel="latency, ms: filled p50, hollow p99")
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.margins(x=0.1)
    _count_axis(axes.xaxis)
    _log_axis(axes.yaxis)
    _legend(axes, max(6, len(lines)) if len(lines) > 1 else 1)
    axes.set_title("Latency against throughput")
    return figure


def _throughput(key: str) -> Draw:
    def draw(pyplot: Any, rows: list[Row], _: Sequence[Group]) -> Any:
        figure, axes = pyplot.subplots(figsize=(7.0, 4.4))
        lines = _lines(rows)
        for number, (line, points) in enumerate(lines.items()):
            axes.errorbar(
                [point[key] for point in points],
                [point["throughput_tx_per_s"] for point in points],
                yerr=_errors(points, "throughput_tx_per_s"),
                capsize=2,
                label=line,
                **_style(number),
            )
        values = sorted({row[key] for row in rows})
        if key == "batch-size":
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(values)
        _count_axis(axes.xaxis)
        _count_axis(axes.yaxis)
        axes.set_ylim(bottom=0)
        names = {"batch-size": "batch size B, transactions per epoch over all nodes", "nodes": "number of nodes N"}
        axes.set(xlabel=names[key], ylabel="committed, transactions per second")
        titles = {"batch-size": "Throughput against batch size", "nodes": "Throughput against the number of nodes"}
        axes.set_title(titles[key])
        _legend(axes, len(lines))
        return figure

    return draw


def _time_series(pyplot: Any, rows: list[Row], groups: Sequence[Group]) -> Any:
    lines = _lines(rows)
    inches = 1.4 + 1.9 * len(lines)
    figure, grid = pyplot.subplots(len(lines), 1, figsize=(8, inches), sharex=True, squeeze=False)
    panels = grid[:, 0]
    keys = varied_keys([group.options for group in groups])
    by_label = {group.label(keys): group for group in groups}
    names = ("offered_tx", "committed_at_quorum_tx", "committed_tx")
    peaks = [max(1.0, *(row[name] for row in points for name in names)) for points in lines.values()]
    # One scale for all, unless the small ones would be flat.
    own_scales = max(peaks) >= UNLIKE_SCALES * min(peaks)
    if not own_scales:
        peaks = [max(peaks)] * len(peaks)
    for axes, peak, (line, points) in zip(panels, peaks, lines.items(), strict=True):
        # The last value holds for its second, too.
        points = [*points, {**points[-1], "second": points[-1]["second"] + 1}]
        x = [point["second"] for point in points]
        # A value holds for the second after its mark.
        axes.step(x, [p["offered_tx"] for p in points], where="post", color="0.6", linewidth=1, label="offered")
        axes.step(x, [p["committed_at_quorum_tx"] for p in points], where="post", color="C0", label="on disk at N−f")
        committed = [p["committed_tx"] for p in points]
        axes.step(x, committed, where="post", color="C1", linewidth=1, linestyle="--", label="on disk at all correct")
        group = by_label[line]
        spans = fault_spans(group.valid[0].summary)
        for begin, end, text in spans:
            if end is None or end > begin:
                axes.axvspan(begin, min(end if end is not None else x[-1], x[-1]), color="C3", alpha=0.12)
            axes.axvline(begin, color="C3", linewidth=1)
            words = {"fontsize": 8, "color": "C3", "va": "bottom", "ha": "left"}
            if len(spans) <= MOST_WORDS:
                axes.annotate(text, (max(begin, x[0]), 1.0), xycoords=("data", "axes fraction"), **words)
        duration = group.options["duration"]
        axes.axvline(0, color="0.3", linewidth=0.8, linestyle="-.")
        axes.axvline(duration, color="0.3", linewidth=0.8, linestyle="-.")
        axes.set_title(line + ("\n" if spans else ""), loc="left", fontsize=9)
        axes.set_ylabel("tx per second")
        axes.set_ylim(0, 1.08 * peak)
        _count_axis(axes.yaxis)
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[-1].set_xlabel("seconds (between the grey lines: measured; red: faults)")
    handles, labels = panels[0].get_legend_handles_labels()
    left_out = f" (the first {len(lines)} of {len(groups)} kinds of runs)" if len(lines) < len(groups) else ""
    left_out += "; the scales differ" if own_scales else ""
    figure.suptitle(f"Transactions second by second{left_out}", x=0.02, y=1 - 0.08 / inches, ha="left", va="top")
    figure.tight_layout(rect=(0, 0.35 / inches, 1, 1 - 0.35 / inches))
    figure.legend(handles, labels, loc="lower center", ncol=3, fontsize=9, bbox_to_anchor=(0.5, 0))
    return figure


def _bars(pyplot: Any, count: int, columns: int) -> Any:
    return pyplot.subplots(1, columns, figsize=(3.6 + 3.8 * columns, 1.6 + 0.42 * count), sharey=True, squeeze=False)


def _phases(pyplot: Any, rows: list[Row], _: Sequence[Group]) -> Any:
    lines = list(dict.fromkeys(row["line"] for row in rows))
    steps = list(dict.fromkeys(row["step"] for row in rows))
    figure, grid = _bars(pyplot, len(lines), 1)
    axes = grid[0, 0]
    left = dict.fromkeys(lines, 0.0)
    labels = {step: step.replace("_", " ") for step in steps}
    # Each line in its own order, which is that of time: protocols share some steps.
    for row in rows:
        line, step = row["line"], row["step"]
        colour = f"C{steps.index(step) % 10}"
        axes.barh(line, row["mean_ms"], left=left[line], color=colour, label=labels.pop(step, None))
        left[line] += row["mean_ms"]
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("mean time of an epoch at a node, ms")
    axes.set_title("Where an epoch's time goes")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9)
    return figure


def _cdf(pyplot: Any, rows: list[Row], _: Sequence[Group]) -> Any:
    figure, axes = pyplot.subplots(figsize=(7.0, 4.4))
    lines = _lines(rows)
    for number, (line, points) in enumerate(lines.items()):
        x = [point["latency_ms"] for point in points]
        dashes = ("-", "--", ":")[number // 10 % 3]
        axes.plot(x, [100 * point["share"] for point in points], color=f"C{number % 10}", linestyle=dashes, label=line)
    axes.set_xscale("log")
    _log_axis(axes.xaxis)
    axes.set_ylim(0, 101)
    axes.set(xlabel="latency from scheduled submission to durable, ms", ylabel="transactions at most so late, %")
    axes.set_title("Distribution of latency")
    _legend(axes, max(6, len(lines)) if len(lines) > 1 else 1)
    return figure


def _cost(pyplot: Any, rows: list[Row], _: Sequence[Group]) -> Any:
    lines = [row["line"] for row in rows]
    figure, grid = _bars(pyplot, len(lines), 2)
    panels = (("cpu_us", "processor time, µs per transaction"), ("sent_bytes", "sent, bytes per transaction"))
    for number, (axes, (name, label)) in enumerate(zip(grid[0], panels, strict=True)):
        values = [row[name] or 0.0 for row in rows]
        errors = [[v - (r[f"{name}_min"] or 0.0) for v, r in zip(values, rows, strict=True)]]
        errors.append([(r[f"{name}_max"] or 0.0) - v for v, r in zip(values, rows, strict=True)])
        axes.barh(lines, values, xerr=errors, capsize=2, color=f"C{number}")
        axes.grid(False, axis="y")
        axes.set_xlabel(label)
        _count_axis(axes.xaxis)
    grid[0, 0].invert_yaxis()
    figure.suptitle("Cost of a committed transaction, all nodes together")
    figure.tight_layout()
    return figure
