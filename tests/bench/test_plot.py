"""Figures of made-up results: which there are, and that the numbers beside them are right."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from results_helpers import experiment_results, made_up, write

from bench.experiment import Experiment
from bench.figure_data import curve_rows, fault_spans, latency_rows
from bench.plot import draw_all
from bench.results import grouped, read_results
from bench.series import read_csv
from honeybadger.cluster.errors import ClusterError

SERIES = {"series": [{"nodes": [4, 7], "batch-size": 100}, {"nodes": 4, "batch-size": [100, 1000]}], "repeats": 2}
#: N = 4 B = 100, N = 7 B = 100, N = 4 B = 1000; twice
THROUGHPUTS = [1000.0, 600.0, 4000.0, 1200.0, 500.0, 0.0]


def test_figures_and_their_numbers(tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "figures"
    written = draw_all(grouped(experiment_results(tmp_path, THROUGHPUTS, **SERIES)), out)
    names = {
        *("latency-throughput", "throughput-batch-size", "throughput-nodes", "time-series", "phases", "latency-cdf"),
        "cost-per-transaction",
    }
    assert {path.name for path in written} == {f"{name}.{end}" for name in names for end in ("png", "svg", "csv")}
    for path in written:
        head = path.read_bytes()[:200]
        assert head.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".csv": b"line,"}[path.suffix])
    rows = read_csv(out / "throughput-nodes.csv")
    assert [(row["line"], row["nodes"], row["throughput_tx_per_s"]) for row in rows] == [
        ("B = 100", "4", "1100"),
        ("B = 100", "7", "550"),
    ]
    assert (rows[0]["throughput_tx_per_s_min"], rows[0]["throughput_tx_per_s_max"]) == ("1000", "1200")
    sizes = read_csv(out / "throughput-batch-size.csv")
    assert [(row["line"], row["batch-size"]) for row in sizes] == [("N = 4", "100"), ("N = 4", "1000")]
    cdf = [row for row in read_csv(out / "latency-cdf.csv") if row["line"] == "N = 4, B = 100"]
    assert float(cdf[-1]["share"]) == 1 and [float(row["share"]) for row in cdf] == sorted(
        float(r["share"]) for r in cdf
    )
    steps = {row["step"]: row["mean_ms"] for row in read_csv(out / "phases.csv")}
    assert steps == {"broadcast": "30", "agreement": "10"}
    cost = read_csv(out / "cost-per-transaction.csv")
    assert len(cost) == 3 and (cost[0]["cpu_us"], cost[0]["sent_bytes"]) == ("20", "1234.5")


def test_latency_against_throughput_goes_along_the_load(tmp_path):
    """Beyond saturation less is committed of more, so the order is not that of throughput; the closed loop is last."""
    series = {"series": [{"rate": [8000, 100, 2000]}, {"duration": 10}]}
    rows = latency_rows(grouped(experiment_results(tmp_path, [1500.0, 100.0, 1900.0, 2000.0], **series)))
    assert [row["throughput_tx_per_s"] for row in rows] == [100.0, 1900.0, 1500.0, 2000.0]


def test_the_same_numbers_give_the_same_vector_file(tmp_path):
    pytest.importorskip("matplotlib")
    groups = grouped(experiment_results(tmp_path, THROUGHPUTS, **SERIES))
    for directory in ("a", "b"):
        draw_all(groups, tmp_path / directory)
    for path in (tmp_path / "a").glob("*.svg"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_more_kinds_than_a_figure_holds_and_faults(tmp_path):
    pytest.importorskip("matplotlib")
    runs = Experiment.parse({"batch-size": list(range(1, 31)), "delay": "1ms"}, "x").runs
    outages = [{"node": 3, "killed_at_s": k, "restarted_at_s": k + 0.5 if k else None} for k in range(5)]
    for run in runs:
        write(tmp_path, run, made_up(run, outages=outages))
    written = draw_all(grouped(read_results(tmp_path)), tmp_path / "figures")
    assert len(written) == 6 * 3
    assert len({row["line"] for row in read_csv(tmp_path / "figures" / "time-series.csv")}) == 8


def test_what_is_in_a_label_is_no_formula(tmp_path):
    pytest.importorskip("matplotlib")
    groups = grouped(experiment_results(tmp_path, [1.0, 2.0], **{"batch-size": [1, 2]}))
    groups = [replace(group, options={**group.options, "wan": f"{number}$_$"}) for number, group in enumerate(groups)]
    assert "1$_$" in next(p for p in draw_all(groups, tmp_path / "f") if p.name == "latency-cdf.csv").read_text()


def test_only_lines_of_several_points_are_drawn(tmp_path):
    groups = grouped(experiment_results(tmp_path, [1.0, 2.0, 3.0], **{**SERIES, "repeats": 1}))
    assert {row["line"] for row in curve_rows(groups, "nodes")} == {"B = 100"}


def test_faults_are_marked_in_seconds_of_the_window():
    fault = {"kind": "delay", "start_s": 5.0, "end_s": 8.0}
    summary = {
        "outages": [{"node": n, "killed_at_s": 4.0, "restarted_at_s": None} for n in (1, 2)],
        "link_faults": [fault, {"kind": "slow"}, fault],
        "link_fault_zero_s": -1.5,
    }
    assert fault_spans(summary) == [(-1.5, None, "slow"), (3.5, 6.5, "delay"), (4.0, None, "killed: 1, 2")]


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ClusterError, match=r"figures need matplotlib.*pip install -e '\.\[plot\]'"):
        draw_all(grouped(experiment_results(tmp_path, [1.0])), tmp_path / "figures")


def test_nothing_valid_is_nothing_to_draw(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ClusterError, match="no valid run"):
        draw_all(grouped(experiment_results(tmp_path, [0.0])), tmp_path / "figures")
