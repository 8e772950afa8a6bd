"""Sweeps on a real cluster of two workers: complete and equal to a sequential one, whatever happens to a worker."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import msgspec
import psutil
import pytest
from support.nodes.cluster_harness import wait_until

from bench.measure.results import Result, read_results
from bench.plan.estimate import Estimate, VirtualEstimate
from bench.plan.experiment import Experiment
from bench.plan.simulation_settings import SimulationSettings
from bench.plan.sweep_settings import SweepSettings
from bench.run.experiment_runner import Runner, one_by_one
from bench.run.simulated_run import SimulatedRun
from bench.run.sweep import caller, job, worker
from bench.run.sweep.caller import Client, Sweep, cluster
from bench.run.sweep.job import Answer, Job, UnfitWorker, digest_of, this_code
from bench.run.sweep.worker import do_run
from honeybadger.cluster.errors import ClusterError
from honeybadger.simulation.virtual_time.table import CostTable

HOW = SimulationSettings(crypto="ideal")
#: four runs for each repeat, of which half are invalid, and a few hundredths of a second for each
SMALL = {"duration": 0.1, "warmup": 0.0, "window": 4, "batch-size": [8, 12], "crash": [0, 2]}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster(SweepSettings(workers=2)) as started:
        yield started
        workers = [psutil.Process(pid) for pid in started.run(os.getpid).values()]
    assert len(workers) == 2 and not any(worker.is_running() for worker in workers)


def runner(out: Path, raw: dict[str, Any], end: Any = lambda result: None) -> Runner:
    out.mkdir(exist_ok=True)
    return Runner(Experiment.parse(raw, "x"), out, begin=lambda step: None, end=end)


def sweep(client: Client, how: SimulationSettings = HOW, *, keep: bool = False, said: list[str] | None = None) -> Sweep:
    say = (lambda line: None) if said is None else said.append
    return Sweep(client, how, CostTable.load(), keep=keep, say=say, show=lambda progress: None)


def in_turn(out: Path, raw: dict[str, Any], how: SimulationSettings = HOW) -> list[Result]:
    work = one_by_one(lambda settings: SimulatedRun(settings, how, lambda progress: None).run())
    return runner(out, raw).run(work, Estimate())


def bytes_of(out: Path) -> dict[str, bytes]:
    """All that was kept, but for the two lines of the real clock, and the commit, which changes as somebody works."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name, data in files.items():
        lines = data.splitlines()
        kept = [line for line in lines if b'"took_s": ' not in line and b'"commit": ' not in line]
        assert len(lines) - len(kept) == {"summary.json": 3, "machine.json": 1}.get(name.rpartition("/")[2], 0)
        files[name] = b"\n".join(kept)
    return files


def busy_worker(client: Client) -> int:
    """The process of a worker that has a run."""
    address = next(address for address, keys in client.processing().items() if keys)
    return int(client.run(os.getpid, workers=[address])[address])


def holders(dask_scheduler: Any) -> list[str]:
    """Workers with the files of a run that have not been fetched."""
    return [where.address for task in dask_scheduler.tasks.values() if task.who_wants for where in task.who_has or ()]


def wanted_runs(dask_scheduler: Any) -> list[str]:
    return [task.key for task in dask_scheduler.tasks.values() if task.who_wants]


@pytest.mark.parametrize("repeats", [3, pytest.param(25, marks=pytest.mark.soak)])
def test_a_sweep_that_loses_a_worker_is_complete_and_equals_a_sequential_one(tmp_path, client, repeats):
    raw = SMALL | {"repeats": repeats}
    killed: list[int] = []
    ended: list[Result] = []

    def end(result: Result) -> None:
        ended.append(result)
        if len(ended) == 2 * repeats:
            killed.append(busy_worker(client))
            os.kill(killed[0], signal.SIGKILL)

    results = runner(tmp_path / "sweep", raw, end).run(sweep(client), Estimate())
    assert len(results) == len(ended) == 4 * repeats and len(killed) == 1
    assert [result.valid for result in results] == [not result.options["crash"] for result in results]
    in_turn(tmp_path / "turn", raw)
    assert bytes_of(tmp_path / "sweep") == bytes_of(tmp_path / "turn")
    assert killed[0] not in client.run(os.getpid).values()
    client.wait_for_workers(2)


