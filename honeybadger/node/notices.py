"""What a node tells as it happens: lines for a person, events for measurement. Neither must be peers' to fill."""

import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from honeybadger.node.events import EventLog
from honeybadger.node.rate import PerSecond
from honeybadger.protocols.faults import FaultKind

#: lines to a person, in all
LINES = 100
#: events for one kind of fault of one node; all are counted
FAULT_EVENTS = 10
#: events about the connection to one peer, per second
CONNECTION_EVENTS_PER_S = 10


class Notices:
    """`say(line)` tells a person."""

    def __init__(self, events: EventLog, say: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self.events = events
        self._say = say
        self._said: set[str] = set()
        #: by node and kind
        self.faults: Counter[tuple[int, str]] = Counter()
        self._connection_events = PerSecond(CONNECTION_EVENTS_PER_S, now)
        #: peers whose last event was left out: that event, and how many were left out
        self._left_out: dict[int, tuple[bool, str, int]] = {}

    def say_once(self, line: str) -> bool:
        """Tell a person, unless it was told before or too much was told."""
        if line in self._said or len(self._said) >= LINES:
            return False
        self._said.add(line)
        self._say(line)
        return True

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        if kind is FaultKind.KEYS_USED_TWICE:
            # Somebody must look for the other process: a node whose keys are used elsewhere counts as faulty.
            self.say_once(f"two processes use the keys of node {node} at the same time")
        count = self.faults[node, kind.name] = self.faults[node, kind.name] + 1
        if count <= FAULT_EVENTS:
            self.events.emit("fault", node=node, kind=kind.name, detail=detail)

    def connection(self, peer: int, up: bool, failure: str) -> None:
        """A connection to `peer` opened, closed or failed. `left_out`: how many events before it were left out."""
        if failure:
            self.say_once(f"no connection to node {peer}: {failure}")
        *_, left_out = self._left_out.pop(peer, (False, "", 0))
        if self._connection_events.take(peer):
            self.events.emit("connection", peer=peer, up=up, failure=failure, left_out=left_out)
        else:
            self._left_out[peer] = (up, failure, left_out + 1)

    def each_second(self) -> None:
        """What came last of the events that were left out is how things are: write it after all."""
        for peer, (up, failure, left_out) in self._left_out.items():
            self.events.emit("connection", peer=peer, up=up, failure=failure, left_out=left_out - 1)
        self._left_out.clear()

    def phase(self, epoch: int, phase: str, **details: int) -> None:
        self.events.emit(phase, epoch=epoch, **details)
