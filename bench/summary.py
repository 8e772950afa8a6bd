"""The figures of a run, as written to `summary.json`: units are in the names, and nothing is counted twice.

A transaction counts once, when it is in the ledger of every correct node. Throughput is over the measured window
only; warm-up and what comes after are left out. Latency is of the transactions offered in that window, see `waits.py`,
from the scheduled sending time to "durable on the node it was sent to".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bench.observations import NodeObservations, blocks_of, everywhere_durable

#: 2: latency is of what was offered in the window (before, of what was answered in it)
SCHEMA = 2
#: a correct node whose proposals are in a smaller share of the blocks is warned of
LEFT_OUT_SHARE = 0.5
#: what the time before a phase is called, where that is not the phase's own name
STEP_NAMES = {
    "agreed": "agreement",
    "decrypted": "decryption",
    "committed": "in_order",
    "prepared": "prepare",
    "ordered": "commit",
}


def blocks_in(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> list[dict[str, Any]]:
    """The events of the blocks that became durable at all of `nodes` inside `window`."""
    start, end = window
    known = blocks_of(nodes)
    return [known[h] for h, at in everywhere_durable(nodes).items() if start <= at < end and h in known]


def epoch_durations(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> list[float]:
    """From a node's proposal to its commit, for epochs committed inside `window`, at all of `nodes`."""
    start, end = window
    return [
        phases["committed"] - phases["proposed"]
        for node in nodes
        for phases in node.phases.values()
        if "proposed" in phases and start <= phases.get("committed", -1.0) < end
    ]


