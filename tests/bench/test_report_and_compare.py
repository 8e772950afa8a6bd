"""Tables and ratios, on made-up results."""

import csv
import io
import sys
from dataclasses import replace

import pytest
from support.results import experiment_results, made_up, write

from bench.measure.results import Group, Record, grouped, label, read_results, write_record
from bench.measure.timeline import csv_text
from bench.plan.experiment import Experiment
from bench.show.captions import caption
from bench.show.compare import chosen, differences, pair
from bench.show.figure_data import latency_rows
from bench.show.report import as_markdown, crypto_table, csv_rows, narrower, notes, spread, table
from bench.show.words import line_names
from honeybadger.cli.main import main
from honeybadger.cluster.errors import ClusterError

KINDS = {"nodes": [4, 7], "batch-size": 100, "repeats": 3}
THROUGHPUTS = [1000.0, 500.0, 1100.0, 510.0, 900.0, 0.0]


@pytest.fixture
def groups(tmp_path) -> list[Group]:
    return grouped(experiment_results(tmp_path / "a", THROUGHPUTS, **KINDS))


def test_repeats_belong_together_and_invalid_runs_give_no_figures(groups):
    assert [group.options["nodes"] for group in groups] == [4, 7]
    assert [group.figures("throughput_tx_per_s") for group in groups] == [[1000, 1100, 900], [500, 510]]
    headings, rows = table(groups)
    column = headings.index("committed tx/s")
    assert [row[column] for row in rows] == ["1,000 [900 … 1,100]", "505 [500 … 510]"]
    assert [row[:2] for row in rows] == [["4", "3 of 3"], ["7", "2 of 3"]]
    said = "\n".join(notes(groups))
    assert "6 runs, 1 of them invalid" in said and "nothing was committed in the measured window" in said
    assert "abacus" in said and "B = 100" in said


def test_the_offered_accepted_and_committed_rates_are_told_everywhere(groups):
    for headings, _ in (table(groups), next(narrower(groups))):
        assert {"offered tx/s", "accepted tx/s", "committed tx/s"} <= set(headings)
    (four, _) = csv.DictReader(io.StringIO(csv_text(csv_rows(groups))))
    assert (four["offered_tx_per_s.median"], four["throughput_tx_per_s.max"]) == ("1010", "1100")
    assert (four["runs"], four["nodes"], four["epoch_s.p50.median"]) == ("3", "4", "0.05")
    markdown = as_markdown(groups).splitlines()
    assert markdown[0].count("|") == markdown[1].count("|") == markdown[2].count("|")
    assert spread([]) == {"median": None, "min": None, "max": None}


def test_what_cryptography_took_is_told_by_operation(tmp_path, groups, monkeypatch, capsys):
    headings, rows = crypto_table(groups)
    assert headings == ["nodes", "valid runs", "check ms", "decrypt ms"]
    assert rows[0] == ["4", "3 of 3", "200.00 [200.00 … 200.00]", "50.00 [50.00 … 50.00]"]
    assert "| nodes | valid runs | check ms | decrypt ms |" in as_markdown(groups).splitlines()
    (four, _) = csv.DictReader(io.StringIO(csv_text(csv_rows(groups))))
    assert (four["crypto_cpu_s_per_epoch.check.median"], four["crypto_cpu_s_per_epoch.coin.max"]) == ("0.2", "0")
    monkeypatch.setenv("COLUMNS", "300")
    for command in (["report", str(tmp_path / "a")], ["compare", str(tmp_path / "a"), str(tmp_path / "a")]):
        monkeypatch.setattr(sys, "argv", ["honeybadger", "bench", *command])
        with pytest.raises(SystemExit):
            main()
        out = capsys.readouterr().out
        assert "cryptography in an epoch" in out and "decrypt" in out.split("cryptography in an epoch")[1]
    untold = Experiment.parse({}, "x").runs[0]
    write(tmp_path / "old", untold, made_up(untold, crypto_cpu_s_per_epoch={"check": None}))
    assert crypto_table(grouped(read_results(tmp_path / "old"))) is None