def test_a_run_is_done_again_if_its_worker_is_lost_before_its_files_came_back(tmp_path, client):
    ended: list[str] = []

    def end(result: Result) -> None:
        ended.append(result.key)
        if len(ended) == 1:
            # Nobody fetches while this goes on.
            wait_until(lambda: bool(client.run_on_scheduler(holders)))
            holder = client.run_on_scheduler(holders)[:1]
            os.kill(client.run(os.getpid, workers=holder)[holder[0]], signal.SIGKILL)
            wait_until(lambda: holder[0] not in client.nthreads())

    assert len(runner(tmp_path, SMALL, end).run(sweep(client), Estimate())) == len(set(ended)) == 4
    client.wait_for_workers(2)


def test_another_table_and_raw_files_go_along(tmp_path, client):
    raw = SMALL | {"crash": 0, "batch-size": 8}
    table = CostTable.load()
    dear = msgspec.structs.replace(table, machine="dear", node=msgspec.structs.replace(table.node, message=1e-3))
    dear.save(tmp_path / "dear.toml")
    how = SimulationSettings(crypto="ideal", calibration=tmp_path / "dear.toml")
    handed_out = Sweep(client, how, dear, keep=True, say=lambda line: None, show=lambda progress: None)
    # The file is nowhere when the run is done.
    (tmp_path / "dear.toml").rename(tmp_path / "moved.toml")
    (result,) = runner(tmp_path / "sweep", raw).run(handed_out, Estimate())
    assert result.summary["simulation"]["table_machine"] == "dear"
    assert result.summary["simulation"]["table"] == str(tmp_path / "dear.toml")
    assert (result.directory / "raw" / "node-3" / "ledger.sqlite").stat().st_size > 1000


def test_an_interrupted_sweep_keeps_what_is_done_and_cancels_the_rest(tmp_path, client):
    raw = SMALL | {"repeats": 3, "crash": 0}
    ended: list[str] = []

    def end(result: Result) -> None:
        ended.append(result.key)
        if len(ended) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner(tmp_path, raw, end).run(sweep(client), Estimate())
    assert {result.key for result in read_results(tmp_path)} == set(ended) and len(ended) == 2
    assert not list(tmp_path.glob("runs/*.partial"))
    # It hears of it by another connection than the one that asks.
    wait_until(lambda: not client.run_on_scheduler(wanted_runs))
    assert len(runner(tmp_path, raw, lambda result: ended.append(result.key)).run(sweep(client), Estimate())) == 6
    assert len(set(ended)) == len(ended) == 6


def test_a_run_whose_workers_die_again_and_again_is_given_up_and_the_others_are_done(tmp_path, monkeypatch):
    home = tmp_path / "code"
    home.mkdir()
    (home / "deadly.py").write_text(
        "import os, signal\nfrom honeybadger.adversary import Adversary\n\nclass Deadly(Adversary):\n"
        "    def change(self, recipient, message):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(home))
    raw = SMALL | {"crash": 0, "byzantine": ["", "1:deadly:Deadly"], "batch-size": 8}
    said: list[str] = []
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        cluster(SweepSettings(workers=1)) as client,
        pytest.raises(ClusterError, match=r"1 run without a result; .*: 1 worker died while doing it"),
    ):
        runner(tmp_path / "out", raw).run(sweep(client, said=said), Estimate())
    (done,) = read_results(tmp_path / "out")
    assert done.valid and not done.options["byzantine"]
    assert len([line for line in said if "without" not in line and "worker died while doing it" in line]) == 1


def test_a_worker_or_a_scheduler_with_other_code_is_named(tmp_path, client, monkeypatch):
    monkeypatch.setattr(caller, "this_code", lambda: "0.0.1, code 123")
    with pytest.raises(ClusterError, match=r"worker tcp://127\.0\.0\.1:\d+: it has .*, not 0.0.1, code 123"):
        runner(tmp_path, SMALL).run(sweep(client), Estimate())
    # The scheduler of this cluster lives here, but has not been patched.
    monkeypatch.setattr(client, "run", lambda *arguments, **options: {})
    with pytest.raises(ClusterError, match=r"scheduler tcp://127\.0\.0\.1:\d+: it has honeybadger"):
        runner(tmp_path, SMALL).run(sweep(client), Estimate())
    assert not list(tmp_path.glob("runs/*"))


