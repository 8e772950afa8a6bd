"""An asynchronous network in memory: authenticated, lossless, in any order.

It models what the reliable links promise: the recipient knows the true sender; nothing between attached nodes is lost;
a message beyond the recipient's horizon is held back until the recipient gets there. `cut` parts the nodes into
groups that cannot reach each other; what is sent between groups waits until `heal`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter

from honeybadger.protocols.wire import Message
from honeybadger.simulation.clock import Clock, Timers
from honeybadger.simulation.schedulers import STEP_S, Order, Scheduler, shuffled
from honeybadger.simulation.schedulers.scheduler import checked

#: what messages sent at once are apart, steps: no two have the same step of sending
APART = 1e-6
#: key, step of sending, sender, recipient, message
Pending = tuple[float, float, int, int, Message]
sent_at = itemgetter(1)


class Stalled(Exception):
    """Nothing is left to deliver, or the step limit was reached, before the goal."""


@dataclass(frozen=True)
class RecordedFault:
    """A fault that `reporter` recorded about `node`."""

    reporter: int
    node: int
    kind: StrEnum
    detail: str


@dataclass
class Endpoint:
    """How the network hands a message to a node."""

    handle: Callable[[int, Message], None]
    horizon: Callable[[], float] = lambda: float("inf")
    leader: Callable[[], int | None] = lambda: None
    held: list[tuple[int, Message]] = field(default_factory=list)


class NetworkOutbox:
    """The `Outbox` of one node on this network."""

    def __init__(self, network: InMemoryNetwork, me: int) -> None:
        self._network = network
        self._me = me

    def broadcast(self, message: Message) -> None:
        for node in range(self._network.nodes):
            self._network.transmit(self._me, node, message)

    def send(self, node: int, message: Message) -> None:
        self._network.transmit(self._me, node, message)

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self._network.faults.append(RecordedFault(self._me, node, kind, detail))


class InMemoryNetwork:
    """Delivers messages one at a time, in the scheduler's order; the same seed gives the same run."""

    def __init__(self, nodes: int, seed: int, scheduler: Order = shuffled) -> None:
        self.nodes = nodes
        self.rng = random.Random(seed)
        #: in steps: each delivery takes one, or as long as until the message is due
        self.clock = Clock()
        self.faults: list[RecordedFault] = []
        self.steps = 0
        self._sent_at = 0.0
        self._endpoints: dict[int, Endpoint] = {}
        self._timers: dict[int, Timers] = {}
        #: a heap
        self._pending: list[Pending] = []
        self._groups: dict[int, int] = {}
        self._cut_off: list[tuple[int, int, Message]] = []
        #: called by `run` when nothing is left to deliver; True if that gave rise to something
        self.idle: Callable[[], bool] = lambda: False
        #: called before each delivery with the step of sending, sender, recipient and message
        self.witness: Callable[[float, int, int, Message], None] = lambda *delivery: None
        self.schedule_by(scheduler)

    def schedule_by(self, scheduler: Order) -> None:
        """What is sent from now on comes in this order."""
        self._scheduler = scheduler
        if isinstance(scheduler, Scheduler):
            scheduler.begin(self)

    def leaders(self) -> set[int]:
        """The nodes that some correct node takes for the leader now."""
        found = {endpoint.leader() for endpoint in self._endpoints.values()}
        return {node for node in found if node is not None}

    def outbox(self, node: int) -> NetworkOutbox:
        return NetworkOutbox(self, node)

    def timers(self, node: int) -> Timers:
        """Timers of `node`; their `expired` says what to call."""
        return self._timers.setdefault(node, Timers(self.clock, 1 / STEP_S))

    def attach(self, node: int, endpoint: Endpoint) -> None:
        """Let `node` receive; messages to nodes that are not attached vanish."""
        self._endpoints[node] = endpoint

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        self._schedule(sender, recipient, message)

    def _schedule(self, sender: int, recipient: int, message: Message) -> None:
        now, step = self.clock.now, self._sent_at + APART
        self._sent_at = step = step if step > now else now
        heapq.heappush(self._pending, self._keyed(step, sender, recipient, message))

    def _keyed(self, sent_at: float, sender: int, recipient: int, message: Message) -> Pending:
        key = self._scheduler(sent_at, sender, recipient, message, self.rng)
        return checked(key, sent_at, self._scheduler), sent_at, sender, recipient, message

    def reschedule(self) -> None:
        """A scheduler has learned something: it gives all that is under way new keys, as if sent when it was."""
        self._pending = [self._keyed(*item[1:]) for item in self._pending]
        heapq.heapify(self._pending)

    def lose(self, lost: Callable[[int, int, Message], bool]) -> None:
        """What is under way (sender, recipient, message) and `lost` never arrives. Only crashes do that."""
        self._pending = [item for item in self._pending if not lost(*item[2:])]
        heapq.heapify(self._pending)
        self._cut_off = [item for item in self._cut_off if not lost(*item)]

    def cut(self, groups: Sequence[Collection[int]]) -> None:
        """From now on only nodes of one group reach each other; a node of no group reaches other such nodes only."""
        self._groups = {node: number for number, group in enumerate(groups) for node in group}

    def connected(self, one: int, other: int) -> bool:
        return self._groups.get(one) == self._groups.get(other)

    def heal(self, lost: Callable[[int, int, Message], bool] = lambda sender, recipient, message: False) -> None:
        """All nodes reach each other again. What waited is on its way now, but for what is `lost`.

        (A link that holds more than its cap drops the oldest, and its peer must catch up.)
        """
        self._groups = {}
        waiting, self._cut_off = self._cut_off, []
        for item in waiting:
            if not lost(*item):
                self._schedule(*item)

    def pending(self) -> list[tuple[int, int, Message]]:
        """(sender, recipient, message) of all that is under way, in order of sending."""
        return [item[2:] for item in sorted(self._pending, key=sent_at)]

    def deliver_where(self, condition: Callable[[int, int, Message], bool]) -> None:
        """Deliver pending messages (sender, recipient, message) that satisfy `condition`, oldest first, until none
        is left.

        Messages sent meanwhile count as well. For scripted schedules.
        """
        while fitting := [item for item in self._pending if condition(*item[2:])]:
            item = min(fitting, key=sent_at)
            self._pending.remove(item)
            heapq.heapify(self._pending)
            self._deliver(*item[1:])

    def step(self) -> bool:
        """Deliver one message, or let a timer expire that is due before; False if no message is under way."""
        if not self._pending:
            return False
        clock, due = self.clock, self._pending[0][0]
        if clock.next <= due or clock.next <= clock.now:
            return clock.step()
        _, sent, sender, recipient, message = heapq.heappop(self._pending)
        clock.now = due if due > clock.now + 1 else clock.now + 1
        self._deliver(sent, sender, recipient, message)
        return True

    def run(self, until: Callable[[], bool] | None = None, max_steps: int = 2_000_000) -> None:
        """Deliver until `until()` holds (checked after each step), or until nothing is left if it is None.

        Raises Stalled if the goal is not reached.
        """
        for _ in range(max_steps):
            if until is not None and until():
                return
            if self.step() or self.idle() or self.clock.step():
                continue
            if until is None:
                return
            raise Stalled(f"nothing left to deliver after {self.steps} steps")
        raise Stalled(f"goal not reached within {max_steps} steps")

    def _deliver(self, sent: float, sender: int, recipient: int, message: Message) -> None:
        self.steps += 1
        self.witness(sent, sender, recipient, message)
        if self._groups and not self.connected(sender, recipient):
            self._cut_off.append((sender, recipient, message))
            return
        endpoint = self._endpoints.get(recipient)
        if endpoint is None:
            return
        if message.epoch > endpoint.horizon():
            endpoint.held.append((sender, message))
            return
        endpoint.handle(sender, message)
        if endpoint.held:
            horizon = endpoint.horizon()
            ready = [item for item in endpoint.held if item[1].epoch <= horizon]
            if ready:
                endpoint.held = [item for item in endpoint.held if item[1].epoch > horizon]
                for held_sender, held_message in ready:
                    self._schedule(held_sender, recipient, held_message)
