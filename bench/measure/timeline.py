"""The CSV files of a run: the run second by second, its epochs, and a histogram of its latencies.

Second 0 is the first measured one; warm-up has negative seconds. The names of columns have units. An empty field was
not measured.
"""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.load.offers import Offers
from bench.load.waits import Waits
from bench.measure.observations import NodeObservations, blocks_of, durable_blocks, read_events
from bench.measure.quantities import counter_curve, phase_steps
from honeybadger.protocols.contract import Phase

#: histogram bins for each factor of ten
BINS_PER_DECADE = 40
SHORTEST_LATENCY_S = 1e-4

Row = dict[str, Any]


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """`rows` with a heading. None becomes an empty field; numbers keep six significant digits."""
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row.get(name)) for name in columns])
    return file.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    path.write_text(csv_text(rows, columns), encoding="utf-8")


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows that `write_csv` wrote, as texts."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def per_second(
    window: tuple[float, float], nodes: Sequence[NodeObservations], quorum: int, offers: Offers
) -> list[Row]:
    """One row a second. `nodes`: correct ones that were not killed for good; `quorum`: N-f.

    `committed_tx`: durable at all of `nodes`; `committed_at_quorum_tx`: at N-f of them, as clients see it while a node
    is down. Latency is of the transactions that were due in the second.
    """
    start = window[0]
    blocks = blocks_of(nodes)
    committed: dict[int, Row] = defaultdict(lambda: {"committed_tx": 0, "committed_bytes": 0})
    for at, block in durable_blocks(nodes):
        row = committed[math.floor(at - start)]
        row["committed_tx"] += block["transactions"]
        row["committed_bytes"] += block["bytes"]
    at_quorum: dict[int, int] = defaultdict(int)
    for height, block in blocks.items():
        times = sorted(node.durable_at[height] for node in nodes if height in node.durable_at)
        if len(times) >= min(quorum, len(nodes)):
            at_quorum[math.floor(times[min(quorum, len(nodes)) - 1] - start)] += block["transactions"]
    offered = {second: offers.waits(which) for second, which in offers.by_second(start).items()}
    seconds = [*offered, *committed, *at_quorum, 0, math.ceil(window[1] - start) - 1]
    return [
        {
            "second": second,
            "offered_tx": len(offered.get(second, ())),
            **committed[second],
            "committed_at_quorum_tx": at_quorum.get(second, 0),
            **_latency(offered.get(second)),
            **_usage(start + second, nodes),
        }
        for second in range(min(seconds), max(seconds) + 1)
    ]


def _latency(waits: Waits | None) -> Row:
    quantiles = waits.distribution({"p50": 0.5, "p99": 0.99}) if waits else {}
    return {f"latency_{name}_s": quantiles.get(name) for name in ("p50", "p99")}


def _usage(begin: float, nodes: Sequence[NodeObservations]) -> Row:
    """Usage over `nodes` in the second from `begin`: sums of counters, sums and peaks of reported values."""
    reports = [report for node in nodes for report in node.usage if begin <= report["t"] < begin + 1]

    def used(counter: str) -> float | None:
        total, any_node = 0.0, False
        for node in nodes:
            times, values = counter_curve(node, counter)
            if times and times[0] <= begin + 1 and times[-1] >= begin:
                first, last = np.interp((begin, begin + 1), times, values)
                total, any_node = total + float(last - first), True
        return total if any_node else None

    def peak(name: str) -> float | None:
        return max((report[name] for report in reports if report.get(name) is not None), default=None)

    waiting = [count for report in reports if (count := report.get("mempool")) is not None]
    held = [sum(report["held_bytes"].values()) for report in reports if "held_bytes" in report]
    return {
        "cpu_cores": used("cpu_s"),
        "sent_bytes": used("sent_bytes"),
        "rss_max_bytes": peak("rss_bytes"),
        "mempool_tx": sum(waiting) if waiting else None,
        "pending_blocks_max": peak("pending_blocks"),
        "held_for_peers_max_bytes": max(held, default=None),
        "longest_tick_max_s": peak("longest_tick_s"),
        "hub_lag_max_s": peak("hub_lag_s"),
    }


def epoch_rows(start: float, nodes: Mapping[int, NodeObservations], phases: Sequence[Phase]) -> list[Row]:
    """One row for each epoch and node: time of the proposal, seconds in each step, agreement, and block."""
    rows: list[Row] = []
    for index, node in nodes.items():
        blocks = {block["epoch"]: block for block in node.block.values()}
        agreed = {event["epoch"]: event for event in node.agreed}
        for epoch, reached in sorted(node.phases.items()):
            steps = phase_steps(reached, phases)
            if not steps:
                continue
            block, agreement = blocks.get(epoch), agreed.get(epoch, {})
            rows.append(
                {
                    "epoch": epoch,
                    "node": index,
                    "proposed_at_s": reached["proposed"] - start,
                    **{f"{step}_s": seconds for step, seconds in steps.items()},
                    "ledger_s": block["t"] - reached["committed"] if block else None,
                    "rounds": agreement.get("rounds"),
                    "coins": agreement.get("coins"),
                    "accepted": agreement.get("accepted"),
                    "transactions": block["transactions"] if block else None,
                }
            )
    return sorted(rows, key=lambda row: (row["epoch"], row["node"]))


def histogram(waits: Waits) -> list[Row]:
    """Bins of equal width on a logarithmic scale, from the first to the last that is not empty; the very last one has
    no upper edge and counts what was never answered."""
    if not len(waits):
        return []
    scaled = np.log10(np.maximum(waits.answered, SHORTEST_LATENCY_S)) * BINS_PER_DECADE
    # Upper edges are exclusive; rounding errors at an edge do not matter.
    numbers = np.floor(scaled).astype(np.int64)
    first = int(numbers.min()) if len(numbers) else 0
    counts = np.bincount(numbers - first)
    shares = np.cumsum(counts) / len(waits)
    edges = [10 ** (number / BINS_PER_DECADE) for number in range(first, first + len(counts) + 1)]
    rows: list[Row] = [
        {"lower_s": lower, "upper_s": upper, "count": count, "share_up_to_upper": share}
        for (lower, upper), count, share in zip(pairwise(edges), counts.tolist(), shares.tolist(), strict=True)
    ]
    if never := len(waits.never):
        longest = rows[-1]["upper_s"] if rows else SHORTEST_LATENCY_S
        rows.append({"lower_s": longest, "upper_s": math.inf, "count": never, "share_up_to_upper": 1.0})
    return rows


def merged_events(files: Iterable[tuple[int, Path]]) -> Iterable[bytes]:
    """The events as JSON lines, node by node, with the reporting node in "from"."""
    for index, path in files:
        for event in read_events(path):
            # An accusation already has a "node", the accused one.
            yield msgspec.json.encode({"from": index, **event}) + b"\n"


def _field(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