def test_a_worker_that_came_later_with_other_code_or_without_a_package_is_named(monkeypatch):
    (run,) = Experiment.parse(SMALL | {"crash": 0, "batch-size": 8}, "x").runs
    asked = Job(run.options, 0, HOW, CostTable.load(), False)
    assert Job.decode(asked.encode()) == asked
    with pytest.raises(UnfitWorker, match=r"worker on .*, process \d+: it has honeybadger"):
        do_run("0.0.1, code 123", asked.encode())
    missing = msgspec.structs.replace(asked, options=run.options | {"protocol": "tendermint"})
    with pytest.raises(UnfitWorker, match=r"worker on .*, process \d+: .*tendermint"):
        do_run(this_code(), missing.encode())


def test_a_worker_with_several_threads_does_one_run_at_a_time(monkeypatch):
    (run,) = Experiment.parse(SMALL | {"crash": 0, "batch-size": 8}, "x").runs
    asked = Job(run.options, 0, HOW, CostTable.load(), False).encode()
    inside, most = [], []

    def write_run(*arguments: Any, **options: Any) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()

    monkeypatch.setattr(worker, "write_run", write_run)
    with ThreadPoolExecutor(4) as threads:
        for answer in threads.map(lambda _: do_run(this_code(), asked), range(4)):
            assert Answer.decode(answer) == Answer({})
    assert most == [1, 1, 1, 1]


def test_the_files_of_an_answer_stay_in_their_directory_and_below_a_size(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "events.jsonl").write_bytes(b"12345")
    (tmp_path / "summary.json").write_bytes(b"67890")
    answer = Answer.decode(Answer.packed(tmp_path))
    answer.write(tmp_path / "copy")
    assert (tmp_path / "copy" / "raw" / "events.jsonl").read_bytes() == b"12345" and len(answer.files) == 2
    monkeypatch.setattr(job, "MOST_BYTES", 9)
    assert not Answer.decode(Answer.packed(tmp_path / "copy")).files
    assert "its files take" in Answer.decode(Answer.packed(tmp_path / "copy")).problem
    for name in ("../x", "/etc/x", "a/../x", "a//x", "", ".", "x/..", "a\n"):
        with pytest.raises(ClusterError, match="a worker sent a file named"):
            Answer.decode(msgspec.msgpack.encode(Answer({name: b""})))
    for junk in (b"", b"\xc1", None, msgspec.msgpack.encode([1])):
        with pytest.raises(ClusterError, match="something else"):
            Answer.decode(junk)


def test_code_is_the_same_only_if_every_file_is(tmp_path):
    for home in ("here", "there"):
        (tmp_path / home / "bench" / "run").mkdir(parents=True)
        (tmp_path / home / "bench" / "run" / "a.py").write_text("x = 1\n")
    here, there = (tmp_path / home / "bench" for home in ("here", "there"))
    assert digest_of([here]) == digest_of([there])
    (here / "notes.txt").write_text("not code")
    assert digest_of([here]) == digest_of([there])
    (there / "run" / "a.py").write_text("x = 2\n")
    assert digest_of([here]) != digest_of([there])
    (there / "run" / "a.py").write_text("x = 1\n")
    (there / "run" / "a.py").rename(there / "a.py")
    assert digest_of([here]) != digest_of([there])


def test_an_estimate_of_virtual_runs_learns_and_is_shorter_with_more_workers():
    workers = 1
    estimate = VirtualEstimate(lambda: workers)
    estimate.learn(4, 1.0, 3.2)
    assert estimate.remaining_s([(4, 1.0), (8, 2.0)]) == pytest.approx(3.2 * (1 + 4 * 2))
    workers = 3
    assert estimate.remaining_s([(4, 1.0)]) == pytest.approx(3.2 / 3)
    workers = 0
    assert estimate.remaining_s([(4, 1.0)]) == pytest.approx(3.2), "all are away for a moment"
