"""Tables of an experiment's results: medians over repeats, the spread and the confidence of the mean; or run by run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.measure.results import Group, Result, commits, figure, in_words
from bench.plan.experiment import varied_keys
from bench.show.interval import FEWEST, Interval, interval
from honeybadger.node.crypto_time import OPERATIONS
from honeybadger.wording import counted


@dataclass(frozen=True)
class Column:
    """A figure of the summary: its dotted name, a heading with the unit, a factor, and digits to show."""

    name: str
    heading: str
    factor: float = 1.0
    digits: int = 0
    #: the figure of the summary that states its error, if there is one
    error: str = ""
    #: the lower, the narrower the terminals that show it
    rank: int = 5


COLUMNS = (
    Column("offered_tx_per_s", "offered tx/s", rank=3),
    Column("accepted_tx_per_s", "accepted tx/s", rank=3),
    Column("throughput_tx_per_s", "committed tx/s", error="throughput_error_tx_per_s", rank=1),
    Column("throughput_bytes_per_s", "MB/s", 1e-6, 2),
    Column("latency_s.p50", "latency p50 ms", 1e3, 1, rank=1),
    Column("latency_s.p99", "latency p99 ms", 1e3, 1, rank=2),
    Column("epoch_s.p50", "epoch p50 ms", 1e3, 1),
    Column("epoch_at_quorum_s.p50", "epoch at N−f p50 ms", 1e3, 1),
    Column("cpu_s_per_tx", "CPU µs/tx", 1e6, 1, rank=4),
    Column("cpu_s_per_epoch", "CPU ms/epoch", 1e3, 1),
    Column("sent_bytes_per_tx", "sent bytes/tx", rank=4),
    Column("messages_per_epoch", "messages/epoch"),
    Column("written_bytes_per_tx", "written bytes/tx"),
    Column("agreement.rounds_mean", "agreement rounds", digits=2),
    Column("agreement.coins_per_epoch_mean", "coins/epoch", digits=1),
    Column("agreement.accepted_mean", "proposals/block", digits=2),
)
#: processor time of cryptography, by operation
CRYPTO_COLUMNS = tuple(
    Column(f"crypto_cpu_s_per_epoch.{name}", f"{name.replace('_', ' ')} ms", 1e3, 2) for name in OPERATIONS
)
CRYPTO_TITLE = "Processor time of cryptography in an epoch, all nodes together:"
#: what is different in summaries before this schema
OLDER = {
    2: "latency is of what was answered in the measured time, not of what was offered in it",
    3: "throughput and costs are of whole blocks in the measured time, one more or less, and no error is stated",
}
#: tables that are less than all, the best first: columns up to which rank, and those up to which with their spread
NARROWER = ((4, 1), (3, 1), (3, 0), (2, 1), (2, 0), (1, 0))
#: figures of `run_rows`
RUN_FIGURES = (
    *("offered_tx_per_s", "accepted_tx_per_s"),
    *("throughput_tx_per_s", "throughput_error_tx_per_s", "throughput_bytes_per_s"),
    *(f"latency_s.{name}" for name in ("mean", "p50", "p90", "p99", "p999", "max")),
    *("epochs", "epoch_s.mean", "epoch_s.p50", "epoch_s.p99"),
    *(f"epoch_at_quorum_s.{name}" for name in ("mean", "p50", "p99")),
    *(f"agreement.{name}_mean" for name in ("rounds", "coins_per_epoch", "accepted")),
    *("cpu_s_per_tx", "cpu_s_per_epoch", "sent_bytes_per_tx", "messages_per_epoch", "written_bytes_per_tx"),
    *(column.name for column in CRYPTO_COLUMNS),
    *("recovery_worst_s", "pause_worst_s"),
)
#: settings that `run_rows` always have, so that rows of several experiments fit together
USUAL_SETTINGS = ("protocol", "nodes", "batch-size", "tx-size", "rate")


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median, smallest and largest; None of nothing."""
    if not values:
        return dict.fromkeys(("median", "min", "max"))
    return {"median": median(values), "min": min(values), "max": max(values)}


