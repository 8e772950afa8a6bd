"""Makes the summary of a run, the contents of `summary.json`.

Figures are over correct nodes: those that run no Byzantine strategy and are up at the end. A node that was killed for
good is not among them, but the faults that it recorded count as those of a correct node.
"""

import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import bench
from bench.load.offers import read_offers
from bench.load.waits import distribution
from bench.measure.ledger_check import check_ledgers
from bench.measure.observations import NodeObservations, durable_blocks, read_node
from bench.measure.outages import committed_after, measure, median_and_worst
from bench.measure.quantities import (
    SCHEMA,
    agreement_means,
    blocks_in,
    epoch_durations,
    epoch_intervals,
    left_out,
    memory_growth,
    node_row,
    phase_means,
    quorum_durations,
    used_in,
)
from bench.measure.throughput import Commit, throughput
from bench.measure.validity import how_to_get_blocks, too_few_blocks, why_invalid
from bench.places.hardware import machine, versions
from bench.places.place import RunningNode
from bench.plan.outage_plan import OutagePlan
from bench.plan.run_settings import RunSettings
from honeybadger.node.crypto_time import OPERATIONS
from honeybadger.wording import counted


@dataclass(frozen=True)
class Outcome:
    """What only the controller knows of a run; times are monotonic, in seconds.

    `schedule_zero`: second 0 of the link faults; `died`: last output of nodes that ended by themselves; `same_height`:
    all correct nodes that were up at the end reached the same height.
    """

    window: tuple[float, float]
    schedule_zero: float
    plan: OutagePlan
    died: list[str]
    same_height: bool


def summarise(directory: Path, settings: RunSettings, nodes: Sequence[RunningNode], outcome: Outcome) -> dict[str, Any]:
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
    everywhere = durable_blocks(live)
    commits = [Commit(at, block["transactions"], block["bytes"]) for at, block in everywhere]
    rate = throughput(window, outcome.schedule_zero, commits)
    in_window = offered.within(window)
    waits, refused = offered.waits(in_window), offered.refused_of(in_window)
    restarts, from_kill = measure(outcome.plan.outages, window, honest)
    median_s, worst_s = median_and_worst(restarts, "recovery_s")
    pause_median_s, pause_worst_s = median_and_worst(restarts, "pause_s")
    quantiles = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "protocol": settings.parameters.protocol,
        "suite": settings.parameters.suite,
        "nodes": settings.nodes,
        "faults_tolerated": settings.quorums.faults,
        "batch_size": settings.parameters.batch_size,
        "tx_bytes": settings.tx_sizes.mean,
        "tx_size": settings.tx_size,
        "duration_s": settings.duration_s,
        "warmup_s": settings.warmup_s,
        "load": "closed loop" if settings.rate is None else "open loop",
        "rate": settings.rate,
        "arrivals": None if settings.rate is None else settings.arrivals,
        "clients": settings.clients,
        "submit_to": settings.copies,
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
        "committed_tx": sum(block["transactions"] for block in blocks),
        "throughput_tx_per_s": rate.tx_per_s,
        "throughput_error_tx_per_s": rate.error_tx_per_s,
        "throughput_bytes_per_s": rate.bytes_per_s,
        "latency_s": waits.distribution(quantiles),
        "latency_at_least": waits.at_least(quantiles),
        "epochs": len(blocks),
        "epoch_s": distribution(epoch_durations(window, live), {"p50": 0.5, "p99": 0.99}),
        "epoch_at_quorum_s": distribution(
            quorum_durations(window, live, settings.quorums.quorum), {"p50": 0.5, "p99": 0.99}
        ),
        "epoch_interval_s": distribution(epoch_intervals(window, live), {"p50": 0.5, "p99": 0.99}),
        "phase_s": phase_means(window, live, settings.specification.phases),
        "agreement": agreement_means(window, live),
        "cpu_s_per_tx": _per(used_in(window, live, "cpu_s"), rate.transactions),
        "cpu_s_per_epoch": _per(used_in(window, live, "cpu_s"), rate.epochs),
        "crypto_cpu_s_per_epoch": {
            name: _per(used_in(window, live, f"crypto_cpu_s.{name}"), rate.epochs) for name in OPERATIONS
        },
        "sent_bytes_per_tx": _per(used_in(window, live, "sent_bytes"), rate.transactions),
        "messages_per_epoch": _per(used_in(window, live, "messages_handled"), rate.epochs),
        "written_bytes_per_tx": _per(used_in(window, live, "written_bytes"), rate.transactions),
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
        "byzantine": {str(index): strategy for index, strategy in sorted(settings.liars.items())},
        "link_faults": msgspec.to_builtins(settings.link_faults),
        "link_fault_zero_s": outcome.schedule_zero - window[0],
        "final_heights": [max(node.durable_at, default=0) for node in seen],
        "committed_tx_after_crash": _after_outages(outcome.plan, live),
        "committed_tx_after_link_faults": _after_link_faults(settings, outcome, live),
        "faults_recorded": recorded_faults(honest),
        "memory_growth": [memory_growth(window, node) for node in live],
        **{name: getattr(settings, name) for name in ("durability", "curve", "recovery", "instrumentation")},
        "encrypt": settings.parameters.encrypts,
        "parameters": msgspec.to_builtins(settings.parameters),
        "seed": settings.seed,
        "per_node": [
            node_row(n.index, seen[n.index], blocks, n.exit_status, settings.liars.get(n.index, ""), n.traceback)
            for n in nodes
        ],
        "machine": machine(),
        "versions": versions(),
        "commit": _commit(),
    }
    quorum, rounds_left = settings.quorums.quorum, outcome.plan.rounds_left
    durable_at = [at for at, _ in everywhere]
    ended = max([window[1], *durable_at, *(node.usage[-1]["t"] for node in live if node.usage)])
    advice = how_to_get_blocks(durable_at, outcome.schedule_zero, ended, settings.duration_s)
    summary["reason"] = why_invalid(summary, check, quorum, outcome.died, rounds_left, outcome.same_height, advice)
    summary["valid"] = not summary["reason"]
    # Of several nodes only one proposes where a block is one node's batch.
    one_proposer = settings.specification.one_proposer_per_block
    summary["left_out"] = [] if one_proposer else left_out(summary["per_node"], correct)
    summary["warnings"] = [
        f"node {index}'s proposals are in {_only(summary['per_node'][index]['blocks_with_proposal'], len(blocks))}, so "
        "its clients wait"
        for index in summary["left_out"]
    ]
    if summary["valid"]:
        error = _per(rate.error_tx_per_s, rate.tx_per_s)
        summary["warnings"] += too_few_blocks(len(blocks), settings.duration_s, error, advice)
    summary["warnings"] += idle_liars(summary["per_node"])
    summary["warnings"] += waited_through(summary["waited_through_tx"])
    return summary


