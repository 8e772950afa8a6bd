"""Tables of an experiment's results: medians over repeats, and the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.experiment import varied_keys
from bench.results import Group, in_words
from bench.summary import SCHEMA
from honeybadger.wording import counted


@dataclass(frozen=True)
class Column:
    """A figure of the summary: its dotted name, a heading with the unit, what to multiply with, digits to show."""

    name: str
    heading: str
    factor: float = 1.0
    digits: int = 0
    #: in the narrow table: with the spread, the median alone, or not at all
    narrow: str = "median"


COLUMNS = (
    Column("offered_tx_per_s", "offered tx/s"),
    Column("accepted_tx_per_s", "accepted tx/s"),
    Column("throughput_tx_per_s", "committed tx/s", narrow="spread"),
    Column("throughput_bytes_per_s", "MB/s", 1e-6, 2, ""),
    Column("latency_s.p50", "latency p50 ms", 1e3, 1, "spread"),
    Column("latency_s.p99", "latency p99 ms", 1e3, 1),
    Column("epoch_s.p50", "epoch p50 ms", 1e3, 1, ""),
    Column("cpu_s_per_tx", "CPU µs/tx", 1e6, 1),
    Column("sent_bytes_per_tx", "sent bytes/tx"),
)


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median, smallest and largest."""
    if not values:
        return {"median": None, "min": None, "max": None}
    return {"median": median(values), "min": min(values), "max": max(values)}


def table(groups: Sequence[Group], *, narrow: bool = False) -> tuple[list[str], list[list[str]]]:
    """Headings and rows, as texts: what varies, runs, then each figure as `median [min … max]`.

    `narrow`: only what fits a terminal.
    """
    keys = varied_keys([group.options for group in groups])
    columns = [column for column in COLUMNS if column.narrow or not narrow]
    headings = [*keys, "valid runs", *(column.heading for column in columns)]
    rows = []
    for group in groups:
        row = [_plain(key, group.options.get(key)) for key in keys]
        row.append(f"{len(group.valid)} of {len(group.results)}")
        for column in columns:
            cell = _cell(column, group.figures(column.name), with_spread=not narrow or column.narrow == "spread")
            row.append(f"≥ {cell}" if group.is_bound(column.name) else cell)
        rows.append(row)
    return headings, rows


def as_markdown(groups: Sequence[Group], more: Sequence[str] = ()) -> str:
    """The same table in Markdown, then what was the same in all runs, why runs are invalid, and `more` such lines."""
    headings, rows = table(groups)
    lines = [
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * len(headings),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows),
        "",
        *(f"- {line}" for line in [*notes(groups), *more]),
    ]
    return "\n".join(lines) + "\n"


def csv_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One row for each group: all its settings, counts of runs, and median, min and max of each figure."""
    rows = []
    for group in groups:
        row: dict[str, Any] = dict(group.options)
        row |= {"runs": len(group.results), "valid_runs": len(group.valid)}
        for column in COLUMNS:
            values = spread(group.figures(column.name))
            row |= {f"{column.name}.{what}": value for what, value in values.items()}
        row["lower_bounds"] = " ".join(column.name for column in COLUMNS if group.is_bound(column.name))
        rows.append(row)
    return rows


def notes(groups: Sequence[Group]) -> list[str]:
    """What a reader must know beside the table: common settings, machine, commits, invalid runs."""
    keys = varied_keys([group.options for group in groups])
    shown = ("protocol", "nodes", "batch-size", "tx-size", "rate", "durability", "curve")
    same = [in_words(key, groups[0].options.get(key)) for key in shown if key not in keys]
    results = [result for group in groups for result in group.results]
    lines = [f"the same in all runs: {', '.join(same)}"]
    if "encryption" not in keys:
        # Not as it was asked for: a protocol may know none.
        used = {r.summary["protocol"]: r.summary["encrypt"] for r in results if "encrypt" in r.summary}
        lines += [f"proposals of {protocol}: {'encrypted' if on else 'in the clear'}" for protocol, on in used.items()]
    machines = sorted(
        {
            f"{m['processor']}, {m['cores']} cores, {m['system']}"
            for result in results
            if (m := result.summary.get("machine"))
        }
    )
    lines += [f"machine: {machine}" for machine in machines]
    commits = sorted({result.summary.get("commit", "") for result in results} - {""})
    if len(commits) > 1:
        lines.append(f"attention: these runs are of {len(commits)} versions of the code: {', '.join(commits)}")
    if old := sum(result.valid and result.summary.get("schema") != SCHEMA for result in results):
        lines.append(
            f"attention: {old} runs are older: their latency is of what was answered in the measured time, "
            "not of what was offered in it"
        )
    lines += [f"attention: {r.directory.name}: {warning}" for r in results for warning in r.summary.get("warnings", ())]
    invalid = [result for result in results if not result.valid]
    lines.append(f"{counted(len(results), 'run')}, {len(invalid)} of them invalid (not in the figures)")
    lines += [f"invalid: {result.directory.name}: {result.summary['reason']}" for result in invalid]
    return lines


def _cell(column: Column, values: Sequence[float], *, with_spread: bool) -> str:
    if not values:
        return "–"
    low, middle, high = (
        f"{value * column.factor:,.{column.digits}f}" for value in (min(values), median(values), max(values))
    )
    return middle if len(values) == 1 or not with_spread else f"{middle} [{low} … {high}]"


def _plain(key: str, value: Any) -> str:
    if value is None or value == "":
        return "saturated" if key == "rate" else "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,g}" if isinstance(value, int | float) else str(value)
