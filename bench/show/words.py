"""Settings and faults in words for people, as captions and legends use them.

"node 0's messages delayed by 2 s" instead of `delay = leader:2s@9-17`. What is meant is decided by those who read the
options (`bench.plan`); here it is only said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from bench.measure.results import FAULT_KEYS, RESTART_KEYS, in_words
from bench.measure.results import label as short_label
from bench.plan import link_faults
from bench.plan.experiment import Options
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.registry import find_protocol
from honeybadger.wording import counted

_KILLS = ("restart", "restart-all", "restart-primary")


def number(value: float) -> str:
    """With thousands separated and no digits that say nothing."""
    return f"{value:,.10g}"


def listed(items: Iterable[object]) -> str:
    """As "0", "0 and 1", "0, 1 and 2"."""
    *rest, last = map(str, items)
    return f"{', '.join(rest)} and {last}" if rest else last


def protocol_name(name: str) -> str:
    """Its name for people; as it is written if it is not installed here."""
    try:
        return find_protocol(name).display_name
    except LookupError:
        return name


def line_names(options: Sequence[Options], keys: Sequence[str]) -> list[str]:
    """What to call each of these settings, of which `keys` matter: as short as keeps different ones apart."""
    different = len({json.dumps([one.get(key) for key in keys]) for one in options})
    names = [label(one, keys) for one in options]
    if len(set(names)) < different:
        names = [label(one, keys, times=True) for one in options]
    if len(set(names)) < different:
        names = [short_label(one, keys) for one in options]
    return names


def label(options: Options, keys: Sequence[str], *, times: bool = False) -> str:
    """The values of `keys`; "no fault" if faults are among them, but absent. `times`: when faults of links last."""
    ordered = sorted(keys, key=lambda key: key != "protocol")
    said = [words for key in ordered if (words := setting(options, key, times=times))]
    if any(key in FAULT_KEYS for key in keys) and not any(options.get(key) for key in FAULT_KEYS):
        said.append("no fault")
    return ", ".join(said) or "all runs"


def setting(options: Options, key: str, *, times: bool = False) -> str:
    """The value of one key; "" if it says nothing: an absent fault, or a detail of what is absent."""
    value = options.get(key)
    if key in link_faults.KINDS or key == "byzantine":
        return faults(options, key, times=times) if value else ""
    if (key in RESTART_KEYS and not any(options.get(kill) for kill in _KILLS)) or (key in FAULT_KEYS and not value):
        return ""
    if key == "arrivals" and not options.get("rate"):
        return ""
    if key == "rate":
        return f"{number(value)} tx/s offered" if value else "closed loop"
    if value is not None and (say := _SAID.get(key)):
        return say(value)
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {key.replace('-', ' ')}"
    return in_words(key, value).replace(key, key.replace("-", " "))


def transactions(size: Any) -> str:
    """Of a size as `--tx-size` takes it."""
    text = str(size).strip()
    if text.startswith("exp:"):
        return f"transactions of {text[4:]} bytes on average"
    return f"{text.replace('-', '–')}-byte transactions"


def seconds(value: float) -> str:
    return f"{number(value)} s" if value >= 1 else f"{number(1e3 * value)} ms"


_SAID: dict[str, Callable[[Any], str]] = {
    "protocol": protocol_name,
    "tx-size": transactions,
    "arrivals": lambda value: {"fixed": "evenly spaced", "poisson": "Poisson arrivals"}.get(value, str(value)),
    "clients": lambda value: counted(value, "load generator"),
    "crash": lambda value: f"{counted(value, 'node')} killed",
    "restart": lambda value: f"{counted(value, 'node')} killed and restarted",
    "restart-all": lambda _: "all nodes killed and restarted",
    "restart-primary": lambda _: "leader killed and restarted",
    "restart-after": lambda value: f"back after {seconds(value)}",
    "restart-rounds": lambda value: counted(value, "round"),
    "wan": lambda value: f"WAN {value}" if value else "no WAN",
}


def faults(options: Options, key: str, *, times: bool = False) -> str:
    """The Byzantine nodes or the link faults that an option asks for; as it is written if that is not understood."""
    text = str(options[key])
    if key == "byzantine":
        pieces = [piece.strip().partition(":") for piece in text.split(",")]
        return ", ".join(f"{count} Byzantine ({strategy})" for count, _, strategy in pieces)
    try:
        parsed = link_faults.parse(key, text, options.get("nodes", 0))
    except ValueError:
        return in_words(key, text)
    return listed(dict.fromkeys(link_faults_in_words(parsed, options, times=times)))


def link_faults_in_words(faults_: Sequence[LinkFault], options: Options, *, times: bool = False) -> list[str]:
    """One text for each fault; what acts on all links of some nodes, in both directions, is one."""
    protocol, everyone = options.get("protocol", ""), range(options.get("nodes", 0))
    # To all the others is to all: a node has no link to itself.
    parsed = [
        msgspec.structs.replace(one, receivers=()) if {*one.senders, *one.receivers} == set(everyone) else one
        for one in faults_
    ]
    said: list[str] = []
    skip = False
    for fault, after in zip(parsed, [*parsed[1:], None], strict=True):
        if skip:
            skip = False
            continue
        mirrored = msgspec.structs.replace(fault, senders=(), receivers=fault.senders)
        skip = both = bool(fault.senders) and after == mirrored
        said.append(_link_fault(fault, protocol, both) + (_when(fault) if times else ""))
    return said


def _link_fault(fault: LinkFault, protocol: str, both: bool) -> str:
    match fault.kind:
        case "partition" if len(fault.groups) == 1:
            return f"{_nodes(fault.groups[0])} cut off"
        case "partition":
            first, *others = map(_nodes, fault.groups)
            return f"{first} cut off from {listed(others)}"
        case "one-way":
            return f"{_struck('messages', fault, protocol, both)} lost"
        case "delay":
            jitter = f" ± {seconds(fault.jitter_s)}" if fault.jitter_s else ""
            return f"{_struck('messages', fault, protocol, both)} delayed by {seconds(fault.delay_s)}{jitter}"
        case "bandwidth":
            rate = fault.bytes_per_s
            of = next((f"{number(rate / size)} {unit}" for size, unit in _UNITS if rate >= size), f"{number(rate)} B/s")
            return f"{_struck('links', fault, protocol, both)} limited to {of}"
        case "drop":
            share = number(100 * fault.probability)
            return f"{_struck('connections', fault, protocol, both)} broken at {share} % of messages"
        case "reset":
            return f"{_struck('connections', fault, protocol, both)} reset every {seconds(fault.every_s)}"
        case "slow":
            who = _nodes(fault.receivers) if fault.receivers else "each node"
            return f"{who} reading a message every {seconds(fault.every_s)}"


_UNITS = ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"))


def _struck(noun: str, fault: LinkFault, protocol: str, both: bool) -> str:
    if fault.leader:
        return f"the leader's {noun}" if _has_leader(protocol) else f"node 0's {noun}"
    if not fault.senders and not fault.receivers:
        return f"all {noun}"
    if both:
        return f"{noun} from and to {_nodes(fault.senders)}" if noun == "messages" else _of(fault.senders, noun)
    if not fault.receivers:
        return _of(fault.senders, noun)
    origin = f" from {_nodes(fault.senders)}" if fault.senders else ""
    return f"{noun}{origin} to {_nodes(fault.receivers)}"


def _of(nodes: Sequence[int], noun: str) -> str:
    return f"node {nodes[0]}'s {noun}" if len(nodes) == 1 else f"{noun} of {_nodes(nodes)}"


def _nodes(nodes: Sequence[int]) -> str:
    return f"node{'s' if len(nodes) > 1 else ''} {listed(nodes)}"


def _has_leader(protocol: str) -> bool:
    try:
        return find_protocol(protocol).has_leader
    except LookupError:
        return True


def _when(fault: LinkFault) -> str:
    if fault.end_s is None:
        return f" from second {number(fault.start_s)}" if fault.start_s else ""
    return f" from second {number(fault.start_s)} to {number(fault.end_s)}"
