"""Reads what a run left behind: the events of the nodes, and the result of the load generator.

A node that was killed and started again goes on in the same file; each start begins a new *life*.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

#: counters of a usage report that begin at 0 in each life
COUNTERS = ("cpu_s", "sent_bytes", "received_bytes", "written_bytes", "messages_handled", "faults")


@dataclass
class NodeObservations:
    """One node's events. Times are of the machine's monotonic clock, in seconds.

    `started_at`: the start of each life; `met_at`: peer → when it was first connected; `durable_at`: height → when the
    node first reported the block durable; `block`: height → its event; `phases`: epoch → phase, or another event
    of the epoch → time, all in the life that first committed it; `usage`: the periodic reports, oldest first;
    `faults`: events that accuse a node; `agreed`: events of decided epochs.
    """

    started_at: list[float] = field(default_factory=list)
    met_at: dict[int, float] = field(default_factory=dict)
    durable_at: dict[int, float] = field(default_factory=dict)
    block: dict[int, dict[str, Any]] = field(default_factory=dict)
    phases: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    usage: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    agreed: list[dict[str, Any]] = field(default_factory=list)
    #: the last usage report of each life that has ended
    _last_words: list[dict[str, Any]] = field(default_factory=list)

    @property
    def usage_in_all(self) -> dict[str, Any]:
        """The newest report, with counters summed and peaks taken over all lives; empty if there is none."""
        born = self.started_at[-1] if self.started_at else 0.0
        last = [*self._last_words, *(report for report in self.usage[-1:] if report["t"] >= born)]
        if not last:
            return {}
        # What the system does not tell stays untold.
        told = [name for name in COUNTERS if any(report.get(name) is not None for report in last)]
        sums = {name: sum(report.get(name) or 0 for report in last) for name in told}
        by_type: dict[str, dict[str, int]] = {"messages_sent": defaultdict(int), "bytes_sent": defaultdict(int)}
        for name, totals in by_type.items():
            for report in last:
                for kind, count in report.get(name, {}).items():
                    totals[kind] += count
        peaks = [report["peak_rss_bytes"] for report in last if report.get("peak_rss_bytes") is not None]
        peak = max(peaks, default=None)
        return {**last[-1], **sums, "peak_rss_bytes": peak, **{name: dict(totals) for name, totals in by_type.items()}}

    def take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "block":
            self.durable_at.setdefault(event["height"], event["t"])
            self.block.setdefault(event["height"], event)
        elif kind == "usage":
            self.usage.append(event)
        elif kind == "fault":
            self.faults.append(event)
        elif kind == "connection" and event["up"]:
            self.met_at.setdefault(event["peer"], event["t"])
        elif kind == "started":
            self._new_life(event)
        elif "epoch" in event:
            phases = self.phases[event["epoch"]]
            # A restarted node may run an epoch again; it counts in the life that first committed it.
            if "committed" not in phases:
                phases[kind] = event["t"]
                if kind == "agreed":
                    self.agreed.append(event)

    def _new_life(self, event: dict[str, Any]) -> None:
        if self.started_at:
            self._last_words += [report for report in self.usage[-1:] if report["t"] >= self.started_at[-1]]
        self.started_at.append(event["t"])
        # Epochs that the last life began and did not finish have no duration.
        for epoch in [epoch for epoch, phases in self.phases.items() if "committed" not in phases]:
            del self.phases[epoch]
        # It was killed before it could report these.
        for height in range(1, event["height"] + 1):
            self.durable_at.setdefault(height, event["t"])


def read_node(path: Path) -> NodeObservations:
    seen = NodeObservations()
    for event in read_events(path):
        seen.take(event)
    return seen


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events in a node's file, if there is one; without a line that a kill cut short."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(msgspec.DecodeError):
            yield decode(line)


def everywhere_durable(nodes: Sequence[NodeObservations]) -> dict[int, float]:
    """Height → when the block was durable at the last of `nodes`; only blocks that all of them have."""
    if not nodes:
        return {}
    common = set(nodes[0].durable_at).intersection(*(node.durable_at for node in nodes[1:]))
    return {height: max(node.durable_at[height] for node in nodes) for height in sorted(common)}


def durable_blocks(nodes: Sequence[NodeObservations]) -> list[tuple[float, dict[str, Any]]]:
    """Of the blocks that all of `nodes` have, and any of them reported: when the last had it on disk, and its event."""
    blocks = blocks_of(nodes)
    return [(at, blocks[height]) for height, at in everywhere_durable(nodes).items() if height in blocks]


def blocks_of(nodes: Sequence[NodeObservations]) -> dict[int, dict[str, Any]]:
    """Height → the block's event, from any node that reported it."""
    blocks: dict[int, dict[str, Any]] = {}
    for node in nodes:
        blocks = {**node.block, **blocks}
    return blocks
