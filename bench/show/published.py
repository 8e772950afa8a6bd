"""Points that others published, to draw beside one's own: a CSV file with a row for each.

Columns: `protocol`, `nodes`, `batch-size` (may be empty: not said), `source`, a few words for a legend, `note`, and as
many of the columns of `bench.show.against` (`throughput_tx_per_s`, `epoch_s`) as there are figures; empty where there
is none. A point appears beside the line that has its settings, and nowhere else.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.show.against import Along, Quantity
from bench.show.figure_data import Row
from honeybadger.cluster.errors import ClusterError

_SETTINGS = ("protocol", "nodes", "batch-size", "source", "note")
#: a file of points that a person collected is not longer
MOST_POINTS = 10_000
#: and characters of a file
LONGEST = 1 << 20


@dataclass(frozen=True)
class Point:
    """One row. `batch_size`: 0 if the source does not say it; `values`: column → value."""

    protocol: str
    nodes: int
    batch_size: int
    source: str
    values: Mapping[str, float]

    def marks(self, rows: Sequence[Row], along: Along, quantity: Quantity) -> list[Row]:
        """What a figure with these rows shows of it: a row whose `line` is its source, and whose `beside` is the line
        that it belongs to; none if no line has its settings."""
        batch = self.batch_size or None
        settings = {"protocol": self.protocol, "nodes": self.nodes, "batch-size": batch}
        beside = next((row for row in rows if along.same(row, settings)), None)
        value = self.values.get(quantity.column)
        if beside is None or value is None or settings[along.key] is None:
            return []
        return [{"line": self.source, **settings, quantity.column: value, "beside": beside["line"]}]


def read_points(path: Path) -> list[Point]:
    """ClusterError, in one line, for the first thing that makes no sense."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ClusterError(f"{path}: longer than {LONGEST:,} characters")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if missing := next((name for name in _SETTINGS if name not in (reader.fieldnames or ())), ""):
            raise ClusterError(f"{path}: there is no column {missing}")
        rows = [row for _, row in zip(range(MOST_POINTS + 1), reader, strict=False)]
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ClusterError(f"{path} is not a CSV file") from None
    if len(rows) > MOST_POINTS:
        raise ClusterError(f"{path}: more than {MOST_POINTS:,} points")
    return [_point(row, f"{path}: line {number}") for number, row in enumerate(rows, 2)]


def _point(row: Mapping[str, str | None], where: str) -> Point:
    def number(name: str) -> float:
        text = row.get(name) or ""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise ClusterError(f"{where}: {name} = {text!r:.80} is not a positive number")
        return value

    protocol, source = (row["protocol"] or "").strip(), (row["source"] or "").strip()
    if not protocol or not source:
        raise ClusterError(f"{where}: protocol and source have no value")
    values = {name: number(name) for name, text in row.items() if name and name not in _SETTINGS and text}
    batch_size = round(number("batch-size")) if row["batch-size"] else 0
    return Point(protocol, round(number("nodes")), batch_size, source, values)
