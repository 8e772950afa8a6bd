"""Results in pandas: `load("runs/quick")` has a row for each run, `series` one for each second or epoch of them.

docs/results.md says what the columns are. pandas is imported when it is needed: it is the extra `pandas`. Whatever
cannot be read is a `ClusterError`, in one line.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import msgspec

from bench.measure.results import Result, read_result, read_results
from bench.measure.units import units
from bench.places.choice import PROCESSES
from crypto.suites import DEFAULT
from honeybadger.cluster.errors import ClusterError

if TYPE_CHECKING:
    import pandas

Row: TypeAlias = dict[str, Any]
Series: TypeAlias = Literal["seconds", "epochs", "latency"]
SUMMARY = "summary.json"


class _Local(msgspec.Struct):
    """What the summary of `honeybadger local --out` says of the settings. It has no `experiment`."""

    valid: bool
    reason: str
    protocol: str
    nodes: int
    batch_size: int
    tx_size: str
    rate: float | None
    durability: str
    curve: bool
    seed: int
    suite: str = DEFAULT
    experiment: msgspec.UnsetType = msgspec.UNSET


def load(path: str | Path) -> pandas.DataFrame:
    """One row for each run. `path`: the directory of an experiment or of one run, or a `summary.json`.

    Columns are named as in `summary.json`, with a dot before what is inside; lists are left out, but for
    `latency_at_least`, whose names are in one text. A number that was not measured is NaN. `directory` is where the
    run's files are, and `place` is `processes` where the summary names none. Invalid runs are there too: use only rows
    with `valid`. What is left out, such as a damaged run, is a warning. `attrs["units"]`: column → unit.
    """
    told: list[str] = []
    rows = [_row(result) for result in read(path, told.append)]
    return _frame(rows, told)


def series(path: str | Path, name: Series = "seconds") -> pandas.DataFrame:
    """The rows of the `seconds.csv`, `epochs.csv` or `latency.csv` of each run; `path` as for `load`.

    The first column is the run's `directory`. A run without the file, such as one that could not start, is a warning;
    ClusterError if none has it.
    """
    if name not in get_args(Series):
        raise ValueError(f"{name!r} is not one of {', '.join(get_args(Series))}")
    told: list[str] = []
    results = read(path, told.append)
    files = [result.directory / f"{name}.csv" for result in results]
    there = [file for file in files if file.exists()]
    if not there:
        raise ClusterError(
            f"{files[0]}: not there; `honeybadger bench run` writes it for each run, `honeybadger local` does not"
        )
    told += [f"left out: {file} is not there" for file in files if file not in there]
    return _frame([{"directory": str(file.parent), **row} for file in there for row in _rows(file)], told)


def summary(run: str | Path) -> Row:
    """All of a run's `summary.json`, lists too. `run`: its directory, the column `directory` of `load`."""
    if not (Path(run) / SUMMARY).exists():
        raise ClusterError(f"{run}: not the directory of one run; it has no {SUMMARY}")
    return _one(Path(run)).summary


def read(path: str | Path, tell: Callable[[str], object]) -> list[Result]:
    """The runs at `path`; `tell(line)` reports what is left out."""
    path = Path(path)
    if path.name == SUMMARY and path.is_file():
        path = path.parent
    if not path.is_dir():
        what = "a file; give the directory of the results" if path.exists() else "no such directory"
        raise ClusterError(f"{path}: {what}")
    if (path / SUMMARY).exists():
        return [_one(path)]
    if (path / "ledger.sqlite").exists() or (path / "keys.toml").exists():
        raise ClusterError(f"{path}: a node's data, not results; give the directory that has {SUMMARY}")
    return read_results(path, tell)


def _row(result: Result) -> Row:
    summary = result.summary
    row = {"directory": str(result.directory), "valid": result.valid, "reason": summary["reason"]}
    row["place"] = summary.get("place", PROCESSES)
    row |= _flat({name: value for name, value in summary.items() if name not in row})
    row["latency_at_least"] = " ".join(summary.get("latency_at_least", ()))
    return row


def _flat(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and plain values of everything in `record` but lists."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif not isinstance(value, list):
            yield before + name, math.nan if value is None else value


def _frame(rows: list[Row], told: list[str]) -> pandas.DataFrame:
    """`told` becomes warnings that point to the caller of `load` or `series`."""
    try:
        import pandas
    except ImportError:
        raise ClusterError("frames need pandas; in the project's folder: pip install -e '.[pandas]'") from None
    for line in told:
        warnings.warn(line, stacklevel=3)
    frame = pandas.DataFrame(rows)
    frame.attrs["units"] = units(frame.columns)
    return frame


def _one(path: Path) -> Result:
    """A run of an experiment, or of `honeybadger local --out`."""
    try:
        return read_result(path)
    except ClusterError as error:
        try:
            data = (path / SUMMARY).read_bytes()
            own = msgspec.json.decode(data, type=_Local)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise error from None
    settings = ("protocol", "nodes", "batch_size", "tx_size", "rate", "durability", "curve", "seed", "suite")
    options = {name.replace("_", "-"): getattr(own, name) for name in settings}
    return Result(path, options, 0, msgspec.json.decode(data, type=dict[str, Any]))


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, strict=True)
            if not rows.fieldnames:
                raise ValueError("no heading")
            return [{name: _number(text) for name, text in row.items()} for row in rows]
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, csv.Error):
        raise ClusterError(f"{path}: damaged") from None


def _number(text: str) -> float:
    """NaN of an empty field; TypeError or ValueError for anything else that is no number."""
    if text == "":
        return math.nan
    try:
        return int(text)
    except ValueError:
        return float(text)
