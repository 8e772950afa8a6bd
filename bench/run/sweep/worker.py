"""What a worker does. Dask finds these functions by their names, so the worker needs this project."""

import os
import platform
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.plan.build_run import build_run
from bench.plan.experiment import PlannedRun
from bench.plan.fields import given_in
from bench.run.simulated_run import SimulatedRun
from bench.run.sweep.job import Answer, Job, UnfitWorker, this_code
from bench.run.write_run import write_run
from honeybadger.cluster.errors import ClusterError

#: A worker with several threads does one run at a time: they would only take turns, and each run needs its memory.
_alone = threading.Lock()


def check_code(wanted: str) -> None:
    """UnfitWorker if other code runs here."""
    if (mine := this_code()) != wanted:
        raise UnfitWorker(f"it has honeybadger {mine}, not {wanted}; install the same on all machines")


def do_run(wanted: str, job: bytes) -> bytes:
    """Do the run of an encoded `Job`; returns an encoded `Answer`. UnfitWorker, which names it, if this one cannot."""
    try:
        check_code(wanted)
        return _done(Job.decode(job))
    except (ClusterError, OSError) as error:
        # What a run does wrong by itself is in its answer. This is a full disk, or a package that is not here.
        raise UnfitWorker(f"worker on {platform.node()}, process {os.getpid()}: {error}") from None


def _done(asked: Job) -> bytes:
    settings = build_run(given_in({key: one for key, one in asked.options.items() if one is not None}))
    run = PlannedRun(settings.options, asked.repeat, settings)
    with _alone, TemporaryDirectory(prefix="honeybadger-") as home:
        write_run(
            run,
            Path(home),
            lambda of_run: SimulatedRun(of_run, asked.how, lambda progress: None, table=asked.table).run(),
            keep=asked.keep,
        )
        return Answer.packed(Path(home))
