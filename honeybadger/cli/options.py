"""Options that several commands share. Every option is also an environment variable HONEYBADGER_…"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.sizes import check as check_sizes
from honeybadger.cluster.sizes import most_proposal_bytes
from honeybadger.protocols.base import Specification
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
                help="Longest proposal of a node, bytes.  [default: a full batch of 1 KiB transactions, if that fits]",
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
            option(
                "--view-timeout",
                "view_timeout_s",
                type=FiniteFloat(min=0.01, max=3600),
                default=defaults.view_timeout_s,
                help="With a primary: seconds before a node wants another one.",
            ),
        )
    ):
        function = decorate(function)
    return function


def make_parameters(quorums: Quorums, options: dict[str, Any], chosen_by_person: Callable[[str], bool]) -> Parameters:
    """Checked parameters from `parameter_options`, with the defaults that depend on others filled in.

    `chosen_by_person(name)`: whether an option was given; the protocol's own defaults take the place of the others.
    """
    names = Parameters.__struct_fields__
    chosen = {name: options[name] for name in names if options.get(name) is not None}
    specification = find_protocol_or_fail(chosen.get("protocol", Parameters().protocol))
    for name, value in specification.defaults.items():
        if not chosen_by_person(name):
            chosen[name] = value
        elif name in specification.fixed and chosen[name] != value:
            raise ClusterError(f"protocol {specification.name}: {name} can only be {value}, not {chosen[name]}")
    runtime = Runtime()
    per_node = max(1, chosen["batch_size"] // (1 if specification.whole_batches else quorums.nodes))
    wanted = min(max(1 << 20, chosen["max_tx_bytes"] + 16, per_node * 1024), 256 << 20)
    parameters = Parameters(**{"max_proposal_bytes": wanted, **chosen})
    try:
        parameters.check(quorums.nodes)
        if "max_proposal_bytes" not in chosen and (
            most := most_proposal_bytes(specification, parameters, quorums, runtime)
        ):
            parameters = msgspec.structs.replace(parameters, max_proposal_bytes=most)
        check_sizes(specification, parameters, quorums, runtime)
    except ValueError as error:
        raise ClusterError(str(error)) from None
    return parameters


def find_protocol_or_fail(name: str) -> Specification:
    """The protocol called `name`; ClusterError if there is none."""
    try:
        return find_protocol(name)
    except LookupError as error:
        raise ClusterError(str(error)) from None


def was_chosen(name: str) -> bool:
    """Whether a person gave this option, on the command line, in the environment or in a file."""
    context = click.get_current_context(silent=True)
    default = (None, click.core.ParameterSource.DEFAULT)
    return context is not None and context.get_parameter_source(name) not in default


def choose_quorums(nodes: int, faults: int | None) -> Quorums:
    """N with the given f, or the largest for N; ClusterError if N nodes cannot tolerate it."""
    if nodes < 1:
        raise ClusterError(f"a cluster needs at least one node, not {nodes}")
    try:
        return Quorums(nodes, Quorums.largest_faults(nodes) if faults is None else faults)
    except ValueError as error:
        raise ClusterError(str(error)) from None


cluster_option = option(
    "--cluster", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The cluster's manifest."
)
