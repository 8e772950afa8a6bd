"""Running and resuming, with runs that are over at once."""

from __future__ import annotations

import pytest
from results_helpers import made_up

import bench.runner
from bench.experiment import Experiment
from bench.results import read_results
from bench.runner import Runner
from bench.series import write_csv
from honeybadger.cluster.errors import ClusterError


class Machine:
    """Executes runs: each writes a ledger, then is valid, invalid, does not start, or is interrupted."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.fate: dict[int, str] = {}

    def __call__(self, settings, show):
        size = settings.parameters.batch_size
        self.started.append(size)
        settings.out.mkdir()
        (settings.out / "ledger").write_text("large")
        if self.fate.get(size) == "interrupted":
            raise KeyboardInterrupt
        if self.fate.get(size) == "no start":
            raise ClusterError("port 1 is in use")
        return {"size": size, "valid": self.fate.get(size) != "invalid"}


@pytest.fixture
def machine(monkeypatch) -> Machine:
    def write_result(raw, target, run, summary, took_s):
        reason = "" if summary["valid"] else "a ledger differs"
        made = made_up(run, valid=summary["valid"], reason=reason)
        bench.results._write_summary(target, run, made, took_s)
        write_csv(target / "series.csv", [{"second": 0}])

    monkeypatch.setattr(bench.runner, "write_result", write_result)
    return Machine()


def runner(out, machine, said=None, sizes=(1, 2, 3), **changes):
    experiment = Experiment.parse({"batch-size": list(sizes), "warmup": 0, "duration": 1}, "x")
    out.mkdir(exist_ok=True)
    said = [] if said is None else said
    return Runner(
        experiment,
        out,
        begin=lambda step: said.append((step.number, step.total, step.remaining_s)),
        end=lambda step, result: None,
        show=lambda progress: None,
        execute=machine,
        **changes,
    )


def test_runs_leave_their_results_and_no_ledgers(tmp_path, machine):
    said: list = []
    results = runner(tmp_path, machine, said).run()
    assert machine.started == [1, 2, 3] and [result.options["batch-size"] for result in results] == [1, 2, 3]
    assert [(number, total) for number, total, _ in said] == [(1, 3), (2, 3), (3, 3)]
    assert said[0][2] > said[1][2] > said[2][2] > 0
    assert not list(tmp_path.glob("runs/*/raw")) and len(read_results(tmp_path)) == 3


def test_an_interrupted_experiment_goes_on_where_it_was(tmp_path, machine):
    machine.fate = {2: "interrupted"}
    with pytest.raises(KeyboardInterrupt):
        runner(tmp_path, machine).run()
    assert len(list(tmp_path.glob("runs/*.partial"))) == 1 and len(read_results(tmp_path)) == 1
    machine.fate = {}
    said: list = []
    assert len(runner(tmp_path, machine, said).run()) == 3
    assert machine.started == [1, 2, 2, 3] and [number for number, _, _ in said] == [2, 3]
    assert not list(tmp_path.glob("runs/*.partial"))
    runner(tmp_path, machine).run()
    assert machine.started == [1, 2, 2, 3], "all is done"


def test_a_longer_manifest_adds_only_what_is_new(tmp_path, machine):
    runner(tmp_path, machine, sizes=(1, 2)).run()
    assert len(runner(tmp_path, machine, sizes=(5, 2)).run()) == 2
    assert machine.started == [1, 2, 5]


def test_invalid_runs_are_kept_and_not_done_again(tmp_path, machine):
    machine.fate = {1: "invalid", 3: "no start"}
    for _ in range(2):
        results = runner(tmp_path, machine).run()
        assert [result.valid for result in results] == [False, True, False]
        assert [result.summary["reason"] for result in results] == ["a ledger differs", "", "port 1 is in use"]
    assert machine.started == [1, 2, 3]


def test_raw_files_can_be_kept(tmp_path, machine):
    runner(tmp_path, machine, keep=True).run()
    assert len(list(tmp_path.glob("runs/*/raw/ledger"))) == 3


def test_two_cannot_work_in_one_directory(tmp_path, machine):
    first, second = runner(tmp_path, machine), runner(tmp_path, machine)
    (tmp_path / "runs").mkdir()
    with first._alone(), pytest.raises(ClusterError, match="another `honeybadger bench run` is at work"):
        second.run()