def test_suites_are_told_apart(tmp_path):
    runs = Experiment.parse({"nodes": 4}, "x").runs
    for suite in ("bls", "charm"):
        # As it would be read back, whether the suite is installed here or not.
        run = replace(runs[0], options={**runs[0].options, "suite": suite})
        write(tmp_path / suite, run, made_up(run, suite=suite))
    one, other = (grouped(read_results(tmp_path / suite)) for suite in ("bls", "charm"))
    assert differences(one[0], other[0]) == ["suite: bls against charm"]
    assert pair(one, other, ["suite"])[1] == []
    assert "suite = charm" in notes(other)[0]
    assert line_names([one[0].options, other[0].options], ["suite"]) == ["suite = bls", "suite = charm"]
    assert "suite" not in caption(one, "points") and "suite = charm" in caption(other, "points")


def test_labels_are_silent_about_faults_that_there_are_not():
    options = Experiment.parse({"nodes": 4, "restart": 1, "delay": "1ms"}, "x").runs[0].options
    keys = ["crash", "restart", "restart-after", "delay", "slow"]
    assert label(options, keys) == "restart = 1, restart-after = 2, delay = 1ms"
    assert label({**options, "restart": 0, "delay": ""}, keys) == "no fault"
    assert label({**options, "restart": 0, "delay": ""}, ["nodes"]) == "N = 4"


def test_equal_settings_are_compared_repeat_by_repeat(tmp_path, groups):
    other = grouped(experiment_results(tmp_path / "b", [2000.0, 500, 1100, 255, 1800, 500], **KINDS))
    comparisons, unlike = pair(groups, other)
    assert unlike == [] and len(comparisons) == 2
    four, seven = (one.ratios["throughput_tx_per_s"] for one in comparisons)
    assert (four.median, four.low, four.high, four.pairs) == (2.0, 1.0, 2.0, 3)
    # One repeat of A is invalid: no pairs.
    assert seven.pairs == 0 and (seven.low, seven.high) == (255 / 510, 500 / 500)
    assert comparisons[0].ratios["latency_s.p50"].median == pytest.approx(1.0)


def test_differences_are_named(tmp_path):
    (a,) = grouped(experiment_results(tmp_path / "a", [10.0], **{"curve": True, "batch-size": 100}))
    run = Experiment.parse({"curve": False, "batch-size": 200}, "x").runs[0]
    write(tmp_path / "b", run, made_up(run, machine={"processor": "sundial", "cores": 2}, versions={"python": "3.12"}))
    (b,) = grouped(read_results(tmp_path / "b"))
    (comparison,), unlike = pair([a], [b])
    assert unlike == comparison.differences == differences(a, b)
    assert unlike == [
        "curve: curve against no curve",
        "batch-size: B = 100 against B = 200",
        "machine, processor: abacus against sundial",
        "machine, system: none against nothing",
        "versions, python: 3.11 against 3.12",
    ]


def test_what_is_meant_to_differ_may(tmp_path, groups):
    four, seven = chosen(groups, {"nodes": "4"}), chosen(groups, {"nodes": "7.0"})
    assert pair(four, seven, ["nodes", "faults"])[1] == []
    assert pair(four, seven, ["nodes"])[1] == [], "f follows N"
    assert pair(four, seven)[1] == ["nodes: N = 4 against N = 7", "faults: f = 1 against f = 2"]
    fewer = grouped(experiment_results(tmp_path / "b", [1.0], nodes=7, faults=1, **{"batch-size": 100}))
    assert pair(four, fewer, ["nodes"])[1] == []
    assert pair(seven, fewer, ["nodes"])[1] == ["faults: f = 2 against f = 1"], "this f does not follow N"


def test_kinds_without_counterpart_are_told(tmp_path, groups):
    fewer = grouped(experiment_results(tmp_path / "b", [1.0, 2.0], **{"nodes": [4, 10], "batch-size": 100}))
    comparisons, unlike = pair(groups, fewer)
    assert len(comparisons) == 1
    assert unlike == ["no counterpart for 1 kind of runs of A", "no counterpart for 1 kind of runs of B"]
    with pytest.raises(ClusterError, match="no run of A has the settings"):
        pair(groups, grouped(experiment_results(tmp_path / "c", [1.0, 2.0], **{"batch-size": [1, 2]})))