def table(
    groups: Sequence[Group], rank: int = 5, spread_rank: int = 5, of: Sequence[Column] = COLUMNS
) -> tuple[list[str], list[list[str]]]:
    """Headings and rows, as texts: what varies, runs, then each figure as `median [min … max]`, and in a second line
    the mean with its confidence interval.

    `rank`: only columns up to this one; `spread_rank`: the others of them show the median alone.
    """
    keys = varied_keys([group.options for group in groups])
    columns = [column for column in of if column.rank <= rank]
    single = all(len(group.results) == 1 for group in groups)
    headings = [*keys, "valid" if single else "valid runs", *(column.heading for column in columns)]
    rows = []
    for group in groups:
        row = [_plain(key, group.options.get(key)) for key in keys]
        row.append(_plain("valid", bool(group.valid)) if single else f"{len(group.valid)} of {len(group.results)}")
        for column in columns:
            row.append(_cell(column, group, with_spread=column.rank <= spread_rank))
        rows.append(row)
    return headings, rows


def crypto_table(groups: Sequence[Group], spread_rank: int = 5) -> tuple[list[str], list[list[str]]] | None:
    """As `table`: processor time of each cryptographic operation in an epoch, at all nodes. None if none was measured.

    Without operations that took no time in any run.
    """
    taken = [column for column in CRYPTO_COLUMNS if any(any(group.figures(column.name)) for group in groups)]
    return table(groups, spread_rank=spread_rank, of=taken) if taken else None


