"""Runs an experiment, run by run, into a directory; goes on where it was interrupted.

A run is written to a directory `….partial` that is renamed when it is complete and on the disk: what has its final name
is finished, what has not is done again. Finished runs are recognised by their resolved settings, and invalid ones are
kept too. What has the name of a run and is none any more is moved to `damaged/`, and measured again.
"""

import fcntl
import filecmp
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.measure.results import (
    PARTIAL,
    RUNS,
    Record,
    Result,
    read_record,
    read_result,
    write_failed,
    write_record,
    write_result,
)
from bench.plan.estimate import Estimate
from bench.plan.experiment import Experiment, PlannedRun
from bench.plan.run_settings import RunSettings
from bench.run.progress import Progress
from honeybadger.cluster.errors import ClusterError, WanUnavailable
from honeybadger.ledger.disk import sync

DAMAGED = "damaged"

Execute = Callable[[RunSettings, Callable[[Progress], None]], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """What is about to be run: number `number` of `total`; about `remaining_s` seconds for it and the rest."""

    run: PlannedRun
    number: int
    total: int
    remaining_s: float


class Runner:
    """One experiment into directory `out`.

    `execute(settings, show)` does a run and returns its summary. `begin(step)` is called before each run, `end(step,
    result)` after it, `show(progress)` meanwhile; `say(line)` tells a person what else was done. `keep`: leave ledgers,
    keys and raw files of each run in `raw/`.
    """

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        execute: Execute,
        *,
        begin: Callable[[Step], None],
        end: Callable[[Step, Result], None],
        show: Callable[[Progress], None],
        say: Callable[[str], object] = lambda line: None,
        keep: bool = False,
    ) -> None:
        self._experiment = experiment
        self._out = out
        self._begin = begin
        self._end = end
        self._show = show
        self._say = say
        self._keep = keep
        self._execute = execute
        self._estimate = Estimate()

    def finished(self) -> dict[str, Result]:
        """Key → result of the experiment's runs that are complete; ClusterError if the directory is another's."""
        self._refuse_another_manifest()
        found = {}
        for run in self._experiment.runs:
            with suppress(ClusterError):
                result = read_result(self._out / RUNS / run.directory_name)
                if result.key == run.key:
                    found[run.key] = result
        return found

    def run(self) -> list[Result]:
        """Do what is not done; returns all results of the experiment, in its order."""
        (self._out / RUNS).mkdir(parents=True, exist_ok=True)
        with self._alone():
            done = self.finished()
            self._record()
            for left in (self._out / RUNS).glob(f"*{PARTIAL}"):
                shutil.rmtree(left)
            for result in done.values():
                self._learn(result)
            runs = self._experiment.runs
            for number, run in enumerate(runs, 1):
                if run.key in done:
                    continue
                rest = [(r.settings.nodes, r.planned_s) for r in runs[number - 1 :] if r.key not in done]
                step = Step(run, number, len(runs), self._estimate.remaining_s(rest))
                self._begin(step)
                done[run.key] = self._one(run)
                self._learn(done[run.key])
                self._end(step, done[run.key])
            return [done[run.key] for run in runs]

    def _one(self, run: PlannedRun) -> Result:
        final = self._out / RUNS / run.directory_name
        partial = final.with_name(final.name + PARTIAL)
        if final.exists():
            self._say(f"  {final.name} is damaged: kept in {self._set_aside(final)}, and measured again")
        partial.mkdir()
        raw = partial / "raw"
        began = time.monotonic()
        try:
            summary = self._execute(msgspec.structs.replace(run.settings, out=raw), self._show)
        except WanUnavailable:
            # No run of this experiment can do better on this machine; another one may go on from here.
            shutil.rmtree(partial)
            raise
        except (ClusterError, ValueError) as error:
            write_failed(partial, run, str(error), time.monotonic() - began)
        else:
            write_result(raw, partial, run, summary, time.monotonic() - began)
        if not self._keep and raw.exists():
            shutil.rmtree(raw)
        for path in (*partial.rglob("*"), partial):
            sync(path)
        partial.rename(final)
        return read_result(final)

    def _set_aside(self, directory: Path) -> Path:
        home = self._out / DAMAGED
        home.mkdir(exist_ok=True)
        names = itertools.chain([directory.name], (f"{directory.name}-{number}" for number in itertools.count(2)))
        return directory.rename(next(home / name for name in names if not (home / name).exists()))

    def _refuse_another_manifest(self) -> None:
        source = self._experiment.source
        try:
            record = read_record(self._out)
        except ClusterError:
            # It is written anew.
            return
        if source is None or record is None or not record.manifest:
            return
        other = self._out / record.manifest
        # One that is not there any more has moved, and the same text asks for the same runs.
        if other.is_file() and not filecmp.cmp(other, source, shallow=False):
            raise ClusterError(
                f"{self._out} holds the results of {other.resolve()}, not of {source}; choose another --out"
            )

    def _record(self) -> None:
        source, manifest = self._experiment.source, ""
        if source is not None:
            manifest = os.path.relpath(source.resolve(), self._out.resolve())
            (self._out / "experiment.toml").write_bytes(source.read_bytes())
        write_record(self._out, Record(manifest, [run.directory_name for run in self._experiment.runs]))

    def _learn(self, result: Result) -> None:
        took_s = result.summary["experiment"]["took_s"]
        planned_s = result.options["warmup"] + result.options["duration"]
        # What failed to start says nothing of how long a run takes.
        if took_s >= planned_s:
            self._estimate.learn(result.options["nodes"], planned_s, took_s)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """ClusterError if another process is running an experiment in the same directory."""
        with (self._out / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ClusterError(f"{self._out}: another `honeybadger bench run` is at work there") from None
            yield
