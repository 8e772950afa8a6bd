"""A run is one row: in tables, and in the CSV for other programs."""

import csv
import io
import sys
from pathlib import Path

import pytest
from support.results import experiment_results, local_run, made_up, write

from bench.plan.experiment import Experiment
from honeybadger.cli.main import main

ALWAYS = ["protocol", "nodes", "batch-size", "tx-size", "rate"]


def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What `honeybadger bench report` prints."""
    monkeypatch.setattr(sys, "argv", ["honeybadger", "bench", "report", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    return captured.out


def csv_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report(monkeypatch, capsys, path, "--format", "csv", "--runs"))))


def test_a_row_for_each_run_with_what_varies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    delays = {"delay": ["", "1ms"], "tx-size": ["100", "exp:250"], "seed": 7, "repeats": 2}
    experiment_results(tmp_path, [1, 2, 3, 4, 5, 6, 7, 0], **delays)
    rows = csv_of(monkeypatch, capsys, tmp_path)
    assert [[row[key] for key in ("delay", "tx-size", "repeat", "seed", "valid")] for row in rows] == [
        *(["none", "100", "0", "7", "True"], ["none", "100", "1", "8", "True"]),
        *(["1ms", "100", "0", "7", "True"], ["1ms", "100", "1", "8", "True"]),
        *(["none", "exp:250", "0", "7", "True"], ["none", "exp:250", "1", "8", "True"]),
        *(["1ms", "exp:250", "0", "7", "True"], ["1ms", "exp:250", "1", "8", "False"]),
    ]
    first, *_, last = rows
    assert list(first)[:6] == [*ALWAYS, "delay"] and "warmup" not in first
    figures = [float(first[name]) for name in ("throughput_tx_per_s", "latency_s.p99", "cpu_s_per_tx")]
    assert figures == [1, 0.4, 2e-5]
    assert last["reason"] == "nothing was committed in the measured window"
    # Not measured, and without a rate.
    assert all(first[name] == "" for name in ("recovery_worst_s", "latency_s.mean", "rate"))
    assert {row["directory"] for row in rows} == {str(home) for home in (tmp_path / "runs").iterdir()}


def test_lower_bounds_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = Experiment.parse({"rate": 123.5}, "x").runs
    write(tmp_path, run, made_up(run, latency_at_least=["p999", "max"]))
    (row,) = csv_of(monkeypatch, capsys, tmp_path)
    assert (row["rate"], row["lower_bounds"]) == ("123.5", "latency_s.p999 latency_s.max")


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


def test_the_directory_of_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = local_run(tmp_path / "local")
    said = report(monkeypatch, capsys, home)
    assert "B = 300, tx-size = 100-500, rate = 2,000, durability = fsync, curve" in said
    (row,) = csv_of(monkeypatch, capsys, home)
    assert [row[key] for key in ALWAYS] == ["honeybadger", "4", "300", "100-500", "2000"]
    assert (row["seed"], row["valid"], row["throughput_tx_per_s"]) == ("3000000001", "True", "1000")


def test_pandas_reads_numbers_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pandas = pytest.importorskip("pandas", reason="no pandas: make .venv/.installed-test")
    experiment_results(tmp_path, [1.5, 2, 0], **{"batch-size": [1, 2, 3]})
    frame = pandas.read_csv(io.StringIO(report(monkeypatch, capsys, tmp_path, "--format", "csv", "--runs")))
    assert frame["valid"].dtype == bool and list(frame["batch-size"]) == [1, 2, 3]
    words = {"protocol", "reason", "lower_bounds", "directory"}
    assert all(pandas.api.types.is_numeric_dtype(frame[name]) for name in set(frame) - words)
    assert frame[frame["valid"]]["throughput_tx_per_s"].mean() == 1.75
