"""Options that inject faults into the links between nodes, and the one grammar of their values.

    [WHERE:]VALUE[@FROM-[TO]]        --partition has only the WHERE

FROM and TO are seconds of the schedule; without @ a fault lasts for the whole run, without TO until its end. WHERE
is `3` or `2,3` (all links of these nodes, in both directions), `0,1>2` (from senders to receivers, `*` for all
nodes), or, of --delay, --bandwidth and --drop, `leader` (what the leader of the moment sends; node 0 in a protocol
that has none); without it a fault strikes all links. Of --partition it is `0,1|2,3`, groups that cannot talk to each
other, or senders and receivers. VALUE is a time (`100ms`, `0.1s`), a time with jitter (`100ms~20ms`), bytes per second
(`1MB`, `250kB`), or a probability. Several faults of a kind: repeat the option, or put `;` between them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from honeybadger.cli.options import F, option
from honeybadger.network.fault_schedule import LinkFault

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]-?\d+)?"


class _Faults(click.types.StringParamType):
    """Text, of which an environment variable may hold several pieces."""

    envvar_list_splitter = ";"


class _FaultOption(click.Option):
    """A config file gives one text where the command line gives several."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        return super().type_cast_value(ctx, (value,) if isinstance(value, str) else value)


def fault_options(function: F) -> F:
    """Faults of the links; `parse` makes a schedule of them."""
    for name, text in reversed(
        (
            ("partition", "Groups that cannot talk: 0,1|2,3@5-10 (from second 5 to 10); or one way: 0>1,2@5-10."),
            (
                "delay",
                "Delay messages: 100ms, 100ms~20ms (jitter), 3:50ms@5-10 (links of node 3), 0>1:50ms, leader:1s.",
            ),
            ("bandwidth", "Limit each link, bytes per second: 1MB, 3:250kB@5-10."),
            ("drop", "Break the connection at a message with this probability: 0.01, 3:0.01@2-4."),
            ("reset", "Reset TCP connections periodically: 500ms, 0>1:500ms@5-."),
            ("slow", "Nodes take one message from peers in this time only: 3:20ms@5-10."),
        )
    ):
        decorate = option(
            f"--{name}", cls=_FaultOption, type=_Faults(), multiple=True, metavar="FAULT[;...]", help=text
        )
        function = decorate(function)
    return function


def parse(options: Mapping[str, Any], nodes: int) -> list[LinkFault]:
    """The schedule that `fault_options` ask for, for `nodes` nodes; click.UsageError, in one line, for nonsense."""
    faults: list[LinkFault] = []
    for name, read in _READERS.items():
        for text in options.get(name) or ():
            for piece in text.split(";"):
                try:
                    made = read(piece)
                    for fault in made:
                        fault.check(nodes)
                except ValueError as error:
                    raise click.UsageError(f"--{name} {piece.strip()!r:.80}: {error}") from None
                faults += made
    return faults


def _partition(text: str) -> list[LinkFault]:
    where, when = _when(text)
    if ">" in where:
        return [LinkFault(kind="one-way", **_directed(where), **when)]
    groups = tuple(_nodes(group) for group in where.split("|"))
    return [LinkFault(kind="partition", groups=groups, **when)]


def _delay(text: str) -> list[LinkFault]:
    links, value, when = _split(text)
    delay, *jitter = value.split("~")
    if len(jitter) > 1:
        raise ValueError("more than one jitter")
    delay_s = _quantity(delay, _SECONDS)
    jitter_s = _quantity(jitter[0], _SECONDS) if jitter else 0.0
    return [LinkFault(kind="delay", delay_s=delay_s, jitter_s=jitter_s, **link, **when) for link in links]


def _bandwidth(text: str) -> list[LinkFault]:
    links, value, when = _split(text)
    bytes_per_s = _quantity(value.removesuffix("/s"), _BYTES)
    return [LinkFault(kind="bandwidth", bytes_per_s=bytes_per_s, **link, **when) for link in links]


def _drop(text: str) -> list[LinkFault]:
    links, value, when = _split(text)
    return [LinkFault(kind="drop", probability=_number(value), **link, **when) for link in links]


def _reset(text: str) -> list[LinkFault]:
    links, value, when = _split(text)
    return [LinkFault(kind="reset", every_s=_quantity(value, _SECONDS), **link, **when) for link in links]


def _slow(text: str) -> list[LinkFault]:
    rest, when = _when(text)
    where, colon, value = rest.rpartition(":")
    receivers = _nodes(where) if colon else ()
    return [LinkFault(kind="slow", every_s=_quantity(value, _SECONDS), receivers=receivers, **when)]


_READERS: dict[str, Callable[[str], list[LinkFault]]] = {
    "partition": _partition,
    "delay": _delay,
    "bandwidth": _bandwidth,
    "drop": _drop,
    "reset": _reset,
    "slow": _slow,
}


def _split(text: str) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    """[WHERE:]VALUE[@WHEN] as the links' fields (for each fault that is needed), VALUE, and the time's fields."""
    rest, when = _when(text)
    where, colon, value = rest.rpartition(":")
    if not colon:
        return [{}], value, when
    if where.strip() == "leader":
        return [{"leader": True}], value, when
    if ">" in where:
        return [_directed(where)], value, when
    # A link between two of the nodes is struck by both, and the strongest counts: no harm.
    return [{"senders": _nodes(where)}, {"receivers": _nodes(where)}], value, when


def _when(text: str) -> tuple[str, dict[str, Any]]:
    rest, at, when = text.strip().partition("@")
    if not at:
        return rest, {}
    found = re.fullmatch(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})?\s*", when, re.ASCII)
    if not found:
        raise ValueError(f'"@{when}" is not a time: write @5-10 for the seconds 5 to 10, or @5-')
    start, end = found.groups()
    return rest, {"start_s": float(start), "end_s": None if end is None else float(end)}


def _directed(where: str) -> dict[str, Any]:
    senders, _, receivers = where.partition(">")
    return {
        name: () if nodes.strip() == "*" else _nodes(nodes)
        for name, nodes in (("senders", senders), ("receivers", receivers))
    }


def _nodes(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", text, re.ASCII):
        raise ValueError(f'"{text.strip()}" is not a node, nor several separated by commas')
    return tuple(map(int, text.split(",")))


def _number(text: str) -> float:
    if not re.fullmatch(rf"\s*{_NUMBER}\s*", text, re.ASCII):
        raise ValueError(f'"{text.strip()}" is not a number')
    return float(text)


def _quantity(text: str, units: Mapping[str, float]) -> float:
    found = re.fullmatch(rf"\s*({_NUMBER})\s*([A-Za-z]+)\s*", text, re.ASCII)
    if not found or found[2] not in units:
        raise ValueError(f'"{text.strip()}" is not a number with one of the units {", ".join(units)}')
    value = float(found[1]) * units[found[2]]
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f'"{text.strip()}" is too {"small" if value == 0 else "large"}')
    return value
