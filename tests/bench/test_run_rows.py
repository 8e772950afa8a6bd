"""Results as rows for a notebook, and as the CSV for other programs: one row a run, of each kind of directory."""

import csv
import io
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.results import experiment_results, made_up, write

from bench.measure.results import Record, write_record
from bench.measure.timeline import write_csv
from bench.plan.experiment import Experiment
from honeybadger.cli.main import main
from honeybadger.cluster.errors import ClusterError
from honeybadger.results import epochs, latency, load, seconds, summary

ALWAYS = ["protocol", "nodes", "batch-size", "tx-size", "rate"]


def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What `honeybadger bench report` prints."""
    monkeypatch.setattr(sys, "argv", ["honeybadger", "bench", "report", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    return captured.out


def local_run(directory: Path, **changes: Any) -> Path:
    """As `honeybadger local --out` leaves it."""
    made = made_up(Experiment.parse({"batch-size": 300}, "x").runs[0])
    made |= {"tx_size": "100-500", "rate": 2000.0, "durability": "fsync", "curve": True, "seed": 3_000_000_001}
    directory.mkdir(parents=True)
    (directory / "summary.json").write_bytes(msgspec.json.encode(made | changes))
    return directory


def test_a_row_for_each_run_with_what_varies(tmp_path: Path) -> None:
    delays = {"delay": ["", "1ms"], "tx-size": ["100", "exp:250"], "seed": 7, "repeats": 2}
    experiment_results(tmp_path, [1, 2, 3, 4, 5, 6, 7, 0], **delays)
    rows = load(tmp_path)
    assert [[row[key] for key in ("delay", "tx-size", "repeat", "seed", "valid")] for row in rows] == [
        *(["none", 100, 0, 7, True], ["none", 100, 1, 8, True]),
        *(["1ms", 100, 0, 7, True], ["1ms", 100, 1, 8, True]),
        *(["none", "exp:250", 0, 7, True], ["none", "exp:250", 1, 8, True]),
        *(["1ms", "exp:250", 0, 7, True], ["1ms", "exp:250", 1, 8, False]),
    ]
    assert all(list(row) == list(rows[0]) for row in rows)
    first, *_, last = rows
    assert list(first)[:6] == [*ALWAYS, "delay"] and "warmup" not in first
    assert (first["throughput_tx_per_s"], first["latency_s.p99"], first["cpu_s_per_tx"]) == (1, 0.4, 2e-5)
    assert (last["valid"], last["reason"]) == (False, "nothing was committed in the measured window")
    # Not measured, and without a rate.
    assert all(math.isnan(first[name]) for name in ("recovery_worst_s", "latency_s.mean", "rate"))


def test_the_csv_has_the_same_columns_and_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = Experiment.parse({"rate": 123.5}, "x").runs
    write(tmp_path, run, made_up(run, latency_at_least=["p999", "max"]))
    (row,) = load(tmp_path)
    (texts,) = csv.DictReader(io.StringIO(report(monkeypatch, capsys, tmp_path, "--format", "csv", "--runs")))
    assert list(texts) == list(row)
    assert texts["lower_bounds"] == row["lower_bounds"] == "latency_s.p999 latency_s.max"
    for name, value in row.items():
        nothing = isinstance(value, float) and math.isnan(value)
        assert texts[name] == "" if nothing else type(value)(texts[name]) == value


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_tables_of_single_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    raw = {"batch-size": [1, 2], "repeats": 2, "seed": 1_234_567}
    experiment_results(tmp_path, [1000, 2000, 3000, 0], **raw)
    monkeypatch.setenv("COLUMNS", "400")
    lines = report(monkeypatch, capsys, tmp_path, "--runs", "--format", form).splitlines()
    rows = [[cell.strip() for cell in line.replace("│", "|").strip("|").split("|")] for line in lines]
    ours = [row[:4] for row in rows if len(row) > 8 and row[0].isdigit()]
    assert ours == [
        *(["1", "0", "1,234,567", "yes"], ["1", "1", "1,234,568", "yes"]),
        *(["2", "0", "1,234,567", "yes"], ["2", "1", "1,234,568", "no"]),
    ]
    assert any("4 runs, 1 of them invalid" in line for line in lines)


def test_one_run_of_an_experiment(tmp_path: Path) -> None:
    first, second = experiment_results(tmp_path, [10, 20], **{"batch-size": [1, 2]})
    assert [row["throughput_tx_per_s"] for row in load(str(second.directory))] == [20]
    assert load(tmp_path)[0]["directory"] == str(first.directory)


def test_the_directory_of_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = local_run(tmp_path / "local")
    (row,) = load(home)
    assert [row[key] for key in ALWAYS] == ["honeybadger", 4, 300, "100-500", 2000]
    assert (row["seed"], row["repeat"], row["valid"], row["directory"]) == (3_000_000_001, 0, True, str(home))
    assert summary(home)["machine"]["cores"] == 2
    said = report(monkeypatch, capsys, home)
    assert "B = 300, tx-size = 100-500, rate = 2,000, durability = fsync, curve" in said
    (text,) = csv.DictReader(io.StringIO(report(monkeypatch, capsys, home, "--format", "csv")))
    assert (text["batch-size"], text["throughput_tx_per_s.median"]) == ("300", "1000")
    with pytest.raises(ClusterError, match=r"seconds\.csv: not there; .*`honeybadger local` does not$"):
        seconds(home)


def test_the_csv_files_of_a_run_are_numbers(tmp_path: Path) -> None:
    (run,) = Experiment.parse({}, "x").runs
    write(tmp_path, run, made_up(run))
    home = load(tmp_path)[0]["directory"]
    assert summary(home)["versions"] == {"python": "3.11"}
    assert [row["second"] for row in seconds(home)] == [-1, 0, 1, 2, 3, 4]
    assert [row["count"] for row in latency(home) if row["count"]] == [50, 49, 1]
    rows = [{"epoch": 3, "node": 0, "agreement_s": 0.25, "ledger_s": None}, {"epoch": 4, "ledger_s": math.inf}]
    write_csv(Path(home) / "epochs.csv", rows)
    first, second = epochs(home)
    assert (type(first["epoch"]), first["agreement_s"], second["ledger_s"]) == (int, 0.25, math.inf)
    assert math.isnan(first["ledger_s"]) and math.isnan(second["agreement_s"])


@pytest.mark.parametrize("text", ["", "a,b\n1\n", "a,b\n1,2,3\n", "a,b\n1,x\n", 'a,b\n1,"2', "a\n\xff\n"])
def test_a_damaged_csv_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "epochs.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ClusterError, match=r"epochs\.csv: damaged$"):
        epochs(tmp_path)


def test_what_holds_no_results_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "ledger.sqlite").touch()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "keys.toml").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, says in {
        "nothing": "no such directory",
        "file": "a file; give the directory of the results",
        "empty": "no finished run of `honeybadger bench run` is there",
        "node": "a node's data, not results; give the directory that has summary.json",
        "keys": "a node's data, not results; give the directory that has summary.json",
    }.items():
        with pytest.raises(ClusterError) as caught:
            load(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {says}"
    with pytest.raises(ClusterError, match=r"empty: not the directory of one run; it has no summary\.json$"):
        summary(tmp_path / "empty")


@pytest.mark.parametrize("changes", [{"nodes": "four"}, {"rate": "fast"}, {"valid": None}, {"experiment": {}}])
def test_a_damaged_summary_is_an_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    home = local_run(tmp_path / "local", **changes)
    for use in (load, summary):
        with pytest.raises(ClusterError, match=r"summary\.json: not the summary of a run of an experiment$"):
            use(home)


def test_runs_that_are_left_out_are_a_warning(tmp_path: Path) -> None:
    results = experiment_results(tmp_path, [1, 2, 3], **{"batch-size": [1, 2, 3]})
    first, second, third = (result.directory for result in results)
    (second / "summary.json").write_text("")
    write_record(tmp_path, Record("", [first.name, second.name]))
    with pytest.warns(UserWarning) as warned:
        assert len(load(tmp_path)) == 1
    said = [str(warning.message) for warning in warned]
    assert len(said) == 2 and third.name in said[0] and f"damaged: {second}" in said[1]
    # They point to the caller.
    assert {warning.filename for warning in warned} == {__file__}


def test_pandas_reads_numbers_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pandas = pytest.importorskip("pandas", reason="no pandas: make .venv/.installed-test")
    experiment_results(tmp_path, [1.5, 2, 0], **{"batch-size": [1, 2, 3]})
    text = report(monkeypatch, capsys, tmp_path, "--format", "csv", "--runs")
    for frame in (pandas.DataFrame(load(tmp_path)), pandas.read_csv(io.StringIO(text))):
        assert frame["valid"].dtype == bool and list(frame["batch-size"]) == [1, 2, 3]
        words = {"protocol", "reason", "lower_bounds", "directory"}
        assert all(pandas.api.types.is_numeric_dtype(frame[name]) for name in set(frame) - words)
        assert frame["pause_worst_s"].isna().all() and frame["rate"].isna().all()
        assert frame[frame["valid"]]["throughput_tx_per_s"].mean() == 1.75
