"""Hands the runs of an experiment to the workers of a Dask cluster, and writes what comes back.

Dask tries the run of a worker that is lost again on another one, a few times (`distributed.scheduler.allowed-failures`,
3). A run that fails by itself comes back like any other: invalid, with the reason.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty, SimpleQueue

import dask
from distributed import Client, Future, KilledWorker, LocalCluster

from bench.plan.experiment import PlannedRun
from bench.plan.simulation_settings import SimulationSettings
from bench.plan.sweep_settings import SweepSettings
from bench.run.progress import Progress
from bench.run.sweep.job import Answer, Job, UnfitWorker, this_code
from bench.run.sweep.worker import check_code, do_run
from honeybadger.cluster.errors import ClusterError
from honeybadger.simulation.virtual_time.table import CostTable
from honeybadger.wording import counted

#: for the scheduler to answer, and between two looks at the workers, seconds
CONNECT_S = 10.0
LOOK_S = 1.0


@contextmanager
def cluster(settings: SweepSettings) -> Iterator[Client]:
    """The Dask cluster that a person chose, at least one worker in it; one that is started here ends with the context.

    ClusterError, in one line, if there is none.
    """
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if settings.scheduler is None:
        with _local(settings.workers or 1) as local, Client(local, set_as_default=False) as client:
            yield client
        return
    where = f"--scheduler {settings.scheduler}"
    try:
        client = Client(settings.scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError):
        raise ClusterError(f"{where}: no Dask scheduler answers there") from None
    with client:
        if not client.nthreads():
            raise ClusterError(f"{where} has no workers; start one with: dask worker {settings.scheduler}")
        yield client


def _local(workers: int) -> LocalCluster:
    """On loopback."""
    # A terminal sends its signals to the workers as well; here they are for this process, and it ends the workers. A
    # process has the mask of the thread that starts it, and all that start workers begin here. Whoever starts the
    # tracker lifts the mask, so it must be there before.
    resource_tracker.ensure_running()
    mine = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        # One task at a worker, so that no other one is suspected when it is lost.
        with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                # It has a port for its health all the same, which must not be the usual one of another cluster.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mine)


class Sweep:
    """Does runs on the workers of `client`, each as `how` and `table` say; implements `Work`.

    `say(line)` tells a person what stays, `show(progress)` how far it is.
    """

    def __init__(
        self,
        client: Client,
        how: SimulationSettings,
        table: CostTable,
        *,
        keep: bool,
        say: Callable[[str], object],
        show: Callable[[Progress], None],
    ) -> None:
        self._client = client
        self._how, self._table, self._keep = how, table, keep
        self._say, self._show = say, show
        self._workers: set[str] = set()
        self._looked_at = 0.0

    def side_by_side(self) -> int:
        return len(self._workers)

    def __call__(self, runs: Sequence[PlannedRun], begin: Callable[[PlannedRun], Path]) -> Generator[PlannedRun]:
        self._refuse_other_code()
        self._look()
        ended: SimpleQueue[Future] = SimpleQueue()
        waiting: dict[Future, PlannedRun] = {}
        troubles: list[str] = []
        try:
            for run in runs:
                job = Job(run.options, run.repeat, self._how, self._table, self._keep).encode()
                future = self._client.submit(do_run, this_code(), job, pure=False)
                waiting[future] = run
                future.add_done_callback(ended.put)
            while waiting:
                self._show(Progress(phase=f"{counted(len(waiting), 'run')} to go on {self._in_words()}"))
                try:
                    future = ended.get(timeout=LOOK_S)
                except Empty:
                    self._look()
                    continue
                self._look()
                answer = self._answer(future)
                # The worker need not keep it.
                run = waiting.pop(future)
                del future
                if answer.problem:
                    troubles.append(f"{run.directory_name}: {answer.problem}")
                    self._say(f"attention: {troubles[-1]}")
                    continue
                answer.write(begin(run))
                yield run
        finally:
            if self._client.status == "running":
                self._client.cancel(list(waiting))
        if troubles:
            raise ClusterError(f"{counted(len(troubles), 'run')} without a result; {troubles[0]}")

    def _answer(self, future: Future) -> Answer:
        """Of a run that ended; it is done once more if the worker was lost with the files. ClusterError for what
        concerns all runs."""
        try:
            return Answer.decode(future.result())
        except KilledWorker as error:
            tried = counted(error.allowed_failures + 1, "worker")
            return Answer(problem=f"{tried} died while doing it; is there too little memory?")
        except CancelledError:
            gone = "the Dask scheduler has gone; what is done is kept, and the same command goes on"
            raise ClusterError(gone) from None

    def _refuse_other_code(self) -> None:
        said = self._client.run(check_code, this_code(), on_error="return")
        for address, error in said.items():
            if error is not None:
                raise ClusterError(f"worker {address}: {error}")
        try:
            # It reads what goes to the workers.
            self._client.run_on_scheduler(check_code, this_code())
        except (UnfitWorker, ImportError) as error:
            raise ClusterError(f"scheduler {self._client.scheduler.address}: {error}") from None

    def _look(self) -> None:
        """Tell of workers that are gone, now and then."""
        if time.monotonic() < self._looked_at + LOOK_S or self._client.status != "running":
            return
        self._looked_at = time.monotonic()
        try:
            workers = set(self._client.nthreads())
        except OSError:
            # The scheduler has gone, and its runs will say so.
            return
        for address in sorted(self._workers - workers):
            self._say(f"attention: worker {address} is gone; what it was doing is tried again")
        self._workers = workers

    def _in_words(self) -> str:
        return counted(len(self._workers), "worker")
