"""Figures as they are seen: nothing touches anything else, scales do not mislead, and grey tells as much as colour."""

from itertools import combinations, pairwise

import msgspec
import numpy as np
import pytest
from support.results import made_up, write

from bench.measure.results import grouped, read_results
from bench.measure.timeline import write_csv
from bench.plan.experiment import Experiment
from bench.show.figures.style import Style, bar_style, lightness, line_styles

catalogue = pytest.importorskip("bench.show.figures.catalogue", reason="no matplotlib: make .venv/.installed-test")
KINDS = catalogue.KINDS
PROTOCOLS = ["honeybadger", "pbft"]
PROTOCOL_NAMES, QUANTILES = ["Honey Badger", "PBFT"], ["p50 (filled)", "p99 (hollow)"]
EXPERIMENTS = {
    "nodes and batch": {"protocol": PROTOCOLS, "nodes": [4, 7, 10], "batch-size": [400, 4000, 40000], "repeats": 3},
    "wan": {"protocol": PROTOCOLS, "nodes": 8, "wan": "eight-regions", "rate": [100, 1000, 4000, 8000, 12000]},
    "faults": {
        "protocol": PROTOCOLS,
        "duration": 20,
        "series": [
            {"delay": ["", "leader:2s@9-17", "0>1:2s@2-4;1,2:50ms@3-10;3:1s@16-"]},
            {"restart": 1, "restart-rounds": 2, "restart-after": 3},
        ],
    },
    "powers of two": {"batch-size": [2**power for power in range(8, 19)], "nodes": [8, 64], "warmup": 30},
    "one run": {"delay": "1s@1-2"},
    "same share": {
        "protocol": PROTOCOLS,
        "series": [
            {"nodes": nodes, "batch-size": nodes * share, "duration": nodes}
            for nodes, share in ((4, 10), (8, 10), (16, 10), (4, 99), (8, 99), (16, 99))
        ],
    },
}
STEPS = {
    "honeybadger": ["broadcast", "agreement", "decryption", "in_order", "ledger"],
    "pbft": ["prepare", "commit", "in_order", "ledger"],
}
WIDTHS = (60, 84, 190.5)


def results(directory, raw):
    for number, run in enumerate(Experiment.parse(raw, "x").runs):
        settings = run.settings
        throughput = min(settings.rate or 1e9, (9000 + 700 * (number % 7)) * settings.parameters.batch_size / 4000)
        p50 = 0.5 if throughput < 8000 else 0.1 * number
        rounds = range(settings.restart_rounds if settings.restart else 0)
        outages = [{"node": 2, "killed_at_s": 6.0 + 8 * at, "restarted_at_s": 9.0 + 8 * at} for at in rounds]
        faults = msgspec.to_builtins(settings.link_faults)
        changes = {"latency_s": {"p50": p50 + 0.1, "p99": 3 * p50 + 0.2}, "link_faults": faults, "outages": outages}
        changes["phase_s"] = dict.fromkeys(STEPS[settings.parameters.protocol], 0.02)
        write(directory, run, made_up(run, throughput * (1 + run.repeat / 10), link_fault_zero_s=-2.5, **changes))
        counts = dict.fromkeys(("offered_tx", "committed_tx", "committed_at_quorum_tx"), round(throughput))
        seconds = [{"second": second, **counts} for second in range(-2, int(settings.duration_s) + 2)]
        write_csv(directory / "runs" / run.directory_name / "seconds.csv", seconds)
    return grouped(read_results(directory))


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return {name: results(tmp_path_factory.mktemp("results"), raw) for name, raw in EXPERIMENTS.items()}


def sheets(groups, style, only=None):
    """(name, figure) of all that make sense, or of one."""
    for name, kind in KINDS.items():
        if only in (None, name) and (shown := kind.groups(groups)):
            held = shown[: kind.most]
            yield name, kind.sheet(style, kind.rows(held), held, len(shown)).figure


