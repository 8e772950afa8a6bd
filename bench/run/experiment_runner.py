"""Runs an experiment, run by run, into a directory; goes on where it was interrupted.

A run is written to a directory `….partial` that is renamed when it is complete and on the disk: what has its final name
is finished, what has not is done again. Finished runs are recognised by their resolved settings, and invalid ones are
kept too. What has the name of a run and is none any more is moved to `damaged/`, and measured again.

Who does the runs is the runner's `Work`: one after the other here, or many at once elsewhere.
"""

import fcntl
import filecmp
import itertools
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure.results import (
    PARTIAL,
    RUNS,
    Record,
    Result,
    read_record,
    read_result,
    write_record,
)
from bench.plan.estimate import Estimate
from bench.plan.experiment import Experiment, PlannedRun
from bench.run.write_run import Execute, write_run
from honeybadger.cluster.errors import ClusterError
from honeybadger.ledger.disk import sync

DAMAGED = "damaged"

#: Does these runs in any order. `begin(run)` gives the empty directory for its files, of a run that begins or that has
#: come back from elsewhere; each run is yielded when they are written.
Work = Callable[[Sequence[PlannedRun], Callable[[PlannedRun], Path]], Generator[PlannedRun]]


def one_by_one(execute: Execute, *, keep: bool = False) -> Work:
    """In their order, in this process; `execute` and `keep` as for `write_run`."""

    def work(runs: Sequence[PlannedRun], begin: Callable[[PlannedRun], Path]) -> Generator[PlannedRun]:
        for run in runs:
            write_run(run, begin(run), execute, keep=keep)
            yield run

    return work


@dataclass(frozen=True)
class Step:
    """What is about to be run, or to be written: number `number` of `total`; about `remaining_s` seconds for it and the
    rest."""

    run: PlannedRun
    number: int
    total: int
    remaining_s: float


class Runner:
    """One experiment into directory `out`.

    `begin(step)` is called when the work begins a run, `end(result)` after it; `say(line)` tells a person what else was
    done.
    """

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        *,
        begin: Callable[[Step], None],
        end: Callable[[Result], None],
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._experiment = experiment
        self._out = out
        self._begin = begin
        self._end = end
        self._say = say
        self._estimate = Estimate()
        self._done: dict[str, Result] = {}

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

    def run(self, work: Work, estimate: Estimate) -> list[Result]:
        """Let `work` do what is not done; returns all results of the experiment, in its order.

        `estimate` knows how long such work takes, and learns.
        """
        self._estimate = estimate
        (self._out / RUNS).mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._done = self.finished()
            self._record()
            for left in (self._out / RUNS).glob(f"*{PARTIAL}"):
                shutil.rmtree(left)
            for result in self._done.values():
                self._learn(result)
            with closing(work(self._rest(), self._start)) as written:
                for run in written:
                    result = self._done[run.key] = self._complete(run)
                    self._learn(result)
                    self._end(result)
            return [self._done[run.key] for run in self._experiment.runs]

    def _rest(self) -> list[PlannedRun]:
        return [run for run in self._experiment.runs if run.key not in self._done]

    def _start(self, run: PlannedRun) -> Path:
        rest = [(run.settings.nodes, run.planned_s) for run in self._rest()]
        number, total = len(self._done) + 1, len(self._experiment.runs)
        self._begin(Step(run, number, total, self._estimate.remaining_s(rest)))
        final = self._final(run)
        if final.exists():
            self._say(f"  {final.name} is damaged: kept in {self._set_aside(final)}, and measured again")
        partial = final.with_name(final.name + PARTIAL)
        partial.mkdir()
        return partial

    def _complete(self, run: PlannedRun) -> Result:
        final = self._final(run)
        partial = final.with_name(final.name + PARTIAL)
        for path in (*partial.rglob("*"), partial):
            sync(path)
        partial.rename(final)
        return read_result(final)

    def _final(self, run: PlannedRun) -> Path:
        return self._out / RUNS / run.directory_name

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
        # What failed to start says nothing of how long a run takes.
        if "schema" in result.summary:
            planned_s = result.options["warmup"] + result.options["duration"]
            self._estimate.learn(result.options["nodes"], planned_s, result.summary["experiment"]["took_s"])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """ClusterError if another process is running an experiment in the same directory."""
        with (self._out / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ClusterError(f"{self._out}: another `honeybadger bench run` is at work there") from None
            yield
