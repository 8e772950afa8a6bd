"""The figures of a run in `summary.json`; their names have the units.

A transaction counts once, when it is in the ledger of every correct node. Throughput is over the measured window only
(`bench.measure.throughput`).
Latency is of the transactions offered in that window (`bench.load.waits`), from the scheduled sending time until the
transaction is durable on the node it was sent to.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bench.measure.observations import NodeObservations, durable_blocks
from honeybadger.protocols.contract import Phase

#: since 2, latency is of what was offered in the window; before, of what was answered in it. Since 3, throughput and
#: costs are from commit to commit; before, whole blocks were counted
SCHEMA = 3
#: a correct node is left out if its proposals are in a smaller share of the blocks
LEFT_OUT_SHARE = 0.5


def blocks_in(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> list[dict[str, Any]]:
    """The events of the blocks that became durable at all of `nodes` inside `window`."""
    return [block for at, block in durable_blocks(nodes) if window[0] <= at < window[1]]


def epoch_durations(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> list[float]:
    """From a node's proposal to its commit, for epochs committed inside `window`, at all of `nodes`."""
    epochs = (epoch for node in nodes for epoch in _committed_in(window, node))
    return [epoch["committed"] - epoch["proposed"] for epoch in epochs if "proposed" in epoch]


def _committed_in(window: tuple[float, float], node: NodeObservations) -> list[dict[str, float]]:
    """The phases of the epochs that the node committed inside `window`."""
    start, end = window
    return [reached for reached in node.phases.values() if start <= reached.get("committed", -1.0) < end]


