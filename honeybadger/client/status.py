"""What nodes say of themselves. It is typed and bounded, but nothing proves it: a node may lie."""

import itertools
import time
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from honeybadger.client.connections import Connections
from honeybadger.network.client_protocol import Status, StatusRequest

Count = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Name = Annotated[str, Meta(max_length=40)]

#: unlike those of submissions, which count from 0
_numbers = itertools.count(1 << 40)


class EpochPhases(msgspec.Struct):
    """Seconds from an epoch's first phase to each; `age_s`: to now."""

    epoch: Count
    seconds: Annotated[dict[Name, Seconds], Meta(min_length=1, max_length=16)]
    age_s: Seconds = 0.0


class Phases(msgspec.Struct):
    """Of the epoch in progress and of the one committed last."""

    current: EpochPhases | None = None
    last: EpochPhases | None = None


class Totals(msgspec.Struct):
    """Since the node started; `phases`: epochs that reached the phase, and seconds from their first phase to it."""

    blocks: Count = 0
    transactions: Count = 0
    bytes: Count = 0
    phases: Annotated[dict[Name, tuple[Count, Seconds]], Meta(max_length=16)] = {}


class Usage(msgspec.Struct):
    """What the node used until its last full second; without instrumentation some of it is not measured."""

    cpu_s: Seconds = 0.0
    rss_bytes: Count | None = None
    sent_bytes: Count = 0
    received_bytes: Count = 0
    messages_handled: Count = 0
    longest_tick_s: Seconds = 0.0
    ticks: Count | None = None
    hub_lag_s: Seconds | None = None
    messages_sent: Annotated[dict[Name, Count], Meta(max_length=100)] = {}
    bytes_sent: Annotated[dict[Name, Count], Meta(max_length=100)] = {}
    held_bytes: Annotated[dict[Count, Count], Meta(max_length=1000)] = {}


class NodeStatus(msgspec.Struct):
    """A node's height (durable blocks), epoch in progress, tip (hash of the last block, hex), connected peers, waiting
    transactions (number and bytes), and `faults`: (node, kind, how often) that it saw others commit.

    `unwell`: why it cannot take part in consensus, "" if it can. `silent_through`: until this epoch it proposes
    nothing, since it may have lost votes in a crash; 0: it proposes.
    """

    height: Count
    epoch: Count
    tip: Annotated[str, Meta(max_length=64)]
    protocol: Name
    peers_connected: Count
    mempool: Count
    mempool_bytes: Count
    uptime_s: Seconds
    faults: Annotated[list[tuple[Count, Name, Count]], Meta(max_length=10_000)]
    unwell: Annotated[str, Meta(max_length=200)] = ""
    silent_through: Count = 0
    connections_cut: Annotated[dict[Name, Count], Meta(max_length=16)] = {}
    transactions: Count = 0
    tx_per_s: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    phases: Phases = msgspec.field(default_factory=Phases)
    totals: Totals = msgspec.field(default_factory=Totals)
    usage: Usage = msgspec.field(default_factory=Usage)


def ask_status(connections: Connections, nodes: Iterable[int], timeout_s: float) -> dict[int, dict[str, Any]]:
    """What each of `nodes` that answers within `timeout_s` seconds says, untyped. Other replies are dropped."""
    request = next(_numbers)
    waiting = {node for node in nodes if connections.send(node, StatusRequest(request))}
    answers: dict[int, dict[str, Any]] = {}
    limit = time.monotonic() + timeout_s
    while waiting and (left := limit - time.monotonic()) > 0:
        for node, reply in connections.replies(left):
            if isinstance(reply, Status) and reply.request == request and node in waiting:
                waiting.remove(node)
                answers[node] = reply.status
    return answers


def typed(answer: dict[str, Any] | None) -> NodeStatus | None:
    """A node's answer; None if there is none, or if it makes no sense."""
    try:
        return msgspec.convert(answer, NodeStatus)
    except msgspec.ValidationError:
        return None
