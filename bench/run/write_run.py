"""Does one run of an experiment and writes its files, those of `docs/experiments.md`."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.measure.results import write_failed, write_result
from bench.plan.experiment import PlannedRun
from bench.plan.run_settings import RunSettings
from honeybadger.cluster.errors import ClusterError, WanUnavailable

#: does the run of these settings, which name a directory for raw files, and returns its summary
Execute = Callable[[RunSettings], dict[str, Any]]


def write_run(run: PlannedRun, directory: Path, execute: Execute, *, keep: bool = False) -> None:
    """Into an empty directory. A run that cannot start is written too: invalid, with the reason. `keep`: leave ledgers,
    keys and raw files in `raw/`."""
    raw = directory / "raw"
    began = time.monotonic()
    try:
        summary = execute(msgspec.structs.replace(run.settings, out=raw))
    except WanUnavailable:
        # No run of this experiment can do better on this machine; another one may go on from here.
        shutil.rmtree(directory)
        raise
    except (ClusterError, ValueError) as error:
        write_failed(directory, run, str(error), time.monotonic() - began)
    else:
        write_result(raw, directory, run, summary, time.monotonic() - began)
    if not keep and raw.exists():
        shutil.rmtree(raw)