def epoch_intervals(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> list[float]:
    """Between successive commits of a node inside `window`, at all of `nodes`; not across a restart."""
    gaps: list[float] = []
    for node in nodes:
        times = sorted(reached["committed"] for reached in _committed_in(window, node))
        # Which life each commit belongs to.
        lives = np.searchsorted(node.started_at, times)
        gaps.extend(np.diff(times)[np.diff(lives) == 0].tolist())
    return gaps


def quorum_durations(window: tuple[float, float], nodes: Sequence[NodeObservations], quorum: int) -> list[float]:
    """Of each epoch, from the first proposal of any of `nodes` until `quorum` of them have committed it, if that is
    inside `window`. The Honey Badger paper calls it latency."""
    proposed: dict[int, list[float]] = {}
    committed: dict[int, list[float]] = {}
    for node in nodes:
        for epoch, reached in node.phases.items():
            for name, times in (("proposed", proposed), ("committed", committed)):
                if name in reached:
                    times.setdefault(epoch, []).append(reached[name])
    ends = {epoch: sorted(times)[quorum - 1] for epoch, times in committed.items() if len(times) >= quorum}
    start, end = window
    return [at - min(proposed[epoch]) for epoch, at in ends.items() if start <= at < end and epoch in proposed]


def phase_steps(reached: Mapping[str, float], phases: Sequence[Phase]) -> dict[str, float]:
    """Step → seconds: from each phase that one epoch reached at a node to the next one, in order of time.

    `reached`: phase → time; `phases`: those of the protocol. Empty if the epoch was not proposed or not committed.
    """
    first, last = phases[0].name, phases[-1].name
    if first not in reached or last not in reached:
        return {}
    inside = [phase for phase in phases if reached[first] <= reached.get(phase.name, -1.0) <= reached[last]]
    # Phases of the same moment stay in the protocol's order.
    inside.sort(key=lambda phase: reached[phase.name])
    return {after.step: reached[after.name] - reached[before.name] for before, after in pairwise(inside)}


def phase_means(
    window: tuple[float, float], nodes: Sequence[NodeObservations], phases: Sequence[Phase]
) -> dict[str, float | None]:
    """Mean seconds that an epoch spends in each step, over `nodes`; "ledger" is from its commit to the disk."""
    start, end = window
    spent: dict[str, list[float]] = {}
    for reached in (epoch for node in nodes for epoch in _committed_in(window, node)):
        for step, seconds in phase_steps(reached, phases).items():
            spent.setdefault(step, []).append(seconds)
    steps = [phase.step for phase in phases if phase.step in spent]
    means: dict[str, float | None] = {step: float(np.mean(spent[step])) for step in steps}
    to_disk = [
        block["t"] - node.phases[block["epoch"]]["committed"]
        for node in nodes
        for block in node.block.values()
        if start <= block["t"] < end and "committed" in node.phases.get(block["epoch"], {})
    ]
    means["ledger"] = float(np.mean(to_disk)) if to_disk else None
    return means


def agreement_means(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> dict[str, float | None]:
    """Over the epochs committed inside `window`, at all of `nodes`: rounds of the longest agreement, coins tossed in
    all agreements together, proposals accepted; None for a protocol that reports none of it."""
    start, end = window
    events = []
    for node in nodes:
        # A restarted node may have agreed twice; the life that committed counts, as for phases.
        agreed = {event["epoch"]: event for event in node.agreed}
        events += [e for n, e in agreed.items() if start <= node.phases.get(n, {}).get("committed", -1.0) < end]
    names = (("rounds_mean", "rounds"), ("coins_per_epoch_mean", "coins"), ("accepted_mean", "accepted"))
    return {name: float(np.mean([event[key] for event in events])) if events else None for name, key in names}


def used_in(window: tuple[float, float], nodes: Sequence[NodeObservations], counter: str) -> float | None:
    """How much a counter of the usage reports grew inside `window`, over all lives of `nodes`.

    A dot in its name is before what is inside. Interpolated between reports; None if a node reported too little, or
    cannot tell.
    """
    total = 0.0
    for node in nodes:
        times, values = counter_curve(node, counter)
        if len(times) < 2 or any(_read(report, counter) is None for report in node.usage):
            return None
        first, last = np.interp(window, times, values)
        total += float(last - first)
    return total


def counter_curve(node: NodeObservations, counter: str) -> tuple[list[float], list[float]]:
    """Times, and the total of the counter by then; each life of the node counts from 0 again."""
    times: list[float] = []
    values: list[float] = []
    before, last = 0.0, 0.0
    for report in node.usage:
        value = _read(report, counter) or 0.0
        if value < last:
            before += last
        last = value
        times.append(report["t"])
        values.append(before + value)
    return times, values


def _read(report: dict[str, Any], counter: str) -> float | None:
    name, _, inside = counter.partition(".")
    value = report.get(name)
    if inside:
        value = (value or {}).get(inside)
    return None if value is None else float(value)


def memory_growth(window: tuple[float, float], node: NodeObservations) -> float | None:
    """Resident memory at the end of `window` relative to its beginning, each a mean of a tenth of the window.

    None if the node was restarted in it, or has no memory of its own.
    """
    start, end = window
    if any("rss_bytes" not in report for report in node.usage) or any(start <= at < end for at in node.started_at):
        return None
    tenth = (end - start) / 10
    first = [u["rss_bytes"] for u in node.usage if start <= u["t"] < start + max(tenth, 1.5)]
    last = [u["rss_bytes"] for u in node.usage if end - max(tenth, 1.5) <= u["t"] < end]
    return float(np.mean(last) / np.mean(first)) if first and last else None


def most_held(usage: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The most bytes that a node held for one peer, of one epoch and of one instance (once a second), and the caps.

    Empty if it did not report them.
    """
    most: dict[str, int] = {}
    for report in usage:
        if "held_bytes" not in report:
            continue
        largest = {
            "peer_bytes": max(report["held_bytes"].values(), default=0),
            "peer_bytes_cap": report.get("held_bytes_cap", 0),
            "epoch_bytes": max(report.get("epoch_bytes", {}).values(), default=0),
            **{name: report.get(name, 0) for name in ("epoch_bytes_cap", "instance_bytes", "instance_bytes_cap")},
        }
        most = {name: max(value, most.get(name, 0)) for name, value in largest.items()}
    return most


def left_out(rows: Sequence[dict[str, Any]], correct: Collection[int]) -> list[int]:
    """Those of the `correct` nodes whose proposals are in fewer than `LEFT_OUT_SHARE` of the blocks; `rows`: one of
    `node_row` for each node."""
    shares = {row["id"]: row["block_share"] for row in rows if row["id"] in correct}
    return [index for index, share in shares.items() if share is not None and share < LEFT_OUT_SHARE]


def node_row(
    index: int,
    seen: NodeObservations,
    blocks: Sequence[dict[str, Any]],
    exit_status: int | None,
    byzantine: str = "",
    traceback: str = "",
) -> dict[str, Any]:
    """One node's part of the summary, over all its lives. `blocks`: those of the window; `byzantine`: its strategy;
    `traceback`: that of `NodeProcess`."""
    included = sum(index in block["proposers"] for block in blocks)
    usage = seen.usage_in_all

    def peak(name: str) -> Any:
        """None if it was not reported, as without instrumentation."""
        return max((report[name] for report in seen.usage if report.get(name) is not None), default=None)

    return {
        "id": index,
        "byzantine": byzantine,
        **{name: usage.get(name) for name in ("cpu_s", "peak_rss_bytes")},
        **{name: usage.get(name) for name in ("sent_bytes", "received_bytes", "written_bytes")},
        "blocks_with_proposal": included,
        "block_share": included / len(blocks) if blocks else None,
        **{name: usage.get(name) for name in ("messages_handled", "messages_sent", "bytes_sent")},
        "longest_tick_s": peak("longest_tick_s"),
        "most_held": most_held(seen.usage),
        "hub_lag_s": peak("hub_lag_s"),
        "mempool_max": peak("mempool"),
        "faults": usage.get("faults"),
        **{name: usage.get(name) for name in ("changed_messages", "honest_messages", "extra_messages")},
        "exit": exit_status,
        "traceback": traceback,
    }
