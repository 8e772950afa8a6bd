"""Results as plain rows, for a notebook: `pandas.DataFrame(load("runs/quick"))`. pandas is not needed here.

`docs/experiments.md` has an example. Whatever cannot be read is a `ClusterError`, in one line.
"""

import csv
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from bench.measure.results import Result, grouped, read_result, read_results
from bench.show.report import run_rows
from crypto.suites import DEFAULT
from honeybadger.cluster.errors import ClusterError

Row: TypeAlias = dict[str, Any]


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


def load(path: str | Path) -> list[Row]:
    """One row for each run in the directory of an experiment, of one run in it, or of `honeybadger local --out`.

    These are the columns of `honeybadger bench report --format csv --runs`. A number that was not measured is NaN.
    Invalid runs are there too: use only rows with `valid`. What is left out, such as a damaged run, is a warning.
    """
    told: list[str] = []
    rows = run_rows(grouped(read(path, told.append)))
    for line in told:
        warnings.warn(line, stacklevel=2)
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]


def summary(run: str | Path) -> Row:
    """All of a run's `summary.json`. `run`: its directory, the column `directory` of `load`."""
    if not (Path(run) / "summary.json").exists():
        raise ClusterError(f"{run}: not the directory of one run; it has no summary.json")
    return _one(Path(run)).summary


def seconds(run: str | Path) -> list[Row]:
    """A run second by second, as in its `seconds.csv`; `run` as for `summary`."""
    return _rows(Path(run) / "seconds.csv")


def epochs(run: str | Path) -> list[Row]:
    """A row for each epoch at each node, as in the run's `epochs.csv`; `run` as for `summary`."""
    return _rows(Path(run) / "epochs.csv")


def latency(run: str | Path) -> list[Row]:
    """The histogram of a run's latencies, as in its `latency.csv`; `run` as for `summary`."""
    return _rows(Path(run) / "latency.csv")


def read(path: str | Path, tell: Callable[[str], object]) -> list[Result]:
    """The runs at `path`; `tell(line)` reports what is left out."""
    path = Path(path)
    if not path.is_dir():
        what = "a file; give the directory of the results" if path.exists() else "no such directory"
        raise ClusterError(f"{path}: {what}")
    if (path / "summary.json").exists():
        return [_one(path)]
    if (path / "ledger.sqlite").exists() or (path / "keys.toml").exists():
        raise ClusterError(f"{path}: a node's data, not results; give the directory that has summary.json")
    return read_results(path, tell)


def _one(path: Path) -> Result:
    """A run of an experiment, or of `honeybadger local --out`."""
    try:
        return read_result(path)
    except ClusterError as error:
        try:
            data = (path / "summary.json").read_bytes()
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
    except FileNotFoundError:
        raise ClusterError(
            f"{path}: not there; `honeybadger bench run` writes it for each run, `honeybadger local` does not"
        ) from None
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