@pytest.mark.parametrize(("wanted", "says"), [({"nodes": "5"}, "no run has nodes=5"), ({"nod": "5"}, "nod is not a")])
def test_choosing_nothing_is_an_error(groups, wanted, says):
    with pytest.raises(ClusterError, match=says):
        chosen(groups, wanted)


def test_directories_without_results_are_an_error(tmp_path):
    with pytest.raises(ClusterError, match="no finished run"):
        read_results(tmp_path)
    (tmp_path / "summary.json").write_text('{"valid": true}')
    with pytest.raises(ClusterError, match="not the summary of a run of an experiment"):
        read_results(tmp_path)


def test_a_report_says_what_was_encrypted_not_what_was_asked_for(tmp_path):
    experiment_results(tmp_path, [1.0, 2.0], protocol=["honeybadger", "pbft"])
    said = notes(grouped(read_results(tmp_path)))
    assert {"proposals of honeybadger: encrypted", "proposals of pbft: in the clear"} <= set(said)
    assert not any("encryption" in line for line in said)


def test_lower_bounds_warnings_older_definitions_and_versions_of_the_code_are_told(tmp_path):
    runs = Experiment.parse({"batch-size": [1, 2], "repeats": 2}, "x").runs
    never = {"latency_at_least": ["p99"], "warnings": ["node 3's proposals are in 2 of 85 blocks"]}
    for run, changes in zip(runs, (never, {"commit": "def"}, {}, {"schema": 1}), strict=True):
        write(tmp_path, run, made_up(run, **changes))
    groups = grouped(read_results(tmp_path))
    headings, rows = table(groups)
    p99 = [row[headings.index("latency p99 ms")] for row in rows]
    assert p99 == ["≥ 400.0 [400.0 … 400.0]", "400.0 [400.0 … 400.0]"]
    assert [row["lower_bounds"] for row in csv_rows(groups)] == ["latency_s.p99", ""]
    assert [row["lower_bounds"] for row in latency_rows(groups)] == ["p99", ""]
    said = "\n".join(notes(groups))
    assert "in 2 of 85 blocks" in said and "attention: 1 run is older: latency is of" in said
    assert "attention: 1 run is older: throughput and costs are of whole blocks" in said
    assert "of 2 versions of the code: abc, def" in said
    assert differences(*groups, ["batch-size"]) == ["schema of the summary: 3 against 1 and 3"]


@pytest.mark.parametrize("form", ["table", "markdown", "csv"])
def test_a_report_says_what_it_does_not_count(tmp_path, monkeypatch, capsys, form):
    results = experiment_results(tmp_path, [1.0, 2, 3], **{"batch-size": [1, 2, 3]})
    first, second, third = (result.directory for result in results)
    (second / "summary.json").write_text("")
    write_record(tmp_path, Record("", [first.name, second.name]))
    monkeypatch.setattr(sys, "argv", ["honeybadger", "bench", "report", str(tmp_path), "--format", form])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    out, err = capsys.readouterr()
    for line in (f"does not ask for them: {third.name}", f"damaged: {second / 'summary.json'}"):
        assert line in (err if form == "csv" else out)


def test_five_valid_repeats_or_more_have_a_confidence_interval(tmp_path):
    throughputs = [1.0, 10, 2, 20, 3, 30, 4, 40, 5, 0]
    one, other = grouped(experiment_results(tmp_path, throughputs, **{"batch-size": [1, 2], "repeats": 5}))
    headings, (first, second) = table([one, other])
    column = headings.index("committed tx/s")
    narrow, (narrowed, _) = next(narrower([one, other]))
    # An invalid run is not in it: four are left, too few.
    assert (first[column], second[column]) == ("3 [1 … 5]\nmean 3 ± 2", "25 [10 … 40]")
    assert narrowed[narrow.index("committed tx/s")] == "3\n[1 … 5]\nmean 3 ± 2"
    assert "| 3 [1 … 5]; mean 3 ± 2 |" in as_markdown([one, other])
    row, without = csv_rows([one, other])
    assert list(row) == list(without)
    names = [f"throughput_tx_per_s.{what}" for what in ("median", "min", "max", "mean", "ci95_low", "ci95_high")]
    assert [row[name] for name in names] == pytest.approx([3, 1, 5, 3, 3 - 1.9632, 3 + 1.9632], rel=1e-3)
    assert [without[name] for name in names] == [25, 10, 40, None, None, None]
    assert any("95 % confidence interval" in line for line in notes([one, other]))
    assert not any("confidence" in line for line in notes([other]))


