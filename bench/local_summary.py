"""Collects what a run left behind into its summary, the contents of `summary.json`.

Figures are over correct nodes: those that run no Byzantine strategy and are up in the end. A node that was killed for
good is not among them, but what it recorded before counts as a correct node's word.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.checks import check_ledgers
from bench.fault_plan import FaultPlan
from bench.machine import machine, versions
from bench.observations import NodeObservations, read_node
from bench.offers import read_offers
from bench.place import RunningNode
from bench.recovery import committed_after, measure, median_and_worst
from bench.settings import LocalSettings
from bench.summary import (
    SCHEMA,
    blocks_in,
    epoch_durations,
    epoch_intervals,
    left_out,
    memory_growth,
    node_row,
    phase_means,
    used_in,
)
from bench.validity import why_invalid
from bench.waits import distribution
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol


@dataclass(frozen=True)
class Outcome:
    """What only the controller knows of a run; times are monotonic, in seconds.

    `schedule_zero`: second 0 of the link faults; `died`: last words of nodes that ended unasked; `same_height`: all
    correct nodes that were up in the end got there.
    """

    window: tuple[float, float]
    schedule_zero: float
    plan: FaultPlan
    died: list[str]
    same_height: bool


def summarise(
    directory: Path, settings: LocalSettings, nodes: Sequence[RunningNode], outcome: Outcome
) -> dict[str, Any]:
    """The summary of a run whose processes have ended, with `valid` and `reason`."""
    window = outcome.window
    length = window[1] - window[0]
    seen = [read_node(node.events) for node in nodes]
    honest = {index: seen[index] for index in settings.correct}
    correct = [index for index in settings.correct if not nodes[index].killed]
    live = [seen[index] for index in correct]
    offered = read_offers(directory, settings.clients, settings.seed, settings.tx_sizes)
    ledgers = {index: nodes[index].data / "ledger.sqlite" for index in settings.correct}
    check = check_ledgers(
        {index: path for index, path in ledgers.items() if path.exists() or index in correct},
        set(correct),
        offered.offers,
    )
    blocks = blocks_in(window, live)
    transactions, size = (sum(block[what] for block in blocks) for what in ("transactions", "bytes"))
    in_window = offered.within(window)
    waits, refused = offered.waits(in_window), offered.refused_of(in_window)
    restarts, from_kill = measure(outcome.plan.outages, window, honest)
    median_s, worst_s = median_and_worst(restarts, "recovery_s")
    pause_median_s, pause_worst_s = median_and_worst(restarts, "pause_s")
    quantiles = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "protocol": settings.parameters.protocol,
        "nodes": settings.nodes,
        "faults_tolerated": settings.faults,
        "batch_size": settings.parameters.batch_size,
        "tx_bytes": settings.tx_sizes.mean,
        "tx_size": settings.tx_sizes.text,
        "duration_s": settings.duration_s,
        "warmup_s": settings.warmup_s,
        "load": "closed loop" if settings.rate is None else "open loop",
        "arrivals": None if settings.rate is None else settings.arrivals,
        "clients": settings.clients,
        "submit_to": settings.submit_to,
        "window": {"start": window[0], "end": window[1]},
        "offered_tx": len(waits),
        "offered_committed_tx": len(waits.answered),
        "offered_refused_tx": refused,
        "offered_unanswered_tx": len(waits.never) - refused,
        "backlog_start_tx": offered.backlog(window[0]),
        "backlog_end_tx": offered.backlog(window[1]),
        "waited_through_tx": offered.backlog(window[1], due_before=window[0]),
        "drain_s": float(offered.drained.max(initial=window[1])) - window[1],
        "offered_tx_per_s": len(waits) / length,
        "late_sends": offered.late,
        "refused_tx": offered.refused,
        "unanswered_tx": offered.unanswered,
        "abandoned_tx": offered.abandoned,
        "accepted_tx_per_s": (len(waits) - refused) / length,
        "committed_tx": transactions,
        "throughput_tx_per_s": transactions / length,
        "throughput_bytes_per_s": size / length,
        "latency_s": waits.distribution(quantiles),
        "latency_at_least": waits.at_least(quantiles),
        "epochs": len(blocks),
        "epoch_s": distribution(epoch_durations(window, live), {"p50": 0.5, "p99": 0.99}),
        "epoch_interval_s": distribution(epoch_intervals(window, live), {"p50": 0.5, "p99": 0.99}),
        "phase_s": phase_means(window, live),
        "agreement": _agreement(live),
        "cpu_s_per_tx": _per(used_in(window, live, "cpu_s"), transactions),
        "sent_bytes_per_tx": _per(used_in(window, live, "sent_bytes"), transactions),
        "messages_by_type": _by_type(live, "messages_sent"),
        "bytes_by_type": _by_type(live, "bytes_sent"),
        "ledger": {"height": check.height, "tip": check.tip, "agree": check.agree},
        "crashed": [index for index in settings.correct if nodes[index].killed],
        "restarted": [node.index for node in nodes if node.restarts],
        "restarts": restarts,
        "outages": [
            {
                "node": outage.node,
                "killed_at_s": outage.killed_at - window[0],
                "restarted_at_s": None if outage.restarted_at is None else outage.restarted_at - window[0],
            }
            for outage in outcome.plan.outages
        ],
        "recovery_s": from_kill,
        "recovery_median_s": median_s,
        "recovery_worst_s": worst_s,
        "pause_median_s": pause_median_s,
        "pause_worst_s": pause_worst_s,
        "byzantine": {str(index): strategy for index, strategy in sorted(settings.byzantine.items())},
        "link_faults": msgspec.to_builtins(settings.link_faults),
        "link_fault_zero_s": outcome.schedule_zero - window[0],
        "final_heights": [max(node.durable_at, default=0) for node in seen],
        "committed_tx_after_crash": _after_outages(outcome.plan, live),
        "committed_tx_after_link_faults": _after_link_faults(settings, outcome, live),
        "faults_recorded": recorded_faults(honest),
        "memory_growth": [memory_growth(window, node) for node in live],
        "durability": settings.runtime.durability,
        "curve": settings.runtime.curve,
        "recovery": settings.runtime.recovery,
        "instrumentation": settings.runtime.instrumentation,
        "encrypt": settings.parameters.encryption != "never",
        "parameters": msgspec.to_builtins(settings.parameters),
        "seed": settings.seed,
        "per_node": [
            node_row(n.index, seen[n.index], blocks, n.exit_status, settings.byzantine.get(n.index, ""), n.traceback)
            for n in nodes
        ],
        "machine": machine(),
        "versions": versions(),
        "commit": _commit(),
    }
    quorum = Quorums(settings.nodes, settings.faults).quorum
    rounds_left = outcome.plan.rounds_left
    summary["reason"] = why_invalid(summary, check, quorum, outcome.died, rounds_left, outcome.same_height)
    summary["valid"] = not summary["reason"]
    # Of several nodes only one proposes where a block is one node's batch.
    alone = find_protocol(settings.parameters.protocol).whole_batches
    summary["warnings"] = [] if alone else left_out(blocks, correct)
    if through := summary["waited_through_tx"]:
        summary["warnings"].append(
            f"{through:,} transactions offered before the measured time were still waiting at its end: "
            "no figure of latency counts them"
        )
    return summary


def recorded_faults(honest: Mapping[int, NodeObservations]) -> list[dict[str, Any]]:
    """By accused node and kind: how many records there are (a node logs ten of each), and how many nodes made them."""
    records: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, node in honest.items():
        for fault in node.faults:
            records[int(fault["node"]), str(fault["kind"])].append(index)
    return [
        {"node": node, "kind": kind, "records": len(by), "recorded_by": len(set(by))}
        for (node, kind), by in sorted(records.items())
    ]


def _per(total: float | None, transactions: int) -> float | None:
    """Of all nodes together, for each transaction that is committed at all of them."""
    return total / transactions if total is not None and transactions else None


def _by_type(live: list[NodeObservations], name: str) -> dict[str, int]:
    """Over the whole run and all correct nodes, most first."""
    totals: Counter[str] = Counter()
    for node in live:
        totals.update(node.usage_in_all.get(name, {}))
    return dict(totals.most_common())


def _after_outages(plan: FaultPlan, live: list[NodeObservations]) -> int | None:
    """Transactions of epochs begun after the last kill or restart; None if there was none."""
    moments = [outage.restarted_at or outage.killed_at for outage in plan.outages]
    return committed_after(max(moments), live) if moments else None


def _after_link_faults(settings: LocalSettings, outcome: Outcome, live: list[NodeObservations]) -> int | None:
    """Transactions of epochs begun after the last link fault that ended in the window; None if none did."""
    ends = [outcome.schedule_zero + fault.end_s for fault in settings.link_faults if fault.end_s is not None]
    ended = [end for end in ends if end < outcome.window[1]]
    return committed_after(max(ended), live) if ended else None


def _agreement(live: list[NodeObservations]) -> dict[str, float | None]:
    events = [event for node in live for event in node.agreed]
    if not events:
        return {"rounds_mean": None, "coins_per_epoch_mean": None, "accepted_mean": None}
    return {
        "rounds_mean": float(np.mean([event["rounds"] for event in events])),
        "coins_per_epoch_mean": float(np.mean([event["coins"] for event in events])),
        "accepted_mean": float(np.mean([event["accepted"] for event in events])),
    }


def _commit() -> str:
    """The commit of this code if it runs from a git checkout, marked if it was changed; else ""."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
