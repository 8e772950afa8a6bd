"""Faults of the links between nodes, and the one grammar in which options describe them.

    [WHERE:]VALUE[@FROM-[TO]]        --partition has only the WHERE

FROM and TO are seconds of the schedule; without @ a fault lasts for the whole run, without TO until its end. WHERE
is `3` or `2,3` (all links of these nodes, in both directions), `0,1>2` (from senders to receivers, `*` for all
nodes), or, of --delay, --bandwidth and --drop, `leader` (what the leader of the moment sends; node 0 in a protocol
that has none); without it a fault strikes all links. Of --partition it is `0,1|2,3`, groups that cannot talk to each
other, or senders and receivers. VALUE is a time (`100ms`, `0.1s`), a time with jitter (`100ms~20ms`), bytes per second
(`1MB`, `250kB`), or a probability. Several faults of a kind: repeat the option, or put `;` between them.
"""

import math
import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from honeybadger.network.fault_schedule import LinkFault

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]-?\d+)?"


def parse(option: str, text: str, nodes: int) -> list[LinkFault]:
    """What `text` asks of `nodes` nodes as the value of this option (one of `KINDS`); ValueError, in one line."""
    faults: list[LinkFault] = []
    for piece in text.split(";") if text else ():
        try:
            made = _READERS[option](piece)
            for fault in made:
                named = {*fault.senders, *fault.receivers, *chain.from_iterable(fault.groups)}
                if beyond := [node for node in sorted(named) if node >= nodes]:
                    raise ValueError(f"node {beyond[0]}: the last of {nodes} nodes is {nodes - 1}")
                fault.check(nodes)
        except ValueError as error:
            raise ValueError(f"{piece.strip()!r:.80}: {error}") from None
        faults += made
    return faults


def _partition(text: str) -> list[LinkFault]:
    where, when = _when(text)
    if ">" in where:
        return [LinkFault(kind="one-way", **_directed(where), **when)]
    groups = tuple(_nodes(group) for group in where.split("|"))
    return [LinkFault(kind="partition", groups=groups, **when)]


def _on_links(kind: Any, read: Callable[[str], dict[str, Any]]) -> Callable[[str], list[LinkFault]]:
    """The reader of [WHERE:]VALUE[@WHEN]; `read`: the fields that a VALUE means."""

    def reader(text: str) -> list[LinkFault]:
        rest, when = _when(text)
        where, colon, value = rest.rpartition(":")
        if not colon:
            links: list[dict[str, Any]] = [{}]
        elif where.strip() == "leader":
            links = [{"leader": True}]
        elif ">" in where:
            links = [_directed(where)]
        else:
            # A link between two of the nodes is struck by both, and the strongest counts: no harm.
            links = [{"senders": _nodes(where)}, {"receivers": _nodes(where)}]
        return [LinkFault(kind=kind, **read(value), **link, **when) for link in links]

    return reader


def _delay(value: str) -> dict[str, Any]:
    delay, *jitter = value.split("~")
    if len(jitter) > 1:
        raise ValueError("more than one jitter")
    return {"delay_s": _quantity(delay, _SECONDS), "jitter_s": _quantity(jitter[0], _SECONDS) if jitter else 0.0}


def _slow(text: str) -> list[LinkFault]:
    rest, when = _when(text)
    where, colon, value = rest.rpartition(":")
    receivers = _nodes(where) if colon else ()
    return [LinkFault(kind="slow", every_s=_quantity(value, _SECONDS), receivers=receivers, **when)]


_READERS: dict[str, Callable[[str], list[LinkFault]]] = {
    "partition": _partition,
    "delay": _on_links("delay", _delay),
    "bandwidth": _on_links("bandwidth", lambda value: {"bytes_per_s": _quantity(value.removesuffix("/s"), _BYTES)}),
    "drop": _on_links("drop", lambda value: {"probability": _number(value)}),
    "reset": _on_links("reset", lambda value: {"every_s": _quantity(value, _SECONDS)}),
    "slow": _slow,
}
#: what may follow the number in a VALUE
UNITS = (*_SECONDS, *_BYTES)
#: in the order of the options
KINDS = tuple(_READERS)


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
    ends = {"senders": senders, "receivers": receivers}
    return {name: () if nodes.strip() == "*" else _nodes(nodes) for name, nodes in ends.items()}


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
