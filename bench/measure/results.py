"""Writes and reads the directory of an experiment.

`experiment.toml`: its manifest as it was last run; `experiment.json`: a `Record`; `runs/`: a directory for each run;
`damaged/`: remains of runs. The files of a run are listed in `docs/experiments.md`; `bench.measure.timeline` makes the
CSV files.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from bench.load.offers import read_offers
from bench.measure.observations import read_node
from bench.measure.timeline import epoch_rows, histogram, merged_events, per_second, write_csv
from bench.plan import link_faults
from bench.plan.experiment import Options, PlannedRun, varied_keys
from honeybadger.cluster.errors import ClusterError
from honeybadger.ledger.disk import sync

RUNS = "runs"
#: the ending of a run's directory until it is complete
PARTIAL = ".partial"
RECORD = "experiment.json"


class Record(msgspec.Struct, frozen=True):
    """Whose results a directory holds. `manifest`: relative path of the manifest, "" if there is none; `runs`: names of
    the runs in that manifest; others do not count."""

    manifest: str
    runs: list[str]


class _Own(msgspec.Struct):
    """What an experiment adds to the summary of a run."""

    options: Options
    repeat: int
    key: str
    took_s: float


class _Summary(msgspec.Struct):
    """What every summary of a run of an experiment has."""

    valid: bool
    reason: str
    experiment: _Own


@dataclass(frozen=True)
class Result:
    directory: Path
    options: Options
    repeat: int
    summary: dict[str, Any]

    @property
    def valid(self) -> bool:
        return bool(self.summary["valid"])

    @property
    def key(self) -> str:
        return str(self.summary["experiment"]["key"])


@dataclass(frozen=True)
class Group:
    """Runs that differ only in repeat and seed. `options`: what they have in common, without the seed."""

    options: Options
    results: list[Result]

    @property
    def valid(self) -> list[Result]:
        """Those whose figures count, in order of repeats."""
        return [result for result in self.results if result.valid]

    def label(self, keys: Sequence[str]) -> str:
        """Its values of `keys`, for people, without absent faults."""
        return label(self.options, keys)

    def figures(self, name: str) -> list[float]:
        """`name` (with dots for what is inside, such as latency_s.p50) of each valid run that has it."""
        return [value for result in self.valid if (value := figure(result.summary, name)) is not None]

    def is_bound(self, name: str) -> bool:
        """Whether `name` is a latency that is only a lower bound in a valid run."""
        kind, _, point = name.partition(".")
        return kind == "latency_s" and any(point in r.summary.get("latency_at_least", ()) for r in self.valid)


#: faults of nodes and links, and options that only describe them
FAULT_KEYS = ("crash", "restart", "restart-all", "restart-primary", "byzantine", *link_faults.KINDS)
RESTART_KEYS = ("restart-after", "restart-rounds")


def label(options: Options, keys: Sequence[str]) -> str:
    """The values of `keys`, for people, without absent faults; "no fault" if nothing is left."""
    restarts = any(options.get(key) for key in ("restart", "restart-all", "restart-primary"))
    said = [
        in_words(key, options.get(key))
        for key in keys
        if (key not in FAULT_KEYS or options.get(key)) and (key not in RESTART_KEYS or restarts)
    ]
    if any(key in FAULT_KEYS for key in keys) and not any(options.get(key) for key in FAULT_KEYS):
        said.append("no fault")
    return ", ".join(said) or "all runs"


def in_words(key: str, value: Any) -> str:
    """A setting and its value, in short."""
    if key == "protocol":
        return str(value)
    if isinstance(value, bool):
        return key if value else f"no {key}"
    if value is None or value == "":
        return "saturated" if key == "rate" else f"no {key}"
    short = {"nodes": "N", "faults": "f", "batch-size": "B"}.get(key, key)
    return f"{short} = {value:,g}" if isinstance(value, int | float) and value < 1e15 else f"{short} = {value}"


def figure(summary: dict[str, Any], name: str) -> float | None:
    """A number of a summary by its dotted name; None if it is not there."""
    value: Any = summary
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def write_failed(target: Path, run: PlannedRun, reason: str, took_s: float) -> None:
    """Record a run that could not start: invalid, with the reason."""
    p = run.settings.parameters
    summary = {"protocol": p.protocol, "suite": p.suite, "nodes": run.settings.nodes, "batch_size": p.batch_size}
    _write_summary(target, run, {**summary, "valid": False, "reason": reason}, took_s)


def write_result(raw: Path, target: Path, run: PlannedRun, summary: dict[str, Any], took_s: float) -> None:
    settings = run.settings
    window = (summary["window"]["start"], summary["window"]["end"])
    events = [(index, raw / f"node-{index}" / "events.jsonl") for index in range(settings.nodes)]
    seen = {index: read_node(path) for index, path in events}
    live = {index: seen[index] for index in settings.correct if index not in summary["crashed"]}
    offers = read_offers(raw, settings.clients, settings.seed, settings.tx_sizes)
    write_csv(target / "seconds.csv", per_second(window, list(live.values()), settings.quorums.quorum, offers))
    write_csv(target / "epochs.csv", epoch_rows(window[0], live, settings.specification.phases))
    bins = histogram(offers.waits(offers.within(window)))
    write_csv(target / "latency.csv", bins, ("lower_s", "upper_s", "count", "share_up_to_upper"))
    # Without name and time in it, so that the same events make the same bytes.
    with (target / "events.jsonl.gz").open("wb") as out, gzip.GzipFile("", "wb", 5, out, mtime=0) as file:
        file.writelines(merged_events(events))
    where = ("machine", "hosts", "versions", "commit")
    _write_json(target / "machine.json", {name: summary[name] for name in where if name in summary})
    _write_summary(target, run, summary, took_s)


def read_results(path: Path, tell: Callable[[str], object] = lambda line: None) -> list[Result]:
    """The finished runs of an experiment's directory, or of one run; ClusterError, in one line, if there are none.

    `tell(line)` reports what does not count: damaged runs, and runs with other settings.
    """
    if (path / "summary.json").exists():
        return [read_result(path)]
    names = {p.name for p in (path / RUNS).glob("*") if p.is_dir() and p.suffix != PARTIAL}
    try:
        record = read_record(path)
    except ClusterError as error:
        tell(f"attention: {error}; all runs count, until `honeybadger bench run` writes it again")
        record = None
    if record is not None and (others := sorted(names.difference(record.runs))):
        tell(f"not counted, since {path / 'experiment.toml'} does not ask for them: {', '.join(others)}")
        names = names.intersection(record.runs)
    results, damaged = [], ""
    for name in sorted(names):
        try:
            results.append(read_result(path / RUNS / name))
        except ClusterError as error:
            tell(damaged := f"damaged: {error}; `honeybadger bench run` measures it again")
    if not results:
        raise ClusterError(damaged or f"{path}: no finished run of `honeybadger bench run` is there")
    return results


def read_result(directory: Path) -> Result:
    """One run; ClusterError, in one line, if it is damaged or missing."""
    path = directory / "summary.json"
    try:
        data = path.read_bytes()
        own = msgspec.json.decode(data, type=_Summary).experiment
        return Result(directory, own.options, own.repeat, msgspec.json.decode(data, type=dict[str, Any]))
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ClusterError(f"{path}: not the summary of a run of an experiment") from None


def read_record(path: Path) -> Record | None:
    """Of an experiment's directory; None if there is none, ClusterError if it is damaged."""
    try:
        # Not msgspec's decoder: a path may hold bytes that are not UTF-8.
        return msgspec.convert(json.loads((path / RECORD).read_bytes()), Record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ClusterError(f"{path / RECORD}: {getattr(error, 'strerror', None) or 'damaged'}") from None


def write_record(path: Path, record: Record) -> None:
    """Whole, or not at all."""
    new = path / f"{RECORD}{PARTIAL}"
    new.write_text(json.dumps(msgspec.to_builtins(record), indent=2))
    sync(new)
    new.replace(path / RECORD)


def commits(results: Iterable[Result]) -> list[str]:
    """Versions of the code that made these runs."""
    return sorted({result.summary.get("commit", "") for result in results} - {""})


def grouped(results: Iterable[Result]) -> list[Group]:
    """By settings without seed, in order of settings; repeats in order."""
    groups: dict[str, Group] = {}
    for result in sorted(results, key=lambda result: result.repeat):
        options = {key: value for key, value in result.options.items() if key != "seed"}
        key = msgspec.json.encode(options, order="sorted").decode()
        groups.setdefault(key, Group(options, [])).results.append(result)
    keys = varied_keys([group.options for group in groups.values()])
    return sorted(groups.values(), key=lambda group: [_sortable(group.options.get(key)) for key in keys])


def _sortable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (0, 0.0, "") if value is None else (2, 0.0, str(value))


def _write_summary(target: Path, run: PlannedRun, summary: dict[str, Any], took_s: float) -> None:
    """And the settings that led to it."""
    options = {key: value for key, value in run.options.items() if value is not None and value != ""}
    (target / "run.toml").write_text(tomli_w.dumps(options), encoding="utf-8")
    own = {"options": run.options, "repeat": run.repeat, "key": run.key, "took_s": took_s}
    _write_json(target / "summary.json", {**summary, "experiment": own})


def _write_json(path: Path, data: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=2))
