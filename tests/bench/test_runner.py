"""Running and resuming, with runs that are over at once."""

import os
import shutil

import pytest
import tomli_w
from support.results import made_up

import bench.run.experiment_runner
import bench.run.write_run
from bench.measure.results import grouped, read_results
from bench.measure.timeline import write_csv
from bench.plan.estimate import Estimate
from bench.plan.experiment import Experiment
from bench.run.experiment_runner import Runner, one_by_one
from honeybadger.cluster.errors import ClusterError


class Machine:
    """Executes runs: each writes a ledger, then is valid, invalid, does not start, or is interrupted."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.fate: dict[int, str] = {}

    def __call__(self, settings):
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
        bench.measure.results._write_summary(target, run, made, took_s)
        write_csv(target / "seconds.csv", [{"second": 0}])

    monkeypatch.setattr(bench.run.write_run, "write_result", write_result)
    return Machine()


def runner(out, said=None, sizes=(1, 2, 3), manifest=None, **changes):
    raw = {"batch-size": list(sizes), "warmup": 0, "duration": 1}
    if manifest is not None:
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(tomli_w.dumps(raw))
    experiment = Experiment.load(manifest) if manifest else Experiment.parse(raw, "x")
    out.mkdir(exist_ok=True)
    said = [] if said is None else said
    return Runner(
        experiment,
        out,
        begin=lambda step: said.append((step.number, step.total, step.remaining_s)),
        end=lambda result: None,
        **changes,
    )


def do(out, machine, *arguments, keep=False, **changes):
    return runner(out, *arguments, **changes).run(one_by_one(machine, keep=keep), Estimate())


def test_runs_leave_their_results_on_the_disk_and_no_ledgers(tmp_path, machine, monkeypatch):
    synced: list = []
    monkeypatch.setattr(bench.run.experiment_runner, "sync", synced.append)
    said: list = []
    results = do(tmp_path, machine, said)
    assert machine.started == [1, 2, 3] and [result.options["batch-size"] for result in results] == [1, 2, 3]
    assert [(number, total) for number, total, _ in said] == [(1, 3), (2, 3), (3, 3)]
    assert said[0][2] > said[1][2] > said[2][2] > 0
    assert not list(tmp_path.glob("runs/*/raw")) and len(read_results(tmp_path)) == 3
    partial = results[0].directory.with_name(f"{results[0].directory.name}.partial")
    assert {partial, partial / "summary.json", partial / "seconds.csv"} <= set(synced), "before it has its name"


def test_an_interrupted_experiment_goes_on_where_it_was(tmp_path, machine):
    machine.fate = {2: "interrupted"}
    with pytest.raises(KeyboardInterrupt):
        do(tmp_path, machine)
    assert len(list(tmp_path.glob("runs/*.partial"))) == 1 and len(read_results(tmp_path)) == 1
    machine.fate = {}
    said: list = []
    assert len(do(tmp_path, machine, said)) == 3
    assert machine.started == [1, 2, 2, 3] and [number for number, _, _ in said] == [2, 3]
    assert not list(tmp_path.glob("runs/*.partial"))
    do(tmp_path, machine)
    assert machine.started == [1, 2, 2, 3], "all is done"


def test_invalid_runs_are_kept_and_not_done_again_and_so_are_raw_files(tmp_path, machine):
    machine.fate = {1: "invalid", 3: "no start"}
    for _ in range(2):
        results = do(tmp_path, machine, keep=True)
        assert [result.valid for result in results] == [False, True, False]
        assert [result.summary["reason"] for result in results] == ["a ledger differs", "", "port 1 is in use"]
    assert machine.started == [1, 2, 3] and len(list(tmp_path.glob("runs/*/raw/ledger"))) == 3


def test_two_cannot_work_in_one_directory(tmp_path, machine):
    first, second = runner(tmp_path), runner(tmp_path)
    (tmp_path / "runs").mkdir()
    with first._alone(), pytest.raises(ClusterError, match="another `honeybadger bench run` is at work"):
        second.run(one_by_one(machine), Estimate())


@pytest.mark.parametrize(
    "text", [None, "", '{"valid": tr', "[]", '{"valid": true}', '{"experiment": {}, "valid": true, "reason": ""}']
)
def test_a_damaged_run_is_measured_again_and_kept_aside(tmp_path, machine, text):
    do(tmp_path, machine)
    damaged = next(path for path in (tmp_path / "runs").iterdir() if "-b2-" in path.name)
    for kept in (damaged.name, f"{damaged.name}-2"):
        (damaged / "summary.json").unlink()
        if text is not None:
            (damaged / "summary.json").write_text(text)
        told: list[str] = []
        assert [result.options["batch-size"] for result in read_results(tmp_path, told.append)] == [1, 3]
        assert len(told) == 1 and damaged.name in told[0]
        with pytest.raises(ClusterError, match=damaged.name):
            read_results(damaged)
        told.clear()
        assert len(do(tmp_path, machine, say=told.append)) == 3
        assert len(told) == 1 and damaged.name in told[0] and f"damaged/{kept}" in told[0]
        assert (tmp_path / "damaged" / kept / "seconds.csv").exists()
        assert len(read_results(tmp_path, pytest.fail)) == 3
    assert machine.started == [1, 2, 3, 2, 2]


def test_an_edited_manifest_adds_what_is_new_and_what_was_edited_away_does_not_count(tmp_path, machine):
    do(tmp_path, machine, sizes=(1, 2))
    assert len(do(tmp_path, machine, sizes=(5, 2))) == 2
    # Nor does a copy that somebody made.
    run = next(path for path in (tmp_path / "runs").iterdir() if "-b5-" in path.name)
    shutil.copytree(run, run.with_name(f"{run.name}-copy"))
    told: list[str] = []
    assert {group.options["batch-size"] for group in grouped(read_results(tmp_path, told.append))} == {2, 5}
    assert len(told) == 1 and "does not ask for them" in told[0] and "-copy" in told[0] and "-b1-" in told[0]
    # They are there when they are wanted again.
    do(tmp_path, machine, sizes=(1,))
    assert machine.started == [1, 2, 5]


def test_manifests_of_one_name_do_not_share_a_directory(tmp_path, machine):
    out = tmp_path / "out\udcff"
    # Their names may be any bytes.
    first, second = tmp_path / "a\udcff" / "m.toml", tmp_path / "b" / "m.toml"
    do(out, machine, sizes=(1,), manifest=first)
    for ask in (Runner.finished, lambda runner: runner.run(one_by_one(machine), Estimate())):
        with pytest.raises(ClusterError, match=r"/m\.toml, not of .*--out"):
            ask(runner(out, sizes=(2,), manifest=second))
    # The same text is the same experiment, wherever it is; a manifest may be edited; and it may move.
    do(out, machine, sizes=(1,), manifest=second)
    do(out, machine, sizes=(1, 2), manifest=second)
    second.unlink()
    do(out, machine, sizes=(1, 3), manifest=first)
    assert machine.started == [1, 2, 3]
    # Manifest and results move together.
    (tmp_path / "elsewhere").mkdir()
    moved = {path: path.rename(tmp_path / "elsewhere" / path.name) for path in (first.parent, out)}
    do(moved[out], machine, sizes=(4,), manifest=moved[first.parent] / "m.toml")
    assert machine.started == [1, 2, 3, 4]


@pytest.mark.parametrize("text", ["", "{}", '{"manifest": 5, "runs": []}', "\udcff", "[" * 100_000])
def test_a_damaged_record_of_the_manifest_stops_nobody(tmp_path, machine, text):
    do(tmp_path, machine, sizes=(1,))
    (tmp_path / "experiment.json").write_bytes(os.fsencode(text))
    told: list[str] = []
    assert len(read_results(tmp_path, told.append)) == 1 and "experiment.json" in told[0]
    do(tmp_path, machine, sizes=(1, 2))
    assert len(read_results(tmp_path, pytest.fail)) == 2 and machine.started == [1, 2]
