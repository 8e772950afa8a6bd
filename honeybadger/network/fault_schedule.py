"""The schedule of link faults: the `[[faults]]` of a manifest, for experiments.

All nodes run the same schedule. Each asks it about the links on which it sends, and how slowly it must read. If several
faults of one kind act on a link, the strongest counts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["partition", "one-way", "delay", "bandwidth", "drop", "reset", "slow"]

#: no time or rate of a schedule is larger
LARGEST = 1e9
#: shortest period of resets and shortest pause of a slow node, seconds
SHORTEST_PERIOD_S = 0.001

#: kind → (required fields, optional fields)
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "partition": (("groups",), ()),
    "one-way": ((), ("senders", "receivers")),
    "delay": (("delay_s",), ("jitter_s", "senders", "receivers", "leader")),
    "bandwidth": (("bytes_per_s",), ("senders", "receivers", "leader")),
    "drop": (("probability",), ("senders", "receivers", "leader")),
    "reset": (("every_s",), ("senders", "receivers")),
    "slow": (("every_s",), ("receivers",)),
}
_SPECIFIC = ("groups", "senders", "receivers", "leader", "delay_s", "jitter_s", "bytes_per_s", "probability", "every_s")


class LinkFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault of a schedule. ValueError, in one line that names the field, if it makes no sense.

    It lasts from `start_s` until before `end_s`, seconds of the schedule; without `end_s` it does not end. By `kind`:

    "partition": nodes of different `groups` cannot talk. Nodes in no group form one more group, so a single group is
    cut off from all others. "one-way": no `senders` can reach `receivers`. "delay": messages arrive `delay_s` ±
    `jitter_s` seconds later (uniform), still in order. "bandwidth": the link carries `bytes_per_s`. "drop": at each
    ZeroMQ message the connection breaks with `probability`, and loses that message and all behind it. "reset": every
    `every_s` the TCP connection is closed and opened again, first one period after the start. This loses messages that
    a delay holds, so a period below the delay lets nothing through. "slow": each of `receivers` takes one ZeroMQ
    message every `every_s`, from all its peers together.

    `senders` and `receivers` choose directed links by node index; empty means all. `leader`: the fault acts on a
    sender only while it believes to be the leader; in a protocol without one, on node 0.
    """

    kind: Kind
    start_s: float = 0.0
    end_s: float | None = None
    groups: tuple[tuple[int, ...], ...] = ()
    senders: tuple[int, ...] = ()
    receivers: tuple[int, ...] = ()
    leader: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    probability: float = 0.0
    every_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _FIELDS:
            raise ValueError(f"kind {self.kind} is not one of {', '.join(_FIELDS)}")
        for name in ("start_s", "end_s", "delay_s", "jitter_s", "bytes_per_s", "probability", "every_s"):
            value = getattr(self, name)
            # In this form it also refuses nan, which TOML has.
            if value is not None and not 0 <= value <= LARGEST:
                raise ValueError(f"{name} = {value} is not a number from 0 to {LARGEST:g}")
        needed, possible = _FIELDS[self.kind]
        for name in _SPECIFIC:
            if name in needed and not getattr(self, name):
                raise ValueError(f'{name} is missing or zero, and kind "{self.kind}" needs it')
            if name not in needed and name not in possible and getattr(self, name):
                raise ValueError(f'{name} has no meaning for kind "{self.kind}"')
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s = {self.end_s} is not after start_s = {self.start_s}")
        if self.jitter_s > self.delay_s:
            raise ValueError(f"jitter_s = {self.jitter_s} exceeds delay_s = {self.delay_s}")
        if self.probability > 1:
            raise ValueError(f"probability = {self.probability} exceeds 1")
        if 0 < self.every_s < SHORTEST_PERIOD_S:
            raise ValueError(f"every_s = {self.every_s} is below {SHORTEST_PERIOD_S}")
        if self.kind == "one-way" and not (self.senders or self.receivers):
            raise ValueError('kind "one-way" needs senders or receivers')
        if not all(self.groups):
            raise ValueError("groups has an empty group")
        for name, indices in self._indices().items():
            if min(indices, default=0) < 0:
                raise ValueError(f"{name} names node {min(indices)}")
            if len(set(indices)) != len(indices):
                raise ValueError(f"{name} names a node twice")

    def check(self, nodes: int) -> None:
        """ValueError if it names a node beyond `nodes`, or acts on no link."""
        for name, indices in self._indices().items():
            if indices and max(indices) >= nodes:
                raise ValueError(f"{name} names node {max(indices)}, but the last of {nodes} nodes is {nodes - 1}")
        if len(self.groups) == 1 and len(self.groups[0]) == nodes:
            raise ValueError("groups has all nodes in one")
        struck = len({*self.senders, *self.receivers}) if self.senders and self.receivers else nodes
        if self.kind != "slow" and struck < 2:
            raise ValueError("acts on no link: a node has no link to itself")

    def concerns(self, sender: int, receiver: int) -> bool:
        """Whether it acts on what `sender` sends to `receiver`."""
        if self.kind == "partition":
            return self._group_of(sender) != self._group_of(receiver)
        return (not self.senders or sender in self.senders) and (not self.receivers or receiver in self.receivers)

    def active(self, t: float) -> bool:
        """Whether it lasts at second `t`."""
        return self.start_s <= t < self.end

    @property
    def end(self) -> float:
        """`end_s`, infinite if there is none."""
        return math.inf if self.end_s is None else self.end_s

    def _indices(self) -> dict[str, Sequence[int]]:
        grouped = [node for group in self.groups for node in group]
        return {"groups": grouped, "senders": self.senders, "receivers": self.receivers}

    def _group_of(self, node: int) -> int:
        return next((i for i, group in enumerate(self.groups) if node in group), -1)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of a directed link. `bytes_per_s` is infinite if nothing limits it; `probability`: of a drop."""

    cut: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = math.inf
    probability: float = 0.0


CLEAR = Conditions()


class Schedule:
    """The faults of node `me`; `t` is in seconds of the schedule, and nothing happens before 0."""

    def __init__(self, faults: Iterable[LinkFault], me: int) -> None:
        self._me = me
        self._faults = tuple(faults)
        #: whether it matters who the leader is
        self.follows_leader = any(fault.leader for fault in self._faults)
        self._slow = [fault for fault in self._faults if fault.kind == "slow" and me in (fault.receivers or (me,))]
        #: whether this node is ever slow
        self.has_pauses = bool(self._slow)

    def conditions(self, peer: int, t: float, *, leads: bool = False) -> Conditions:
        """The conditions of the link from this node to `peer`; `leads`: whether this node is the leader."""
        active = [fault for fault in self._on_link(peer) if fault.active(t) and (leads or not fault.leader)]
        if not active:
            return CLEAR
        delays = [(fault.delay_s, fault.jitter_s) for fault in active if fault.kind == "delay"]
        delay_s, jitter_s = max(delays, default=(0.0, 0.0))
        return Conditions(
            cut=any(fault.kind in ("partition", "one-way") for fault in active),
            delay_s=delay_s,
            jitter_s=jitter_s,
            bytes_per_s=min((fault.bytes_per_s for fault in active if fault.kind == "bandwidth"), default=math.inf),
            probability=max((fault.probability for fault in active if fault.kind == "drop"), default=0.0),
        )

    def was_cut(self, peer: int, since: float, until: float) -> bool:
        """Whether the link to `peer` was cut at some time after `since` and not after `until`."""
        return any(
            fault.start_s <= until and fault.end > since
            for fault in self._on_link(peer)
            if fault.kind in ("partition", "one-way")
        )

    def next_reset(self, peer: int, t: float) -> float:
        """When, after `t`, the connection to `peer` is reset next: whole periods after a fault's start."""
        return min((_next_period(fault, t) for fault in self._on_link(peer) if fault.kind == "reset"), default=math.inf)

    def pause(self, t: float) -> float:
        """Seconds that this node waits between two messages; 0 if it is not slow."""
        return max((fault.every_s for fault in self._slow if fault.active(t)), default=0.0)

    def next_change(self, t: float) -> float:
        """When, after `t`, a fault next begins or ends; infinite if none does."""
        times = [time for fault in self._faults for time in (fault.start_s, fault.end)]
        return min((time for time in times if time > t), default=math.inf)

    def _on_link(self, peer: int) -> list[LinkFault]:
        return [fault for fault in self._faults if fault.kind != "slow" and fault.concerns(self._me, peer)]


def _next_period(fault: LinkFault, t: float) -> float:
    count = max(1, math.floor((t - fault.start_s) / fault.every_s))
    while (time := fault.start_s + count * fault.every_s) <= t:
        count += 1
    return time if time < fault.end else math.inf
