"""What a run left behind, read back: the nodes' events and the load generator's result.

A node that was killed and started again goes on in the same file; each start is a life of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

#: of Honey Badger, then of PBFT; both begin with "proposed" and end with "committed"
PHASES = ("proposed", "broadcast", "agreed", "decrypted", "committed", "prepared", "ordered")
#: counters of a usage report that begin at 0 with each life
COUNTERS = ("cpu_s", "sent_bytes", "received_bytes", "messages_handled", "faults")


@dataclass
class NodeObservations:
    """One node's events. Times are of the machine's monotonic clock, in seconds.

    `started_at`: one time for each life; `met_at`: peer → when it was first connected. `durable_at`: height → when the
    block was first known to be durable; `block`: height → its event. `phases`: epoch → phase → when, all in the life
    that first committed the epoch; `usage`: the periodic reports, oldest first; `faults`: the events that accuse a
    node; `agreed`: the events of decided epochs.
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
        sums = {name: sum(report.get(name) or 0 for report in last) for name in COUNTERS}
        messages: dict[str, int] = defaultdict(int)
        for report in last:
            for kind, count in report.get("messages_sent", {}).items():
                messages[kind] += count
        peak = max(report.get("peak_rss_bytes") or 0 for report in last)
        return {**last[-1], **sums, "peak_rss_bytes": peak, "messages_sent": dict(messages)}

    def take(self, event: dict[str, Any]) -> None:
        """The next event of the file."""
        kind = event["event"]
        if kind == "block":
            self.durable_at.setdefault(event["height"], event["t"])
            self.block.setdefault(event["height"], event)
        elif kind in PHASES:
            phases = self.phases[event["epoch"]]
            # An epoch may be run again after a restart; it counts in the life that committed it first.
            if "committed" not in phases:
                phases[kind] = event["t"]
                if kind == "agreed":
                    self.agreed.append(event)
        elif kind == "usage":
            self.usage.append(event)
        elif kind == "fault":
            self.faults.append(event)
        elif kind == "connection" and event["up"]:
            self.met_at.setdefault(event["peer"], event["t"])
        elif kind == "started":
            self._new_life(event)

    def _new_life(self, event: dict[str, Any]) -> None:
        if self.started_at:
            self._last_words += [report for report in self.usage[-1:] if report["t"] >= self.started_at[-1]]
        self.started_at.append(event["t"])
        # What the last life began and did not finish took no time that could be measured.
        for epoch in [epoch for epoch, phases in self.phases.items() if "committed" not in phases]:
            del self.phases[epoch]
        # It was killed before it could report these.
        for height in range(1, event["height"] + 1):
            self.durable_at.setdefault(height, event["t"])


def read_node(path: Path) -> NodeObservations:
    """Parse a node's events; a line cut short by a kill is skipped."""
    seen = NodeObservations()
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    if not path.exists():
        return seen
    for line in path.read_bytes().splitlines():
        try:
            event = decode(line)
        except msgspec.DecodeError:
            continue
        seen.take(event)
    return seen


def everywhere_durable(nodes: Sequence[NodeObservations]) -> dict[int, float]:
    """Height → when the block was durable at the last of `nodes`; only blocks that all of them have."""
    if not nodes:
        return {}
    common = set(nodes[0].durable_at).intersection(*(node.durable_at for node in nodes[1:]))
    return {height: max(node.durable_at[height] for node in nodes) for height in sorted(common)}


def blocks_of(nodes: Sequence[NodeObservations]) -> dict[int, dict[str, Any]]:
    """Height → the block's event, from any node that reported it."""
    found: dict[int, dict[str, Any]] = {}
    for node in nodes:
        found = {**node.block, **found}
    return found
