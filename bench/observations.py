"""What a run left behind, read back: the nodes' events and the load generator's result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec


@dataclass
class NodeObservations:
    """One node's events. Times are of the machine's monotonic clock, in seconds.

    `durable_at`: height → when the block was durable; `block`: height → its event; `phases`: epoch → phase → when;
    `usage`: the periodic reports, oldest first; `faults`: (accused node, kind) → how often it was recorded.
    """

    durable_at: dict[int, float] = field(default_factory=dict)
    block: dict[int, dict[str, Any]] = field(default_factory=dict)
    phases: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    usage: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    agreed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last_usage(self) -> dict[str, Any]:
        """The newest report, or an empty one."""
        return self.usage[-1] if self.usage else {}


PHASES = ("proposed", "broadcast", "agreed", "decrypted", "committed")


def read_node(path: Path) -> NodeObservations:
    """Parse a node's events; a line cut short by a kill is skipped."""
    seen = NodeObservations()
    decode = msgspec.json.Decoder().decode
    if not path.exists():
        return seen
    for line in path.read_bytes().splitlines():
        try:
            event = decode(line)
        except msgspec.DecodeError:
            continue
        kind = event["event"]
        if kind == "block":
            seen.durable_at[event["height"]] = event["t"]
            seen.block[event["height"]] = event
        elif kind in PHASES:
            seen.phases[event["epoch"]][kind] = event["t"]
            if kind == "agreed":
                seen.agreed.append(event)
        elif kind == "usage":
            seen.usage.append(event)
        elif kind == "fault":
            seen.faults.append(event)
    return seen


def everywhere_durable(nodes: Sequence[NodeObservations]) -> dict[int, float]:
    """Height → when the block was durable at the last of `nodes`; only blocks that all of them have."""
    if not nodes:
        return {}
    common = set(nodes[0].durable_at).intersection(*(node.durable_at for node in nodes[1:]))
    return {height: max(node.durable_at[height] for node in nodes) for height in sorted(common)}
