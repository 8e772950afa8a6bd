"""Options that several commands share. Every option is also an environment variable HONEYBADGER_…"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from honeybadger.cluster.errors import ClusterError
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol

F = TypeVar("F", bound=Callable[..., Any])


class FiniteFloat(click.FloatRange):
    """A number from `min` to a thousand million: neither nan nor infinite, nor too long for a clock."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number) or number > 1e9:
            self.fail(f"{value} is not a number up to 1e9.", param, ctx)
        return number


class Directory(click.Path):
    """A directory that need not exist; "" is not one."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "":
            self.fail("the name is empty.", param, ctx)
        return super().convert(value, param, ctx)


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that shows its default and its environment variable."""
    long = next(name for name in names if name.startswith("--")).split("/")[0].lstrip("-")
    settings.setdefault("envvar", "HONEYBADGER_" + long.upper().replace("-", "_"))
    settings.setdefault("show_envvar", True)
    settings.setdefault("show_default", settings.get("default") is not None)
    return click.option(*names, **settings)


def parameter_options(function: F) -> F:
    """The consensus parameters."""
    defaults = Parameters()
    for decorate in reversed(
        (
            option("--protocol", default=defaults.protocol, help="Consensus protocol."),
            option("--batch-size", default=defaults.batch_size, help="Transactions per epoch over all nodes (B)."),
            option("--max-tx-bytes", default=defaults.max_tx_bytes, help="Longest transaction, bytes."),
            option(
                "--max-proposal-bytes",
                type=int,
                help="Longest proposal of a node, bytes.  [default: room for a full batch of 1 KiB transactions]",
            ),
            option(
                "--encryption",
                "encryption",
                default=defaults.encryption,
                help="Which epochs are encrypted: always, never, every:N, or first:M,of:N.",
            ),
            option(
                "--coin-schedule",
                type=click.Choice(["fixed-fixed-coin", "every-round"]),
                default=defaults.coin_schedule,
                help="Which agreement rounds toss a common coin.",
            ),
            option("--epoch-window", default=defaults.epoch_window, help="Epochs ahead that a node accepts."),
            option("--pipeline-depth", default=defaults.pipeline_depth, help="Epochs in progress at a time."),
        )
    ):
        function = decorate(function)
    return function


def make_parameters(nodes: int, options: dict[str, Any]) -> Parameters:
    """Checked parameters from `parameter_options`, with the defaults that depend on others filled in."""
    names = Parameters.__struct_fields__
    chosen = {name: options[name] for name in names if options.get(name) is not None}
    if options.get("max_proposal_bytes") is None:
        per_node = max(1, chosen["batch_size"] // max(1, nodes))
        chosen["max_proposal_bytes"] = max(1 << 20, chosen["max_tx_bytes"] + 16, min(per_node * 1024, 256 << 20))
    parameters = Parameters(**chosen)
    try:
        parameters.check(nodes)
        find_protocol(parameters.protocol)
    except (ValueError, LookupError) as error:
        raise ClusterError(str(error)) from None
    return parameters


def choose_faults(nodes: int, faults: int | None) -> int:
    """The given f, or the largest for N; ClusterError if N nodes cannot tolerate it."""
    if nodes < 1:
        raise ClusterError(f"a cluster needs at least one node, not {nodes}")
    chosen = Quorums.largest_faults(nodes) if faults is None else faults
    try:
        Quorums(nodes, chosen)
    except ValueError as error:
        raise ClusterError(str(error)) from None
    return chosen


cluster_option = option(
    "--cluster", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The cluster's manifest."
)