def texts(figure):
    """(text, box in pixels) of all that is written."""
    from matplotlib.text import Text

    # Labels at points get their places when they are drawn.
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    off_axis = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low * 0.999999 - 1e-9 <= tick.get_loc() <= high * 1.000001 + 1e-9:
                off_axis |= {tick.label1, tick.label2}
    for text in figure.findobj(Text):
        # Not the window extent of an annotation, which has its line too.
        box = Text.get_window_extent(text, renderer)
        if text.get_visible() and text.get_text().strip() and text not in off_axis:
            yield text, box


def points(figure):
    """Pixels of what is measured, inside its axes."""
    for axes in figure.axes:
        frame = axes.get_window_extent()
        for line in axes.lines:
            # Some are shifted, so not the transformation of the axes itself.
            if len(line.get_xydata()) and line.get_transform().contains_branch(axes.transData):
                yield from (at for at in line.get_transform().transform(line.get_xydata()) if frame.contains(*at))


#: (experiment, width, with logarithmic y axes) that are drawn each time; the others are for `make soak`
QUICK = [*((one, 84, False) for one in EXPERIMENTS if one != "powers of two"), ("faults", 84, True)]
ALL = [(one, width, log_y) for one in EXPERIMENTS for width in WIDTHS for log_y in (False, True)]


@pytest.mark.parametrize(
    ("experiment", "width", "log_y"),
    [pytest.param(*one, marks=[] if one in QUICK else pytest.mark.soak) for one in ALL],
)
def test_no_text_touches_a_text_or_a_point_or_leaves_the_figure(groups, experiment, width, log_y):
    drawn = 0
    for name, figure in sheets(groups[experiment], Style(width / 25.4, log_y=log_y)):
        drawn += 1
        assert figure.get_size_inches()[0] == pytest.approx(width / 25.4)
        written = list(texts(figure))
        if width == 84:
            assert {text.get_fontsize() for text, _ in written} == {7, 8}, "a column of a paper"
        boxes = [(text.get_text(), box) for text, box in written]
        assert len(boxes) > 6
        for text, box in boxes:
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
            assert inside, f"{name}: {text!r} leaves the figure"
        for (one, its), (other, others) in combinations(boxes, 2):
            apart = its.x1 <= others.x0 + 1 or others.x1 <= its.x0 + 1
            apart = apart or its.y1 <= others.y0 + 1 or others.y1 <= its.y0 + 1
            assert apart, f"{name}: {one!r} touches {other!r}"
        for x, y in points(figure):
            for text, box in boxes:
                on = box.x0 < x < box.x1 and box.y0 < y < box.y1
                assert not on, f"{name}: {text!r} is on a point"
    assert drawn >= 4


def test_a_title_may_be_left_out(groups):
    for title in (True, False):
        (figure,) = (figure for _, figure in sheets(groups["wan"], Style(title=title), "phases"))
        assert ("Where an epoch's time goes" in [text.get_text() for text, _ in texts(figure)]) is title


def test_scales(groups):
    """Logarithmic where values span decades, or where it is asked for; bars begin at zero."""

    def axes_of(experiment, name, **style):
        ((_, figure),) = sheets(groups[experiment], Style(**style), name)
        return figure.axes[0]

    curve = axes_of("nodes and batch", "throughput-batch-size")
    assert (curve.get_xscale(), curve.get_yscale()) == ("log", "log")
    curve = axes_of("nodes and batch", "throughput-nodes")
    assert curve.get_xscale() == "linear"
    plain = axes_of("faults", "latency-throughput")
    assert plain.get_yscale() == "linear" and plain.get_ylim()[0] == 0
    assert axes_of("faults", "latency-throughput", log_y=True).get_yscale() == "log"
    assert axes_of("faults", "time-series", log_y=True).get_yscale() == "log"
    for name in ("phases", "cost-per-transaction"):
        bars = axes_of("powers of two", name, log_y=True)
        assert (bars.get_xscale(), bars.get_xlim()[0]) == ("linear", 0)
    cdf = axes_of("wan", "latency-cdf")
    assert (cdf.get_xlabel(), cdf.get_ylabel()) == ("latency (ms)", "fraction of transactions")
    assert cdf.get_ylim() == (0, 1.02)