def narrower(groups: Sequence[Group]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Tables for narrow terminals, the best first; a spread has a line of its own."""
    for ranks in NARROWER:
        headings, rows = table(groups, *ranks)
        yield headings, [[cell.replace(" [", "\n[") for cell in row] for row in rows]


def as_markdown(groups: Sequence[Group], more: Sequence[str] = ()) -> str:
    """The same tables in Markdown, then the `notes` and `more` lines."""
    lines = _in_markdown(*table(groups))
    if crypto := crypto_table(groups):
        lines += [CRYPTO_TITLE, "", *_in_markdown(*crypto)]
    lines += [f"- {line}" for line in [*notes(groups), *more]]
    return "\n".join(lines) + "\n"


def _in_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * len(headings),
        *("| " + " | ".join(cell.replace("|", "\\|").replace("\n", "; ") for cell in row) + " |" for row in rows),
        "",
    ]


def csv_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One row for each group: all its settings, counts of runs, and of each figure median, min and max, and the mean
    with its confidence interval."""
    rows = []
    for group in groups:
        row: dict[str, Any] = {**group.options, "runs": len(group.results), "valid_runs": len(group.valid)}
        for column in (*COLUMNS, *CRYPTO_COLUMNS):
            values = spread(group.figures(column.name))
            if (of_mean := _interval(group, column.name)) is not None:
                low, high = of_mean.mean - of_mean.half, of_mean.mean + of_mean.half
                values |= {"mean": of_mean.mean, "ci95_low": low, "ci95_high": high}
            for what in ("median", "min", "max", "mean", "ci95_low", "ci95_high"):
                row[f"{column.name}.{what}"] = values.get(what)
        row["lower_bounds"] = " ".join(column.name for column in COLUMNS if group.is_bound(column.name))
        rows.append(row)
    return rows


def one_by_one(groups: Sequence[Group]) -> list[Group]:
    """Each run as a group of its own, with repeat and seed among what may vary."""
    return [
        Group({**group.options, "repeat": result.repeat, "seed": result.options.get("seed")}, [result])
        for group in groups
        for result in group.results
    ]


def run_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One row for each run: its settings that are usual or vary, and its figures in SI units; None for no number.

    Figures are named as in `summary.json`, with a dot before what is inside.
    """
    varied = varied_keys([group.options for group in groups])
    keys = dict.fromkeys([*USUAL_SETTINGS, *varied])
    return [
        {
            **{key: _value(key, result.options.get(key)) for key in keys},
            "repeat": result.repeat,
            "seed": result.options.get("seed"),
            "valid": result.valid,
            **{name: figure(result.summary, name) for name in RUN_FIGURES},
            "lower_bounds": " ".join(f"latency_s.{name}" for name in result.summary.get("latency_at_least", ())),
            "reason": result.summary["reason"],
            "directory": str(result.directory),
        }
        for group in groups
        for result in group.results
    ]


def notes(groups: Sequence[Group]) -> list[str]:
    """What a reader of the table must know: common settings, machine, commits, invalid runs."""
    keys = varied_keys([group.options for group in groups])
    shown = ("protocol", "suite", "nodes", "batch-size", "tx-size", "rate", "durability", "curve")
    options = groups[0].options
    # Results of the time before there were suites do not name one.
    same = [in_words(key, options.get(key)) for key in shown if key not in keys and (key != "suite" or key in options)]
    results = [result for group in groups for result in group.results]
    lines = [f"the same in all runs: {', '.join(same)}"]
    if "encryption" not in keys:
        # As it was, not as the option says: a protocol may have no encryption.
        used = {r.summary["protocol"]: r.summary["encrypt"] for r in results if "encrypt" in r.summary}
        lines += [f"proposals of {protocol}: {'encrypted' if on else 'in the clear'}" for protocol, on in used.items()]
    machines = [machine for result in results if (machine := result.summary.get("machine"))]
    lines += sorted({"machine: {processor}, {cores} cores, {system}".format(**machine) for machine in machines})
    if len(code := commits(results)) > 1:
        lines.append(f"attention: these runs are of {len(code)} versions of the code: {', '.join(code)}")
    for schema, what in OLDER.items():
        if old := sum(result.valid and result.summary.get("schema", 1) < schema for result in results):
            are = "run is" if old == 1 else "runs are"
            lines.append(f"attention: {old} {are} older: {what}")
    lines += [f"attention: {r.directory.name}: {warning}" for r in results for warning in r.summary.get("warnings", ())]
    if any(len(group.valid) >= FEWEST for group in groups):
        lines.append(
            f"mean ± half of its 95 % confidence interval, by Student's t: only from {FEWEST} valid runs on, "
            "without the invalid ones, and never of a lower bound (≥)"
        )
    invalid = [result for result in results if not result.valid]
    lines.append(f"{counted(len(results), 'run')}, {validity(results)}{' (not in the figures)' if invalid else ''}")
    lines += [f"invalid: {result.directory.name}: {result.summary['reason']}" for result in invalid]
    return lines


def validity(results: Sequence[Result]) -> str:
    """How many of them are invalid, or that none is."""
    if invalid := sum(not result.valid for result in results):
        return f"{invalid} of them invalid" if len(results) > 1 else "invalid"
    return "all valid" if len(results) > 1 else "valid"


def _interval(group: Group, name: str) -> Interval | None:
    """Of the mean of a figure over the valid runs; the mean of lower bounds would say nothing."""
    return None if group.is_bound(name) else interval(group.figures(name))


def _cell(column: Column, group: Group, *, with_spread: bool) -> str:
    values = group.figures(column.name)
    if not values:
        return "–"

    def shown(value: float) -> str:
        return f"{value * column.factor:,.{column.digits}f}"

    cell = "≥ " * group.is_bound(column.name) + shown(median(values))
    if with_spread and len(values) == 1 and (errors := group.figures(column.error)):
        cell += f" ± {shown(errors[0])}"
    if with_spread and len(values) > 1:
        cell += f" [{shown(min(values))} … {shown(max(values))}]"
        if (of_mean := _interval(group, column.name)) is not None:
            cell += f"\nmean {shown(of_mean.mean)} ± {shown(of_mean.half)}"
    return cell


def _plain(key: str, value: Any) -> str:
    if value is None or value == "":
        return "saturated" if key == "rate" else "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,g}" if isinstance(value, float) else str(value)


def _value(key: str, value: Any) -> Any:
    """A setting for a column: a number where it is one, and a word for no fault.

    pandas takes an empty field for a missing value, and leaves such rows out when it groups them.
    """
    if key == "tx-size" and str(value).isdecimal():
        return int(value)
    return "none" if value == "" else value