def test_a_lower_bound_has_no_confidence_interval(tmp_path):
    runs = Experiment.parse({"repeats": 5}, "x").runs
    for run in runs:
        write(tmp_path, run, made_up(run, latency_at_least=["p99"] if run.repeat == 2 else []))
    groups = grouped(read_results(tmp_path))
    headings, (row,) = table(groups)
    assert row[headings.index("latency p99 ms")] == "≥ 400.0 [400.0 … 400.0]"
    assert row[headings.index("latency p50 ms")] == "100.0 [100.0 … 100.0]\nmean 100.0 ± 0.0"
    (numbers,) = csv_rows(groups)
    assert [numbers[f"latency_s.{name}.mean"] for name in ("p50", "p99")] == [pytest.approx(0.1), None]
    assert numbers["latency_s.p99.ci95_low"] is None is numbers["latency_s.p99.ci95_high"]


def throughputs(directory, figures, error):
    """A group of runs with these throughputs, each with the relative `error`."""
    runs = Experiment.parse({"batch-size": 100, "repeats": len(figures)}, "x").runs
    for run, figure in zip(runs, figures, strict=True):
        stated = None if error is None else error * figure
        write(directory, run, made_up(run, figure, throughput_error_tx_per_s=stated))
    return grouped(read_results(directory))


@pytest.mark.parametrize(
    ("a", "b", "error", "expected", "is_none"),
    [
        # One run each: the errors of both add up as squares.
        ([1000.0], [1100.0], 0.1, 1.1 * 0.1 * 2**0.5, True),
        ([1000.0], [1200.0], 0.1, 1.2 * 0.1 * 2**0.5, False),
        # Of four repeats half of it, and a quarter more because it is a median.
        ([1000.0] * 4, [1090.0] * 4, 0.1, 1.09 * 0.1 * 2**0.5 / 2 * 1.2533, True),
        ([1000.0] * 16, [1100.0] * 16, 0.1, 1.1 * 0.1 * 2**0.5 / 4 * 1.2533, False),
        ([1000.0], [900.0], 0.05, 0.9 * 0.05 * 2**0.5, False),
        # Not paired.
        ([1000.0] * 4, [1050.0], 0.1, 1.05 * 0.1 * (1 + (1.2533 / 2) ** 2) ** 0.5, True),
        # Runs of an older version do not state theirs, so nothing is said.
        ([1000.0], [1000.0], None, None, False),
    ],
)
def test_a_difference_within_the_stated_error_is_none(tmp_path, a, b, error, expected, is_none):
    (comparison,), _ = pair(throughputs(tmp_path / "a", a, error), throughputs(tmp_path / "b", b, error))
    found = comparison.ratios["throughput_tx_per_s"]
    assert found.error == (None if expected is None else pytest.approx(expected, rel=1e-4)) and found.is_none == is_none
    assert comparison.ratios["latency_s.p50"].error is None and not comparison.ratios["latency_s.p50"].is_none


def test_the_command_says_what_is_a_difference_and_what_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    for name, figure in (("a", 1000.0), ("b", 1100.0), ("c", 1500.0)):
        throughputs(tmp_path / name, [figure], 0.1)
    for other, cell, says in (
        ("b", "≈ 1.10", "committed tx/s 1.10 ± 0.16, no difference (≈): within the error"),
        ("c", "1.50", "committed tx/s 1.50 ± 0.21, a difference: beyond the error"),
    ):
        monkeypatch.setattr(
            sys, "argv", ["honeybadger", "bench", "compare", str(tmp_path / "a"), str(tmp_path / other)]
        )
        with pytest.raises(SystemExit):
            main()
        out = capsys.readouterr().out
        assert cell in out and says in out and ("≈ 1" in out) == (other == "b")


def test_a_single_run_shows_its_error_in_the_table(tmp_path):
    headings, rows = table(throughputs(tmp_path, [1000.0], 0.1))
    assert rows[0][headings.index("committed tx/s")] == "1,000 ± 100"