def test_the_clock_of_a_panel_is_named_and_its_faults_are_drawn_on_it(groups):
    (figure,) = (figure for _, figure in sheets(groups["faults"], Style(), "time-series"))
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert set(labels) == {"seconds since all nodes were connected", "seconds of the measured time"}
    for axes in figure.axes:
        words = {text.get_text(): text.xy[0] for text in axes.texts}
        if "the leader's messages delayed by 2 s" in words:
            assert axes.get_xlabel() == "seconds since all nodes were connected"
            assert words["the leader's messages delayed by 2 s"] == 9
        if "node 2 down" in words:
            assert axes.get_xlabel() == "seconds of the measured time"
            assert sorted(text.xy[0] for text in axes.texts) == [6, 14]


def lines_of(axes):
    """Those that join measured points, not ends of bars."""
    return [line for line in axes.lines if line.get_linestyle() != "None"]


def test_points_at_the_same_x_lie_side_by_side(groups):
    for experiment in ("nodes and batch", "powers of two"):
        for width in WIDTHS:
            ((_, figure),) = sheets(groups[experiment], Style(width / 25.4), "throughput-batch-size")
            (axes,) = figure.axes
            pixels = [line.get_transform().transform(line.get_xydata())[:, 0] for line in lines_of(axes)]
            ticks = axes.transData.transform([(tick, 1) for tick in axes.get_xticks()])[:, 0]
            assert len(pixels) >= 2
            shifts = np.array(pixels) - ticks
            assert (np.diff(shifts, axis=0) > 2.3 * figure.dpi / 72).all(), "apart"
            assert shifts.mean() == pytest.approx(0, abs=1e-6), "around the value"
            frame = axes.get_window_extent()
            assert np.min(pixels) > frame.x0 + 2 and np.max(pixels) < frame.x1 - 2


def test_p50_and_p99_both_have_bars(groups):
    for name in ("latency-batch-size", "latency-throughput"):
        for row in (rows := KINDS[name].rows(KINDS[name].groups(groups["nodes and batch"]))):
            for quantile, more in (("latency_p50_ms", 1100), ("latency_p99_ms", 2200)):
                row |= {f"{quantile}_min": row[quantile], f"{quantile}_max": row[quantile] + more}
        shown = KINDS[name].groups(groups["nodes and batch"])
        (axes,) = KINDS[name].sheet(Style(), rows, shown, len(shown)).figure.axes
        segments = [segment for bars in axes.collections for segment in bars.get_segments()]
        heights = [round(float(np.ptp(segment[:, 1])), 6) for segment in segments]
        assert heights.count(1.1) == heights.count(2.2) == len(rows)


