"""`honeybadger.results`: runs and series as pandas frames, of each kind of path; what cannot be read is one line."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
from support.results import experiment_results, local_run, made_up, write

from bench.measure.results import Record, write_failed, write_record
from bench.measure.timeline import write_csv
from bench.plan.experiment import Experiment
from honeybadger.cluster.errors import ClusterError
from honeybadger.results import load, series, summary

pandas = pytest.importorskip("pandas", reason="no pandas: make .venv/.installed-test")


def test_a_row_for_each_run_with_its_settings_and_its_figures(tmp_path: Path) -> None:
    raw = {"delay": ["", "1ms"], "batch-size": [100, 200], "seed": 7, "repeats": 2}
    experiment_results(tmp_path, [1, 2, 3, 4, 5, 6, 7, 0], **raw)
    frame = load(tmp_path)
    kept = frame[["experiment.options.delay", "batch_size", "experiment.repeat", "throughput_tx_per_s", "valid"]]
    assert sorted(map(tuple, kept.to_numpy().tolist())) == [
        *(("", 100, 0, 1, True), ("", 100, 1, 5, True), ("", 200, 0, 2, True), ("", 200, 1, 6, True)),
        *(("1ms", 100, 0, 3, True), ("1ms", 100, 1, 7, True), ("1ms", 200, 0, 4, True), ("1ms", 200, 1, 0, False)),
    ]
    assert list(frame.columns[:4]) == ["directory", "valid", "reason", "place"]
    assert set(frame["place"]) == {"processes"} and set(frame["protocol"]) == {"honeybadger"}
    assert list(frame[~frame["valid"]]["reason"]) == ["nothing was committed in the measured window"]
    assert frame["latency_s.p99"].dtype == float and frame["valid"].dtype == bool
    # Measured by no run.
    assert frame["phase_s.ledger"].isna().all() and frame["phase_s.ledger"].dtype == float
    assert "outages" not in frame and "per_node" not in frame


def test_what_varies_between_runs_need_not_be_in_all_of_them(tmp_path: Path) -> None:
    first, second, third = Experiment.parse({"batch-size": [1, 2, 3]}, "x").runs
    write(tmp_path, first, made_up(first, latency_at_least=["p999", "max"]))
    write(tmp_path, second, made_up(second, place="virtual time", simulation={"mode": "table", "cores": 2}))
    home = tmp_path / "runs" / third.directory_name
    home.mkdir()
    write_failed(home, third, "port 1 is in use", 1.0)
    frame = load(tmp_path).set_index("batch_size")
    assert frame["place"].to_dict() == {1: "processes", 2: "virtual time", 3: "processes"}
    assert frame["latency_at_least"].to_dict() == {1: "p999 max", 2: "", 3: ""}
    assert frame.loc[2, "simulation.mode"] == "table" and math.isnan(frame.loc[1, "simulation.cores"])
    assert (frame.loc[3, "valid"], frame.loc[3, "reason"]) == (False, "port 1 is in use")
    assert math.isnan(frame.loc[3, "throughput_tx_per_s"])


def test_the_units_are_there(tmp_path: Path) -> None:
    experiment_results(tmp_path, [1])
    units = load(tmp_path).attrs["units"]
    names = ("throughput_tx_per_s", "latency_s.p50", "sent_bytes_per_tx", "batch_size", "cpu_s_per_epoch")
    assert [units[name] for name in names] == ["tx/s", "s", "bytes", "transactions", "s"]
    assert "valid" not in units and "protocol" not in units
    assert series(tmp_path).attrs["units"] == {
        "second": "s",
        "offered_tx": "transactions",
        "committed_tx": "transactions",
        "committed_at_quorum_tx": "transactions",
    }


def test_the_directory_of_a_run_and_its_summary_are_the_same_row(tmp_path: Path) -> None:
    _, result = experiment_results(tmp_path, [10, 20], **{"batch-size": [1, 2]})
    for path in (result.directory, str(result.directory), result.directory / "summary.json"):
        assert [*load(path)["throughput_tx_per_s"]] == [20]
    assert summary(result.directory)["machine"]["cores"] == 2


def test_the_directory_of_local(tmp_path: Path) -> None:
    home = local_run(tmp_path / "local")
    frame = load(home)
    names = ["protocol", "nodes", "batch_size", "tx_size", "rate", "seed", "valid", "directory"]
    assert frame[names].iloc[0].tolist() == ["honeybadger", 4, 300, "100-500", 2000, 3_000_000_001, True, str(home)]
    with pytest.raises(ClusterError, match=r"seconds\.csv: not there; .*`honeybadger local` does not$"):
        series(home)


def test_a_series_of_all_runs_is_one_frame(tmp_path: Path) -> None:
    first, second = experiment_results(tmp_path, [10, 20], **{"batch-size": [1, 2]})
    frame = series(tmp_path)
    assert list(frame.columns[:2]) == ["directory", "second"]
    assert [list(group["second"]) for _, group in frame.groupby("directory")] == [[-1, 0, 1, 2, 3, 4]] * 2
    assert set(frame["directory"]) == {str(first.directory), str(second.directory)} == set(load(tmp_path)["directory"])
    counts = series(first.directory, "latency")["count"]
    assert [*counts[counts > 0]] == [50, 49, 1]


def test_numbers_of_a_series_are_numbers(tmp_path: Path) -> None:
    (result,) = experiment_results(tmp_path, [10])
    rows = [{"epoch": 3, "node": 0, "agreement_s": 0.25, "ledger_s": None}, {"epoch": 4, "ledger_s": math.inf}]
    write_csv(result.directory / "epochs.csv", rows)
    frame = series(tmp_path, "epochs")
    assert list(frame["epoch"]) == [3, 4] and frame["epoch"].dtype == int
    assert frame["agreement_s"][0] == 0.25 and frame["ledger_s"][1] == math.inf
    assert math.isnan(frame["ledger_s"][0]) and math.isnan(frame["agreement_s"][1])


@pytest.mark.parametrize("text", ["", "a,b\n1\n", "a,b\n1,2,3\n", "a,b\n1,x\n", 'a,b\n1,"2', "a\n\xff\n"])
def test_a_damaged_csv_file_is_an_error(tmp_path: Path, text: str) -> None:
    (result,) = experiment_results(tmp_path, [10])
    (result.directory / "epochs.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ClusterError, match=r"epochs\.csv: damaged$"):
        series(tmp_path, "epochs")


def test_there_is_no_other_series(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'minutes' is not one of seconds, epochs, latency"):
        series(tmp_path, "minutes")  # type: ignore[arg-type]


def test_what_holds_no_results_is_an_error(tmp_path: Path) -> None:
    for name in ("node/ledger.sqlite", "keys/keys.toml", "empty/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "file").touch()
    for name, says in {
        "nothing": "no such directory",
        "nothing/summary.json": "no such directory",
        "file": "a file; give the directory of the results",
        "empty": "no finished run of `honeybadger bench run` is there",
        "node": "a node's data, not results; give the directory that has summary.json",
        "keys": "a node's data, not results; give the directory that has summary.json",
    }.items():
        for use in (load, series):
            with pytest.raises(ClusterError) as caught:
                use(tmp_path / name)
            assert str(caught.value) == f"{tmp_path / name}: {says}"
    with pytest.raises(ClusterError, match=r"empty: not the directory of one run; it has no summary\.json$"):
        summary(tmp_path / "empty")


@pytest.mark.parametrize("changes", [{"nodes": "four"}, {"rate": "fast"}, {"valid": None}, {"experiment": {}}])
def test_a_damaged_summary_is_an_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    home = local_run(tmp_path / "local", **changes)
    for use in (load, summary):
        with pytest.raises(ClusterError, match=r"summary\.json: not the summary of a run of an experiment$"):
            use(home)


def test_what_is_left_out_is_a_warning_to_the_caller(tmp_path: Path) -> None:
    results = experiment_results(tmp_path, [1, 2, 3, 4], **{"batch-size": [1, 2, 3, 4]})
    first, second, third, fourth = (result.directory for result in results)
    (second / "summary.json").write_text("")
    (fourth / "seconds.csv").unlink()
    write_record(tmp_path, Record("", [first.name, second.name, fourth.name]))
    with pytest.warns(UserWarning) as warned:
        assert len(load(tmp_path)) == 2
    said = [str(warning.message) for warning in warned]
    assert len(said) == 2 and third.name in said[0] and f"damaged: {second}" in said[1]
    with pytest.warns(UserWarning) as also:
        assert set(series(tmp_path)["directory"]) == {str(first)}
    assert str(also[2].message) == f"left out: {fourth / 'seconds.csv'} is not there"
    assert {warning.filename for warning in [*warned, *also]} == {__file__}


def test_without_pandas_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment_results(tmp_path, [1])
    monkeypatch.setitem(sys.modules, "pandas", None)
    for use in (load, series):
        with pytest.raises(ClusterError, match=r"^frames need pandas; .*pip install -e '\.\[pandas\]'$"):
            use(tmp_path)
    assert summary(next((tmp_path / "runs").iterdir()))["nodes"] == 4