def epoch_intervals(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> list[float]:
    """Between successive commits of a node inside `window`, at all of `nodes`; not across a restart."""
    start, end = window
    gaps: list[float] = []
    for node in nodes:
        times = sorted(t for p in node.phases.values() if start <= (t := p.get("committed", -1.0)) < end)
        # Which life each commit belongs to.
        lives = np.searchsorted(node.started_at, times)
        gaps.extend(np.diff(times)[np.diff(lives) == 0].tolist())
    return gaps


def phase_steps(phases: dict[str, float]) -> dict[str, float]:
    """Step → seconds: from each phase that one epoch reached at a node to the next one, in order of time.

    A step has the name of the phase that ends it, but for those of `STEP_NAMES`; nothing if the epoch was not proposed
    and committed.
    """
    if "proposed" not in phases or "committed" not in phases:
        return {}
    order = sorted((at, name) for name, at in phases.items() if phases["proposed"] <= at <= phases["committed"])
    # Events of the same moment: the proposal first, the commit last.
    order.sort(key=lambda entry: (entry[0], {"proposed": 0, "committed": 2}.get(entry[1], 1)))
    return {STEP_NAMES.get(name, name): at - before for (before, _), (at, name) in pairwise(order)}


def phase_means(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> dict[str, float | None]:
    """Mean seconds that an epoch spends in each step, over `nodes`; "ledger" is from its commit to the disk."""
    start, end = window
    inside = [p for node in nodes for p in node.phases.values() if start <= p.get("committed", -1.0) < end]
    spent: dict[str, list[float]] = {}
    for phases in inside:
        for step, seconds in phase_steps(phases).items():
            spent.setdefault(step, []).append(seconds)
    means: dict[str, float | None] = {step: float(np.mean(seconds)) for step, seconds in spent.items()}
    to_disk = [
        block["t"] - node.phases[block["epoch"]]["committed"]
        for node in nodes
        for block in node.block.values()
        if start <= block["t"] < end and "committed" in node.phases.get(block["epoch"], {})
    ]
    means["ledger"] = float(np.mean(to_disk)) if to_disk else None
    return means


def used_in(window: tuple[float, float], nodes: Sequence[NodeObservations], counter: str) -> float | None:
    """By how much a counter of the usage reports grew inside `window`, over `nodes`, all their lives.

    Interpolated between reports; None if a node reported too little.
    """
    total = 0.0
    for node in nodes:
        times, values = counter_curve(node, counter)
        if len(times) < 2:
            return None
        first, last = np.interp(window, times, values)
        total += float(last - first)
    return total


def counter_curve(node: NodeObservations, counter: str) -> tuple[list[float], list[float]]:
    """Times, and what the counter came to by then; it begins anew with each life of the node."""
    times: list[float] = []
    values: list[float] = []
    before, last = 0.0, 0.0
    for report in node.usage:
        value = float(report.get(counter) or 0)
        if value < last:
            before += last
        last = value
        times.append(report["t"])
        values.append(before + value)
    return times, values


def memory_growth(window: tuple[float, float], node: NodeObservations) -> float | None:
    """Resident memory at the end of `window` relative to its beginning, each a mean of a tenth of the window.

    None if the node was restarted in it: these would be two processes.
    """
    start, end = window
    if any(start <= at < end for at in node.started_at):
        return None
    tenth = (end - start) / 10
    first = [u["rss_bytes"] for u in node.usage if start <= u["t"] < start + max(tenth, 1.5)]
    last = [u["rss_bytes"] for u in node.usage if end - max(tenth, 1.5) <= u["t"] < end]
    return float(np.mean(last) / np.mean(first)) if first and last else None


def most_held(usage: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The most bytes that a node held for one peer, of one epoch and of one instance (once a second), and the caps."""
    most: dict[str, int] = {}
    for report in usage:
        found = {
            "peer_bytes": max(report.get("held_bytes", {}).values(), default=0),
            "peer_bytes_cap": report.get("held_bytes_cap", 0),
            "epoch_bytes": max(report.get("epoch_bytes", {}).values(), default=0),
            "epoch_bytes_cap": report.get("epoch_bytes_cap", 0),
            "instance_bytes": report.get("instance_bytes", 0),
            "instance_bytes_cap": report.get("instance_bytes_cap", 0),
        }
        most = {name: max(value, most.get(name, 0)) for name, value in found.items()}
    return most


def left_out(blocks: Sequence[dict[str, Any]], nodes: Iterable[int]) -> list[str]:
    """A warning for each of `nodes` whose proposals are in fewer than `LEFT_OUT_SHARE` of `blocks`."""
    included = Counter(node for block in blocks for node in block["proposers"])
    return [
        f"node {node}'s proposals are in {included[node]} of {len(blocks)} blocks, so what is sent to it waits"
        for node in nodes
        if included[node] < LEFT_OUT_SHARE * len(blocks)
    ]


def node_row(
    index: int,
    seen: NodeObservations,
    blocks: Sequence[dict[str, Any]],
    exit_status: int | None,
    byzantine: str = "",
    traceback: str = "",
) -> dict[str, Any]:
    """One node's part of the summary, over all its lives. `blocks`: those of the window; `byzantine`: its strategy;
    `traceback`: see NodeProcess."""
    included = sum(index in block["proposers"] for block in blocks)
    usage = seen.usage_in_all
    return {
        "id": index,
        "byzantine": byzantine,
        "cpu_s": usage.get("cpu_s"),
        "peak_rss_bytes": usage.get("peak_rss_bytes"),
        "sent_bytes": usage.get("sent_bytes"),
        "received_bytes": usage.get("received_bytes"),
        "blocks_with_proposal": included,
        "block_share": included / len(blocks) if blocks else None,
        "messages_handled": usage.get("messages_handled"),
        "messages_sent": usage.get("messages_sent"),
        "bytes_sent": usage.get("bytes_sent"),
        "longest_tick_s": max((u["longest_tick_s"] for u in seen.usage), default=None),
        "most_held": most_held(seen.usage),
        "hub_lag_s": max((u.get("hub_lag_s") or 0.0 for u in seen.usage), default=None),
        "mempool_max": max((u.get("mempool") or 0 for u in seen.usage), default=None),
        "faults": usage.get("faults"),
        "exit": exit_status,
        "traceback": traceback,
    }
