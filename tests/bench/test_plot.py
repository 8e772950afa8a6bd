"""Figures of made-up results: which there are, and that their numbers are right."""

import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from support.results import experiment_results, made_up, write

from bench.measure.results import grouped, read_results
from bench.measure.timeline import read_csv
from bench.plan.experiment import Experiment
from bench.show.against import NODES, THROUGHPUT
from bench.show.captions import caption
from bench.show.clock import Clock, clocks_of, fault_spans
from bench.show.figure_data import latency_curve_rows, latency_rows, on_curves, series_rows
from bench.show.figures.style import Style
from bench.show.plot import draw_all, formats_of, names_of, width_of
from honeybadger.cli.main import cli
from honeybadger.cluster.errors import ClusterError

SERIES = {"series": [{"nodes": [4, 7], "batch-size": 100}, {"nodes": 4, "batch-size": [100, 1000]}], "repeats": 2}
#: N = 4 B = 100, N = 7 B = 100, N = 4 B = 1000; twice
THROUGHPUTS = [1000.0, 600.0, 4000.0, 1200.0, 500.0, 0.0]


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return grouped(experiment_results(tmp_path_factory.mktemp("results"), THROUGHPUTS, **SERIES))


def test_figures_and_their_numbers(groups, tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    out = tmp_path / "figures"
    written = draw_all(groups, out)
    names = {
        *("latency-throughput", "throughput-batch-size", "throughput-nodes", "latency-batch-size"),
        *("epoch-batch-size", "bytes-batch-size"),
        *("time-series", "phases", "crypto-per-epoch", "latency-cdf", "cost-per-transaction"),
    }
    assert {drawn.name for drawn in written} == names
    files = [path for drawn in written for path in drawn.paths]
    assert {path.name for path in files} == {f"{name}.{end}" for name in names for end in ("png", "svg", "csv")}
    for path in files:
        head = path.read_bytes()[:200]
        assert head.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".csv": b"line,"}[path.suffix])
    rows = read_csv(out / "throughput-nodes.csv")
    assert [(row["line"], row["nodes"], row["throughput_tx_per_s"]) for row in rows] == [
        ("all runs", "4", "1100"),
        ("all runs", "7", "550"),
    ]
    assert (rows[0]["throughput_tx_per_s_min"], rows[0]["throughput_tx_per_s_max"]) == ("1000", "1200")
    sizes = read_csv(out / "throughput-batch-size.csv")
    assert [(row["line"], row["batch-size"]) for row in sizes] == [("all runs", "100"), ("all runs", "1000")]
    latencies = read_csv(out / "latency-batch-size.csv")
    assert [(row["batch-size"], row["latency_p50_ms"], row["latency_p99_ms"]) for row in latencies] == [
        ("100", "100", "400"),
        ("1000", "100", "400"),
    ]
    shares = [float(row["share"]) for row in read_csv(out / "latency-cdf.csv") if row["line"] == "N = 4, B = 100"]
    assert shares[-1] == 1 and shares == sorted(shares)
    steps = {row["step"]: row["mean_ms"] for row in read_csv(out / "phases.csv")}
    assert steps == {"broadcast": "30", "agreement": "10"}
    crypto = {row["step"]: float(row["mean_ms"]) for row in read_csv(out / "crypto-per-epoch.csv")}
    assert crypto == {"check": 200, "decrypt": 50, "all_else": 250}
    cost = read_csv(out / "cost-per-transaction.csv")
    assert len(cost) == 3 and (cost[0]["cpu_us"], cost[0]["sent_bytes"]) == ("20", "1234.5")


