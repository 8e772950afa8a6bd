"""What is drawn against a parameter, and along which one: the batch size, or the number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bench.measure.results import Group
from bench.show.figure_data import Row, lines_along, on_curves, row_of, spread_of
from bench.show.growth import at_fixed_share, lines_of_share


@dataclass(frozen=True)
class Quantity:
    """A figure of `summary.json`. `column`: in the CSV, with its unit; `label`: of its axis; `per_node`: divided by
    N."""

    title: str
    figure: str
    column: str
    label: str
    per_node: bool = False


@dataclass(frozen=True)
class Along:
    """A parameter. `groups` chooses what is on a line along it, for a figure of the summary; `lines` names their lines;
    `fixed` is what all points of a line have in common besides the protocol, None if that is not known."""

    key: str
    what: str
    groups: Callable[[Sequence[Group], str], list[Group]]
    lines: Callable[[Sequence[Group]], Sequence[str]]
    fixed: Callable[[Mapping[str, Any]], Any]

    def rows(self, groups: Sequence[Group], quantity: Quantity) -> list[Row]:
        rows = []
        for group, line in zip(groups, self.lines(groups), strict=True):
            factor = 1 / group.options["nodes"] if quantity.per_node else 1.0
            rows.append({**row_of(group, line), **spread_of(quantity.column, group.figures(quantity.figure), factor)})
        return rows

    def same(self, row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether `other` belongs on the line of `row`; what is not known of it is no difference."""
        mine, its = self.fixed(row), self.fixed(other)
        return row["protocol"] == other["protocol"] and (its is None or mine == its)


def _share(row: Mapping[str, Any]) -> Fraction | None:
    return Fraction(row["batch-size"], row["nodes"]) if row["batch-size"] else None


THROUGHPUT = Quantity("Throughput", "throughput_tx_per_s", "throughput_tx_per_s", "throughput (tx/s)")
EPOCH = Quantity(
    "Time of an epoch, until N−f nodes have it,", "epoch_at_quorum_s.p50", "epoch_s", "median time of an epoch (s)"
)
BYTES = Quantity(
    "What a node sends for each transaction", "sent_bytes_per_tx", "sent_bytes", "sent by a node (bytes per tx)", True
)

BATCH_SIZE = Along(
    "batch-size",
    "the batch size",
    lambda groups, figure: on_curves(groups, "batch-size", figure),
    lambda groups: lines_along(groups, "batch-size"),
    lambda row: row["nodes"],
)
NODES = Along(
    "nodes",
    "the number of nodes",
    lambda groups, figure: on_curves(groups, "nodes", figure),
    lambda groups: lines_along(groups, "nodes"),
    lambda row: row["batch-size"],
)
NODES_AT_SHARE = Along("nodes", "the number of nodes, at the same B / N", at_fixed_share, lines_of_share, _share)
