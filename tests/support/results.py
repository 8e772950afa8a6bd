"""Made-up results of experiments, on disk."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.load.waits import Waits
from bench.measure.quantities import SCHEMA
from bench.measure.results import Result, read_results
from bench.measure.timeline import histogram, write_csv
from bench.plan.experiment import Experiment, PlannedRun
from honeybadger.node.crypto_time import OPERATIONS


def made_up(run: PlannedRun, throughput: float = 1000.0, **changes: Any) -> dict[str, Any]:
    """A summary with the figures that reports and plots use."""
    settings = run.settings
    made = {"schema": SCHEMA, "protocol": settings.parameters.protocol, "nodes": settings.nodes}
    made |= {"batch_size": settings.parameters.batch_size, "tx_bytes": settings.tx_sizes.mean}
    made |= {"window": {"start": 100.0, "end": 100.0 + settings.duration_s}}
    made |= {"offered_tx_per_s": throughput + 10, "accepted_tx_per_s": throughput + 5}
    made |= {"throughput_tx_per_s": throughput, "throughput_bytes_per_s": 250 * throughput}
    made |= {"throughput_error_tx_per_s": throughput / 50, "cpu_s_per_epoch": 0.5, "written_bytes_per_tx": 600.5}
    made |= {"latency_s": {"p50": 0.1, "p99": 0.4}, "latency_at_least": [], "epoch_s": {"p50": 0.05, "p99": 0.06}}
    made |= {"epoch_at_quorum_s": {"p50": 0.045, "p99": 0.055}, "messages_per_epoch": 300.0}
    made |= {"phase_s": {"broadcast": 0.03, "agreement": 0.01, "ledger": None}}
    made |= {"cpu_s_per_tx": 2e-5, "sent_bytes_per_tx": 1234.5, "encrypt": settings.parameters.encrypts}
    made |= {"suite": settings.parameters.suite}
    made |= {"crypto_cpu_s_per_epoch": {**dict.fromkeys(OPERATIONS, 0.0), "check": 0.2, "decrypt": 0.05}}
    made |= {"outages": [], "crashed": [], "link_faults": [], "link_fault_zero_s": -1.0}
    made |= {"machine": {"processor": "abacus", "cores": 2, "system": "none"}, "versions": {"python": "3.11"}}
    made |= {"commit": "abc", "warnings": [], "valid": True, "reason": ""}
    return made | changes


def write(out: Path, run: PlannedRun, summary: dict[str, Any], took_s: float = 20.0) -> None:
    """As a runner leaves it."""
    home = out / "runs" / run.directory_name
    home.mkdir(parents=True)
    own = {"options": run.options, "repeat": run.repeat, "key": run.key, "took_s": took_s}
    (home / "summary.json").write_bytes(msgspec.json.encode({**summary, "experiment": own}))
    rows = [{"second": s, "offered_tx": 1000, "committed_tx": 990, "committed_at_quorum_tx": 995} for s in range(-1, 5)]
    write_csv(home / "seconds.csv", rows)
    write_csv(home / "latency.csv", histogram(Waits(np.array([0.1] * 50 + [0.2] * 49 + [0.4]), np.empty(0))))


def experiment_results(out: Path, throughputs: list[float], **raw: Any) -> list[Result]:
    """Results of the experiment `raw`, whose runs have these throughputs; 0 for an invalid run."""
    runs = Experiment.parse(raw, "x").runs
    for run, throughput in zip(runs, throughputs, strict=True):
        invalid = {} if throughput else {"valid": False, "reason": "nothing was committed in the measured window"}
        write(out, run, made_up(run, throughput, **invalid))
    return read_results(out)


def local_run(directory: Path, **changes: Any) -> Path:
    """As `honeybadger local --out` leaves it."""
    made = made_up(Experiment.parse({"batch-size": 300}, "x").runs[0])
    made |= {"tx_size": "100-500", "rate": 2000.0, "durability": "fsync", "curve": True, "seed": 3_000_000_001}
    directory.mkdir(parents=True)
    (directory / "summary.json").write_bytes(msgspec.json.encode(made | changes))
    return directory
