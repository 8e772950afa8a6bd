"""The figures of a run, as written to `summary.json`: units are in the names, and nothing is counted twice.

A transaction counts once, when it is in the ledger of every correct node. Throughput is over the measured window
only; warm-up and what comes after are left out. Latency is from the scheduled sending time to "durable on the node
it was sent to".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.observations import NodeObservations, blocks_of, everywhere_durable

SCHEMA = 1


def distribution(values: Sequence[float] | Any, quantiles: dict[str, float]) -> dict[str, float | None]:
    """Mean and quantiles in seconds, or None where nothing was measured."""
    if not len(values):
        return {"mean": None, **dict.fromkeys(quantiles)}
    data = np.asarray(values, dtype=float)
    points = np.quantile(data, list(quantiles.values()))
    return {"mean": float(data.mean()), **{name: float(p) for name, p in zip(quantiles, points, strict=True)}}


def committed_in(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> tuple[int, int, int]:
    """(transactions, bytes, blocks) that became durable at all of `nodes` inside `window`."""
    start, end = window
    heights = [h for h, at in everywhere_durable(nodes).items() if start <= at < end]
    known = blocks_of(nodes)
    blocks = [known[height] for height in heights if height in known]
    return sum(b["transactions"] for b in blocks), sum(b["bytes"] for b in blocks), len(blocks)


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


def phase_means(window: tuple[float, float], nodes: Sequence[NodeObservations]) -> dict[str, float | None]:
    """Mean seconds that an epoch spends in each phase, over `nodes`."""
    steps = (
        ("broadcast", "proposed", "broadcast"),
        ("agreement", "broadcast", "agreed"),
        ("decryption", "agreed", "decrypted"),
        ("in_order", "decrypted", "committed"),
        ("prepare", "proposed", "prepared"),
        ("commit", "prepared", "ordered"),
        ("execution", "ordered", "committed"),
    )
    start, end = window
    inside = [p for node in nodes for p in node.phases.values() if start <= p.get("committed", -1.0) < end]
    means: dict[str, float | None] = {}
    for name, since, until in steps:
        spent = [p[until] - p[since] for p in inside if since in p and until in p]
        means[name] = float(np.mean(spent)) if spent else None
    to_disk = [
        block["t"] - node.phases[block["epoch"]]["committed"]
        for node in nodes
        for block in node.block.values()
        if start <= block["t"] < end and "committed" in node.phases.get(block["epoch"], {})
    ]
    means["ledger"] = float(np.mean(to_disk)) if to_disk else None
    return means


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


def node_row(
    index: int, seen: NodeObservations, exit_status: int | None, byzantine: str = "", traceback: str = ""
) -> dict[str, Any]:
    """One node's part of the summary, over all its lives. `byzantine`: its strategy; `traceback`: see NodeProcess."""
    usage = seen.usage_in_all
    return {
        "id": index,
        "byzantine": byzantine,
        "cpu_s": usage.get("cpu_s"),
        "peak_rss_bytes": usage.get("peak_rss_bytes"),
        "sent_bytes": usage.get("sent_bytes"),
        "received_bytes": usage.get("received_bytes"),
        "messages_handled": usage.get("messages_handled"),
        "messages_sent": usage.get("messages_sent"),
        "longest_tick_s": max((u["longest_tick_s"] for u in seen.usage), default=None),
        "faults": usage.get("faults"),
        "exit": exit_status,
        "traceback": traceback,
    }