def recorded_faults(honest: Mapping[int, NodeObservations]) -> list[dict[str, Any]]:
    """For each accused node and kind: how many records (a node logs ten of each), by how many nodes."""
    records: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, node in honest.items():
        for fault in node.faults:
            records[int(fault["node"]), str(fault["kind"])].append(index)
    return [
        {"node": node, "kind": kind, "records": len(by), "recorded_by": len(set(by))}
        for (node, kind), by in sorted(records.items())
    ]


def waited_through(count: int) -> list[str]:
    """A warning if transactions (`count` of them) waited through the whole window: latency does not count them."""
    if not count:
        return []
    were, them = ("was", "it") if count == 1 else ("were", "them")
    offered = f"{counted(count, 'transaction')} offered before the measured time {were} still waiting at its end"
    return [f"{offered}: latency does not count {them}"]


def idle_liars(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A warning for each liar that did what a correct node does; `rows`: those of `node_row`."""
    return [
        f"node {row['id']} ({row['byzantine']}) did only what a correct node does: it changed none of its "
        f"{row['honest_messages']:,} messages and sent no others; "
        # One with a name fits the protocol, but drip-blocks, for one, needs a node that catches up.
        + ("is its class for another protocol?" if ":" in row["byzantine"] else "nothing gave it occasion to lie")
        for row in rows
        if row["changed_messages"] == row["extra_messages"] == 0
    ]


def _only(count: int, blocks: int) -> str:
    return f"only {count} of {blocks} blocks" if count else f"none of the {blocks} blocks"


def _per(total: float | None, count: float) -> float | None:
    """`total` for each of `count`; None of nothing."""
    return total / count if total is not None and count else None


def _by_type(live: list[NodeObservations], name: str) -> dict[str, int]:
    """Counts over the whole run and all correct nodes, the largest first."""
    totals: Counter[str] = Counter()
    for node in live:
        totals.update(node.usage_in_all.get(name, {}))
    return dict(totals.most_common())


def _after_outages(plan: OutagePlan, live: list[NodeObservations]) -> int | None:
    """Transactions of epochs that began after the last kill or restart; None if there was none."""
    moments = [outage.restarted_at or outage.killed_at for outage in plan.outages]
    return committed_after(max(moments), live) if moments else None


def _after_link_faults(settings: RunSettings, outcome: Outcome, live: list[NodeObservations]) -> int | None:
    """Transactions of epochs that began after the last link fault that ended in the window; None if none did."""
    ends = [outcome.schedule_zero + fault.end_s for fault in settings.link_faults if fault.end_s is not None]
    ended = [end for end in ends if end < outcome.window[1]]
    return committed_after(max(ended), live) if ended else None


def _commit() -> str:
    """The commit of this code if it runs from a git checkout, with a mark if files were changed; else ""."""
    root = Path(bench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip()