def test_the_same_numbers_give_the_same_file_and_a_pdf_has_truetype_fonts(groups, tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    first, again = (
        [path for drawn in draw_all(groups, tmp_path / name, ("pdf", "svg", "png"), only) for path in drawn.paths]
        for name, only in (("a", ["latency-throughput", "phases"]), ("b", ["latency-throughput", "phases"]))
    )
    assert [path.name for path in first] == [
        f"{name}.{end}" for name in ("latency-throughput", "phases") for end in ("pdf", "svg", "png", "csv")
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    pdf = first[0].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"Date" not in pdf


def test_the_command_draws_what_it_is_asked_for(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    experiment_results(tmp_path, THROUGHPUTS, **SERIES)
    asked = ["--format=svg", "--only=latency-cdf,throughput-nodes", "--width=84mm", "--log-y", "--no-title"]
    said = CliRunner().invoke(cli, ["bench", "plot", str(tmp_path), *asked])
    assert said.exit_code == 0
    names = ["throughput-nodes.svg", "throughput-nodes.csv", "latency-cdf.svg", "latency-cdf.csv"]
    assert [line.rsplit("/", 1)[1] for line in said.stdout.split()] == names
    for name in names[::2]:
        text = (tmp_path / "figures" / name).read_text()
        # 84 mm in points.
        assert 'width="238.11' in text and "Throughput against" not in text


def test_the_small_print_can_be_left_out_of_the_figure_and_is_printed_for_the_caption(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    experiment_results(tmp_path, THROUGHPUTS, **SERIES)
    note = "Honey Badger, N = 4 and 7, B = 100, 250-byte transactions, closed loop, median of 2, bars min–max"
    # Text as text, to look for it.
    matplotlib = pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    for asked, printed in (([], []), (["--no-notes"], [f"throughput-nodes: {note}"])):
        out = tmp_path / f"figures{len(asked)}"
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            options = ["--format=svg", "--only=throughput-nodes", f"--out={out}", *asked]
            said = CliRunner().invoke(cli, ["bench", "plot", str(tmp_path), *options])
        assert said.exit_code == 0
        files = [str(out / f"throughput-nodes.{end}") for end in ("svg", "csv")]
        assert said.stdout.splitlines() == [*files, *printed]
        assert ("bars min–max" in (out / "throughput-nodes.svg").read_text()) is not bool(asked)


def test_nonsense_is_one_line_that_says_what_there_is(groups, tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    for call, said in (
        (lambda: names_of(["phases,latency-cfd"]), r"--only 'latency-cfd' is none of .*; did you mean latency-cdf\?$"),
        (lambda: formats_of("png,gif"), "--format 'gif' is none of pdf, svg, png$"),
        (lambda: formats_of(","), "--format has no value: write one or more of pdf, svg, png$"),
        (lambda: width_of("wide"), "--width 'wide' is not a width: write 84mm, 8.4cm or 3.3in$"),
        (lambda: width_of("84"), "is not a width"),
        (lambda: width_of("2in"), "--width 2in is not from 60mm to 400mm$"),
        (lambda: width_of("41cm"), "--width 41cm is not from 60mm to 400mm$"),
        (lambda: draw_all(groups[:1], tmp_path, only=["throughput-nodes"]), "--only throughput-nodes: .* only time-s"),
        (lambda: draw_all(groups, tmp_path, only=["phases"], style=Style(log_y=True)), "--log-y: phases cannot"),
    ):
        with pytest.raises(ClusterError, match=said):
            call()
    assert names_of(["phases, latency-cdf", "phases"]) == ["phases", "latency-cdf"]
    assert formats_of("pdf,png,pdf") == ["pdf", "png"]
    assert width_of("8.4cm") == pytest.approx(84 / 25.4) == width_of(" 84 mm ") and width_of("7in") == 7


def test_a_caption_says_that_runs_were_simulated(tmp_path):
    (run,) = Experiment.parse({}, "x").runs
    write(tmp_path, run, made_up(run, place="virtual time"))
    assert "closed loop, in virtual time, one run" in caption(grouped(read_results(tmp_path)), "points")


def test_the_caption_says_what_the_runs_have_in_common(groups, tmp_path):
    assert caption(groups, "points") == (
        "Honey Badger, N = 4 and 7, B = 100 and 1,000, 250-byte transactions, closed loop, "
        "median of 1 to 2, bars min–max"
    )
    given = {"nodes": [4, 5, 6, 7, 8, 9, 10], "rate": 50, "delay": "3:2s@1-2", "protocol": "pbft"}
    runs = Experiment.parse(given, "x").runs
    for run in runs:
        write(tmp_path, run, made_up(run))
    assert caption(grouped(read_results(tmp_path)), "mean") == (
        "PBFT, N = 4 to 10, B = 10,000, 250-byte transactions, 50 tx/s offered, "
        "messages from and to node 3 delayed by 2 s, one run each"
    )


def test_latency_against_throughput_goes_along_the_load(tmp_path):
    """Beyond saturation less is committed of more, so the order is not that of throughput; the closed loop is last."""
    series = {"series": [{"rate": [8000, 100, 2000]}, {"duration": 10}]}
    rows = latency_rows(grouped(experiment_results(tmp_path, [1500.0, 100.0, 1900.0, 2000.0], **series)))
    assert [row["throughput_tx_per_s"] for row in rows] == [100.0, 1900.0, 1500.0, 2000.0]


def test_more_kinds_than_a_figure_holds_and_faults_and_labels_that_look_like_formulas(tmp_path, monkeypatch):
    catalogue = pytest.importorskip("bench.show.figures.catalogue", reason="no matplotlib: make .venv/.installed-test")
    for name, most in {"time-series": 2, "phases": 3, "cost-per-transaction": 3}.items():
        monkeypatch.setitem(catalogue.KINDS, name, replace(catalogue.KINDS[name], most=most))
    # More kinds than there are colours and markers.
    runs = Experiment.parse({"batch-size": list(range(1, 12)), "delay": "1ms"}, "x").runs
    outages = [{"node": 3, "killed_at_s": k, "restarted_at_s": k + 0.5 if k else None} for k in range(5)]
    for run in runs:
        write(tmp_path, run, made_up(run, outages=outages))
    groups = grouped(read_results(tmp_path))
    groups = [replace(group, options={**group.options, "wan": f"{number}$_$"}) for number, group in enumerate(groups)]
    out = tmp_path / "figures"
    assert len(draw_all(groups, out)) == 6
    names = ("time-series", "phases", "cost-per-transaction", "latency-cdf")
    lines = {name: {row["line"] for row in read_csv(out / f"{name}.csv")} for name in names}
    assert [len(lines[name]) for name in names] == [2, 3, 3, 11]
    assert "WAN 1$_$, B = 2" in lines["latency-cdf"]


def test_only_lines_of_several_points_are_drawn(tmp_path):
    groups = grouped(experiment_results(tmp_path, [1.0, 2.0, 3.0], **{**SERIES, "repeats": 1}))
    chosen = on_curves(groups, "nodes", "throughput_tx_per_s")
    assert [(group.options["nodes"], group.options["batch-size"]) for group in chosen] == [(4, 100), (7, 100)]
    assert [row["throughput_tx_per_s"] for row in NODES.rows(chosen, THROUGHPUT)] == [1.0, 2.0]
    assert [row["latency_p99_ms"] for row in latency_curve_rows(chosen, "nodes")] == [400.0, 400.0]


@pytest.fixture
def with_faults(tmp_path):
    """A run without faults, one with a killed node, and one with a delay from second 5 to 8."""
    raw = {"series": [{"crash": [0, 1]}, {"delay": "leader:2s@5-8"}], "protocol": "pbft", "duration": 10}
    for run in Experiment.parse(raw, "x").runs:
        outages = [{"node": 3, "killed_at_s": 5.02, "restarted_at_s": None}] if run.settings.crash else []
        delay = {"kind": "delay", "delay_s": 2.0, "start_s": 5.0, "end_s": 8.0, "leader": True}
        faults = [delay] if run.settings.delay else []
        write(tmp_path, run, made_up(run, outages=outages, link_faults=faults, link_fault_zero_s=-2.5))
    return {group.options["crash"] or group.options["delay"]: group for group in grouped(read_results(tmp_path))}


def test_faults_are_on_the_clock_on_which_they_were_asked_for(with_faults):
    none, crash, delay = (with_faults[key] for key in ("", 1, "leader:2s@5-8"))
    # What has no fault is on the clock of what it is compared with.
    assert clocks_of([none, delay]) == [Clock.CONNECTED, Clock.CONNECTED]
    assert clocks_of([none, crash]) == [Clock.MEASURED, Clock.MEASURED]
    assert clocks_of([none, crash, delay]) == [Clock.CONNECTED, Clock.MEASURED, Clock.CONNECTED]
    assert fault_spans(delay, Clock.CONNECTED) == [(5.0, 8.0, "the leader's messages delayed by 2 s")]
    assert fault_spans(delay, Clock.MEASURED) == [(2.5, 5.5, "the leader's messages delayed by 2 s")]
    assert fault_spans(crash, Clock.MEASURED) == [(5.02, None, "node 3 killed")]
    rows = series_rows([delay, crash])
    assert {row["clock_s"] - row["second"] for row in rows if "delayed" in row["line"]} == {2.5}
    assert {row["clock_s"] - row["second"] for row in rows if "killed" in row["line"]} == {0.0}


def test_what_lasts_for_the_whole_run_is_no_span_and_faults_of_the_same_time_are_one(with_faults):
    group = with_faults[1]
    slow = {"kind": "slow", "every_s": 0.02, "receivers": [1]}
    at_once = [
        {"kind": "delay", "delay_s": 1.0, "start_s": 1.0, **ends} for ends in ({"senders": [2]}, {"senders": [2]})
    ]
    outages = [{"node": n, "killed_at_s": 4.0, "restarted_at_s": 6.0} for n in (1, 2)]
    summary = {"outages": outages, "link_faults": [slow, *at_once], "link_fault_zero_s": -1.5}
    group = replace(group, results=[replace(group.results[0], summary={**group.results[0].summary, **summary})])
    assert fault_spans(group, Clock.MEASURED) == [
        (-0.5, None, "node 2's messages delayed by 1 s"),
        (4.0, 6.0, "nodes 1 and 2 down"),
    ]


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("bench.show.figures.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("bench.show.figures.catalogue", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ClusterError, match=r"figures need matplotlib.*pip install -e '\.\[plot\]'"):
        draw_all(grouped(experiment_results(tmp_path, [1.0])), tmp_path / "figures")


def test_nothing_valid_is_nothing_to_draw(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    with pytest.raises(ClusterError, match="no valid run"):
        draw_all(grouped(experiment_results(tmp_path, [0.0])), tmp_path / "figures")