def test_lines_of_a_protocol_share_a_colour_in_every_figure(groups):
    """And bars of it, and in the two halves of the figure of costs."""
    colours = {}
    for name in KINDS.keys() - {
        *("time-series", "phases", "crypto-per-epoch"),
        *("cpu-per-epoch-nodes", "throughput-share", "epoch-share"),
    }:
        ((_, figure),) = sheets(groups["nodes and batch"], Style(), name)
        shown = KINDS[name].groups(groups["nodes and batch"])
        protocol_of = {row["line"]: row["protocol"] for row in KINDS[name].rows(shown)}
        for axes in figure.axes:
            looks = [(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in lines_of(axes)]
            bars = [(bar.get_facecolor(), bar.get_hatch()) for bar in axes.patches]
            each = max(1, len(looks) // len(protocol_of))
            for at, protocol in enumerate(protocol_of.values()):
                assert len({look[0] for look in looks[at * each : (at + 1) * each]}) <= 1
                kind, its = ("bar", bars[at]) if bars else ("line", looks[at * each][0])
                colours.setdefault((protocol, kind), set()).add(its)
    assert {key: len(its) for key, its in colours.items()} == dict.fromkeys(
        [(protocol, kind) for protocol in PROTOCOLS for kind in ("line", "bar")], 1
    )
    assert len(set.union(*colours.values())) == 4


def test_steps_are_in_the_order_of_time_and_the_disk_is_apart_from_the_epoch(groups):
    ((_, figure),) = sheets(groups["wan"], Style(84 / 25.4), "phases")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["broadcast", "agreement", "decryption", "prepare", "commit", "in order", "to disk"]
    (axes,) = figure.axes
    assert axes.get_xlabel() == "mean time from proposal to disk (ms)"
    last, *others = [patch.get_facecolor() for patch in reversed(figure.legends[0].get_patches())]
    assert last[:3] == (1, 1, 1) and last not in others


def test_bars_of_costs_say_their_values(groups):
    ((_, figure),) = sheets(groups["wan"], Style(84 / 25.4), "cost-per-transaction")
    for axes, value in zip(figure.axes, ("20", "1,230"), strict=True):
        assert [text.get_text() for text in axes.texts] == [value] * 10
        assert all(text.xy[0] == bar.get_width() for text, bar in zip(axes.texts, axes.patches, strict=True))


def test_a_label_is_nearest_to_a_point_of_its_load(groups):
    for experiment in ("wan", "nodes and batch"):
        for width in WIDTHS[1:]:
            ((_, figure),) = sheets(groups[experiment], Style(width / 25.4), "latency-throughput")
            (axes,) = figure.axes
            labels = [(text, box) for text, box in texts(figure) if text in axes.texts]
            assert labels
            rows = KINDS["latency-throughput"].rows(groups[experiment])
            scale = 1e-3 if "(s)" in axes.get_ylabel() else 1.0
            data = [
                (row["point"], row["throughput_tx_per_s"], scale * row[f"latency_{name}_ms"])
                for row in rows
                for name in ("p50", "p99")
            ]
            marks = axes.transData.transform([at for _, *at in data])
            for text, box in labels:
                assert text.arrow_patch is None
                beyond = np.hypot(*np.maximum(np.maximum(box.p0 - marks, marks - box.p1), 0).T)
                its = beyond[[point == text.get_text() for point, *_ in data]].min()
                assert its < 15 * figure.dpi / 72 and its == beyond.min()


def test_a_legend_of_two_kinds_has_a_block_for_each_unless_all_is_in_one_row(groups):
    for width, blocks in ((84, [PROTOCOL_NAMES, QUANTILES]), (190.5, [[*PROTOCOL_NAMES, *QUANTILES]])):
        ((_, figure),) = sheets(groups["wan"], Style(width / 25.4), "latency-throughput")
        assert [[text.get_text() for text in legend.get_texts()] for legend in figure.legends] == blocks


def test_notes_may_be_left_out(groups):
    for notes in (True, False):
        (figure,) = (figure for _, figure in sheets(groups["wan"], Style(notes=notes), "phases"))
        said = [text.get_text() for text, _ in texts(figure)]
        assert any("an epoch ends where “to disk” begins" in one for one in said) is notes


def test_lines_and_bars_stay_apart_in_grey():
    for protocols in (["pbft"] * 20, PROTOCOLS * 10, ["pbft"] * 10 + ["honeybadger"] * 10):
        lines = line_styles(protocols)
        assert len({(line["marker"], str(line["linestyle"]), lightness(line["color"])) for line in lines}) == 20
        assert len({(line["marker"], str(line["linestyle"])) for line in lines[:10]}) == 10
    own, pbft = (line_styles([protocol])[0]["color"] for protocol in PROTOCOLS)
    assert lightness(own) < 0.3 and lightness(pbft) > 0.6
    assert [line["color"] for line in line_styles(["another", "pbft", "honeybadger"])][1:] == [pbft, own]
    bars = [bar_style(index) for index in range(7)]
    assert len({bar["hatch"] for bar in bars}) == 7
    for looks in ([line["color"] for line in line_styles(["pbft"] * 4)], [bar["facecolor"] for bar in bars[:4]]):
        for one, other in pairwise(looks):
            assert abs(lightness(one) - lightness(other)) > 0.2
