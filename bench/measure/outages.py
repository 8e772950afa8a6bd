"""Effects of kills and restarts: how long each node took to keep up again, and what the others did meanwhile.

A restarted node *keeps up* as soon as it has a block that was made after the kill on its disk at most `KEEPS_UP_S`
after the first of the others, or has the last block of the run.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import attrgetter
from statistics import median
from typing import Any

from bench.measure.observations import NodeObservations, durable_blocks
from bench.measure.quantities import blocks_in
from bench.plan.outage_plan import Outage

KEEPS_UP_S = 1.0


def keeps_up_at(outage: Outage, until: float, node: NodeObservations, others: Sequence[NodeObservations]) -> float:
    """When the node kept up again between `outage` and `until`; infinite if it did not."""
    if outage.restarted_at is None:
        return float("inf")
    first: dict[int, float] = {}
    for other in others:
        for height, at in other.durable_at.items():
            first[height] = min(at, first.get(height, at))
    newest = max(first, default=0)
    moments = (
        block["t"]
        for height, block in node.block.items()
        if outage.restarted_at < block["t"] < until
        and first.get(height, 0.0) > outage.killed_at
        and (block["t"] <= first[height] + KEEPS_UP_S or height >= newest)
    )
    return min(moments, default=float("inf"))


def measure(
    outages: Sequence[Outage], window: tuple[float, float], seen: dict[int, NodeObservations]
) -> tuple[list[dict[str, Any]], list[float | None]]:
    """For each restart its row in the summary, and the seconds from the kill until it kept up (None: never).

    `seen`: correct nodes. "Others" are those that kept up when the round began and were not killed in it; their
    throughput is measured. "Before" begins with the window, or when the nodes of the last round kept up again.
    "Catching up" lasts from the restart until the node keeps up. It and pauses count only within the window, because
    there is no load after it.
    """
    window_start, window_end = window
    rows: list[dict[str, Any]] = []
    from_kill: list[float | None] = []
    busy_until: dict[int, float] = {}
    since = window_start
    rounds = _rounds(outages)
    for number, round_ in enumerate(rounds):
        end = rounds[number + 1][0].killed_at if number + 1 < len(rounds) else float("inf")
        killed_at, restarted_at = round_[0].killed_at, round_[0].restarted_at
        if restarted_at is None:
            continue
        victims = {outage.node for outage in round_}
        others = [seen[i] for i in seen if i not in victims and busy_until.get(i, 0.0) <= killed_at]
        before = _transactions(since, killed_at, others)
        during = _transactions(killed_at, restarted_at, others)
        pause = longest_pause(killed_at, end, window_end, others)
        for outage in round_:
            later = (o.killed_at for o in outages if o.node == outage.node and o.killed_at > restarted_at)
            again = min(later, default=float("inf"))
            at = keeps_up_at(outage, again, seen[outage.node], others or list(seen.values()))
            recovered = at < float("inf")
            busy_until[outage.node] = at
            loaded_until = min(at, end, window_end)
            catching_up = _transactions(restarted_at, loaded_until, others)
            from_kill.append(at - killed_at if recovered else None)
            rows.append(
                {
                    "node": outage.node,
                    "killed_at_s": killed_at - window_start,
                    "restarted_at_s": restarted_at - window_start,
                    "down_s": restarted_at - killed_at,
                    "recovery_s": at - restarted_at if recovered else None,
                    "killed_again": again < float("inf"),
                    "committed_tx_while_down_others": during,
                    "throughput_before_tx_per_s": _rate(before, killed_at - since),
                    "throughput_while_down_tx_per_s": _rate(during, restarted_at - killed_at),
                    "throughput_catching_up_tx_per_s": _rate(catching_up, loaded_until - restarted_at),
                    "pause_s": pause,
                }
            )
        since = max(window_start, restarted_at)
    return rows, from_kill


def longest_pause(start: float, end: float, loaded_until: float, nodes: Sequence[NodeObservations]) -> float | None:
    """The longest time from `start` to `loaded_until` in which none of `nodes` got a new block on disk; None if no
    block came up to `end`."""
    moments = sorted(at for node in nodes for at in node.durable_at.values() if start < at < end)
    return max((min(b, loaded_until) - a for a, b in pairwise([start, *moments]) if a < loaded_until), default=None)


def median_and_worst(rows: Sequence[dict[str, Any]], figure: str) -> tuple[float | None, float | None]:
    """The median and the largest value of a figure, in seconds; None if no row has it."""
    times = [row[figure] for row in rows if row[figure] is not None]
    return (median(times), max(times)) if times else (None, None)


def committed_after(moment: float, nodes: Sequence[NodeObservations]) -> int:
    """Transactions of epochs that all of `nodes` began after `moment`, durable at all of them.

    Such an epoch used no message from before.
    """
    count = 0
    for at, block in durable_blocks(nodes):
        phases = [node.phases.get(block["epoch"], {}) for node in nodes]
        began = [times["proposed"] for times in phases if "proposed" in times]
        if at > moment and began and min(began) > moment:
            count += int(block["transactions"])
    return count


def _rounds(outages: Sequence[Outage]) -> list[list[Outage]]:
    """Outages grouped by round, oldest first."""
    by_time = attrgetter("killed_at")
    return [list(round_) for _, round_ in groupby(sorted(outages, key=by_time), by_time)]


def _transactions(start: float, end: float, nodes: Sequence[NodeObservations]) -> int | None:
    """How many became durable at all of `nodes` between the two moments; None if there are no nodes."""
    return sum(int(block["transactions"]) for block in blocks_in((start, end), nodes)) if nodes else None


def _rate(count: int | None, seconds: float) -> float | None:
    return None if count is None or seconds <= 0 else count / seconds
