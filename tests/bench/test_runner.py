"""Running and resuming, with runs that are over at once."""

from __future__ import annotations

import os
import shutil

import pytest
import tomli_w
from results_helpers import made_up

import bench.runner
from bench.experiment import Experiment
from bench.results import grouped, read_results
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


def runner(out, machine, said=None, sizes=(1, 2, 3), manifest=None, **changes):
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


@pytest.mark.parametrize(
    "text", [None, "", '{"valid": tr', "[]", '{"valid": true}', '{"experiment": {}, "valid": true, "reason": ""}']
)
def test_a_damaged_run_is_measured_again_and_kept_aside(tmp_path, machine, text):
    runner(tmp_path, machine).run()
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
        assert len(runner(tmp_path, machine, say=told.append).run()) == 3
        assert len(told) == 1 and damaged.name in told[0] and f"damaged/{kept}" in told[0]
        assert (tmp_path / "damaged" / kept / "series.csv").exists()
        assert len(read_results(tmp_path, pytest.fail)) == 3
    assert machine.started == [1, 2, 3, 2, 2]


def test_runs_of_settings_that_were_edited_away_do_not_count(tmp_path, machine):
    runner(tmp_path, machine, sizes=(1, 2)).run()
    assert len(runner(tmp_path, machine, sizes=(5, 2)).run()) == 2
    # Nor does a copy that somebody made.
    run = next(path for path in (tmp_path / "runs").iterdir() if "-b5-" in path.name)
    shutil.copytree(run, run.with_name(f"{run.name}-copy"))
    told: list[str] = []
    assert {group.options["batch-size"] for group in grouped(read_results(tmp_path, told.append))} == {2, 5}
    assert len(told) == 1 and "does not ask for them" in told[0] and "-copy" in told[0] and "-b1-" in told[0]
    # They are there when they are wanted again.
    runner(tmp_path, machine, sizes=(1,)).run()
    assert machine.started == [1, 2, 5]


def test_manifests_of_one_name_do_not_share_a_directory(tmp_path, machine):
    out = tmp_path / "out"
    first, second = tmp_path / "a" / "m.toml", tmp_path / "b" / "m.toml"
    runner(out, machine, sizes=(1,), manifest=first).run()
    for ask in (Runner.run, Runner.finished):
        with pytest.raises(ClusterError, match=r"a/m\.toml.*--out"):
            ask(runner(out, machine, sizes=(2,), manifest=second))
    # The same text is the same experiment, wherever it is; a manifest may be edited; and it may move.
    runner(out, machine, sizes=(1,), manifest=second).run()
    runner(out, machine, sizes=(1, 2), manifest=second).run()
    second.unlink()
    runner(out, machine, sizes=(1, 3), manifest=first).run()
    assert machine.started == [1, 2, 3]
    # Manifest and results move together.
    (tmp_path / "elsewhere").mkdir()
    for name in ("a", "out"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    runner(tmp_path / "elsewhere" / "out", machine, sizes=(4,), manifest=tmp_path / "elsewhere" / "a" / "m.toml").run()
    assert machine.started == [1, 2, 3, 4]


@pytest.mark.parametrize("text", ["", "{}", '{"manifest": 5, "runs": []}', "\udcff", "[" * 100_000])
def test_a_damaged_record_of_the_manifest_stops_nobody(tmp_path, machine, text):
    runner(tmp_path, machine, sizes=(1,)).run()
    (tmp_path / "experiment.json").write_bytes(os.fsencode(text))
    told: list[str] = []
    assert len(read_results(tmp_path, told.append)) == 1 and "experiment.json" in told[0]
    runner(tmp_path, machine, sizes=(1, 2)).run()
    assert len(read_results(tmp_path, pytest.fail)) == 2 and machine.started == [1, 2]


def test_a_run_is_on_the_disk_before_it_has_its_name(tmp_path, machine, monkeypatch):
    synced = []
    monkeypatch.setattr(bench.runner, "sync", synced.append)
    (result,) = runner(tmp_path, machine, sizes=(1,)).run()
    partial = result.directory.with_name(f"{result.directory.name}.partial")
    assert {partial, partial / "summary.json", partial / "series.csv"} <= set(synced)


def test_the_manifest_s_name_may_be_any_bytes(tmp_path, machine):
    manifest = tmp_path / "a\udcff" / "m.toml"
    for _ in range(2):
        runner(tmp_path / "out\udcff", machine, sizes=(1,), manifest=manifest).run()
    assert machine.started == [1]
