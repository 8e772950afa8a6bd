"""Processor time of an epoch against N, at the same B / N: which runs, and the exponent."""

import statistics

import pytest
from support.results import made_up, write

from bench.measure.results import grouped, read_results
from bench.measure.timeline import read_csv
from bench.plan.experiment import READY_MADE, Experiment
from bench.show.growth import at_fixed_share, growth_rows, in_words
from bench.show.plot import draw_all


def results(directory, runs, cost):
    for run in runs:
        cpu_s = cost(run.settings.nodes) * (1 + run.repeat / 10)
        write(directory, run, made_up(run, cpu_s_per_epoch=cpu_s))
    return grouped(read_results(directory))


def test_a_power_is_found_again_in_the_ready_made_experiment(tmp_path):
    runs = Experiment.load(READY_MADE / "cpu-per-epoch-nodes.toml").runs
    groups = at_fixed_share(results(tmp_path, runs, lambda nodes: 0.003 * nodes**2.5))
    assert [group.options["nodes"] for group in groups] == [4, 8, 16, 32, 64]
    assert {group.options["batch-size"] / group.options["nodes"] for group in groups} == {1000}
    rows = growth_rows(groups)
    assert {row["line"] for row in rows} == {"all runs"}
    assert [row["exponent"] for row in rows] == pytest.approx([2.5] * 5)
    medians = [row["cpu_s_per_epoch"] for row in rows]
    middle = statistics.median({1 + run.repeat / 10 for run in runs})
    assert medians == pytest.approx([0.003 * row["nodes"] ** 2.5 * middle for row in rows])
    assert in_words(rows) == "grows as N^2.50, N^2.50 from 4 to 8 and N^2.50 from 32 to 64"
    assert in_words(rows[:2]) == "grows as N^2.50"


def test_what_dominates_at_each_end_shows_in_the_exponents_there(tmp_path):
    runs = Experiment.parse({"series": [{"nodes": n, "batch-size": 10 * n} for n in (4, 8, 64, 128)]}, "x").runs
    rows = growth_rows(at_fixed_share(results(tmp_path, runs, lambda nodes: nodes**2 if nodes < 32 else nodes**3 / 9)))
    assert in_words(rows).endswith(", N^2.00 from 4 to 8 and N^3.00 from 64 to 128")


def test_only_the_same_share_is_a_line_and_each_share_is_its_own(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    shares = [(4, 400), (8, 800), (4, 4000), (8, 8000), (10, 123)]
    runs = Experiment.parse(
        {"protocol": ["honeybadger", "pbft"], "series": [{"nodes": n, "batch-size": b} for n, b in shares]}, "x"
    ).runs
    groups = results(tmp_path / "a", runs, float)
    (drawn,) = draw_all(groups, tmp_path / "figures", ("svg",), ["cpu-per-epoch-nodes"])
    rows = read_csv(tmp_path / "figures" / "cpu-per-epoch-nodes.csv")
    assert {row["line"] for row in rows} == {
        f"{protocol}, B / N = {share}" for protocol in ("Honey Badger", "PBFT") for share in ("100", "1,000")
    }
    assert len(rows) == 8 and {row["exponent"] for row in rows} == {"1"}
    assert "PBFT, B / N = 1,000 grows as N^1.00" in drawn.notes
    assert "fitted by least squares of logarithms" in drawn.notes
    # The same batch for any N is no line, and an older run has no such figure.
    fixed = Experiment.parse({"nodes": [4, 7], "batch-size": 1000}, "x").runs
    assert at_fixed_share(results(tmp_path / "b", fixed, float)) == []
    for run in Experiment.parse({"series": [{"nodes": n, "batch-size": 10 * n} for n in (4, 8)]}, "x").runs:
        write(tmp_path / "c", run, made_up(run, cpu_s_per_epoch=None))
    assert at_fixed_share(grouped(read_results(tmp_path / "c"))) == []
