"""The main loop of a node: one greenlet that owns the protocol.

A tick: take what peers and clients sent, let the protocol handle each message (its messages to itself included),
then encode and send once. Ticks are bounded in time so that sending, clients and timers are never starved; how long
the loop was busy between two looks at the sockets is measured (`longest_tick_s`).
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import gevent
from gevent.event import Event

from honeybadger.node.application import CommittedBlock
from honeybadger.node.core import Core
from honeybadger.node.peers import ACK_DELAY_S
from honeybadger.node.recovery import Recovery
from honeybadger.protocols.wire import Message

#: a tick takes no further message from peers after this long, seconds of processor time: of a node that waits for a
#: processor, little of the time that passes is its own, and ticks cut short cost more than they handle
TICK_S = 0.02
IDLE_S = 1.0


class ReactorTimers:
    """Implements `Timers` with the clock `now`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._due: dict[str, float] = {}

    def set(self, name: str, delay_s: float) -> None:
        self._due[name] = self._now() + delay_s

    def cancel(self, name: str) -> None:
        self._due.pop(name, None)

    @property
    def next_at(self) -> float:
        """When the next one expires, by that clock; infinity if none is set."""
        return min(self._due.values(), default=math.inf)

    def expired(self, now: float) -> list[str]:
        """Those due at `now`, the earliest first; they are no longer set."""
        if not self._due:
            return []
        due = sorted((name for name, at in self._due.items() if at <= now), key=self._due.__getitem__)
        for name in due:
            del self._due[name]
        return due


class Turns(Protocol):
    """What a node does in its main loop apart from handling messages."""

    def each_tick(self) -> None:
        """A tick begins."""

    def flushed(self) -> None:
        """The votes of the tick are on disk and its frames on their way."""

    def each_second(self) -> None:
        """About a second has passed since the last call."""


class Clients(Protocol):
    """Those who submit transactions; `client_api.ClientApi`, or simulated ones."""

    def serve(self) -> bool:
        """Answer for a bounded time; True if more may wait."""

    def report(self, block: CommittedBlock) -> None:
        """A block is durable: tell those whose transactions are in it."""

    def close(self) -> None:
        """Say no more."""


class Rest(NamedTuple):
    """What follows a tick: the next one in so many seconds, or sooner if the node is woken, unless it is `deaf`."""

    seconds: float
    deaf: bool = False


class Reactor:
    """Drives a protocol until `stop` is called.

    `recovery` takes every message, the node's own included, and hands the protocol its own. It also says whether
    messages of peers may be taken now: a node whose disk lags behind lets them wait at the senders. `wake` is set from
    outside when there is something to do. `now`: seconds that never go back; `used`: processor time of this thread.
    """

    def __init__(
        self,
        core: Core,
        recovery: Recovery,
        clients: Clients,
        turns: Turns,
        timers: ReactorTimers,
        wake: Event,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self._protocol = core.protocol
        self._peers = core.peers
        self._recovery = recovery
        self._clients = clients
        self._turns = turns
        self._timers = timers
        self._wake = wake
        self._now = now
        self._used = used
        self._next_second = now() + 1
        self._running = True
        self._entries: Iterator[tuple[int, list[Message]]] | None = None
        self.messages_handled = 0
        self.ticks = 0
        self.longest_tick_s = 0.0

    def stop(self) -> None:
        """End `run` after the current tick."""
        self._running = False
        self._wake.set()

    def run(self) -> None:
        """Tick after tick."""
        while self._running:
            self._wake.clear()
            rest = self.tick()
            if rest.deaf:
                gevent.sleep(rest.seconds)
            else:
                self._wake.wait(rest.seconds)

    def tick(self) -> Rest:
        """One turn of the loop."""
        protocol, peers, recovery, turns = self._protocol, self._peers, self._recovery, self._turns
        began = self._now()
        turns.each_tick()
        peers.connections_changed()
        more = self._take_from_peers()
        more |= self._clients.serve()
        for name in self._timers.expired(self._now()):
            protocol.timeout(name)
        protocol.poke()
        self._loop_back()
        horizon = protocol.horizon
        durable = recovery.announced_epoch
        peers.flush(horizon, durable)
        turns.flushed()
        self.ticks += 1
        now = self._now()
        self.longest_tick_s = max(self.longest_tick_s, now - began)
        if now >= self._next_second:
            self._next_second = now + 1
            turns.each_second()
        if more:
            # The watchers get their turn even when there is more to do.
            return Rest(0.0, deaf=True)
        if not recovery.may_go_on():
            # Unread sockets keep their watchers firing, so do not wait for those.
            return Rest(ACK_DELAY_S, deaf=True)
        until = min(IDLE_S, self._next_second - now, self._timers.next_at - now, recovery.rest_s)
        if peers.owes_announcements(horizon, durable):
            until = min(until, ACK_DELAY_S)
        return Rest(max(0.0, until))

    def _take_from_peers(self) -> bool:
        """Handle messages until none is left or the time is up; True if there may be more."""
        until = self._used() + TICK_S
        handle, may_go_on = self._recovery.handle, self._recovery.may_go_on
        while may_go_on():
            if self._entries is None:
                self._entries = self._peers.receive()
                if self._entries is None:
                    return False
            # What a message still holds when the time is up is kept for the next tick.
            entry = next(self._entries, None)
            if entry is None:
                self._entries = None
                # Messages without anything new take time as well: a peer must not keep us here with them.
                if self._used() >= until:
                    return True
                continue
            sender, messages = entry
            for message in messages:
                handle(sender, message)
            self.messages_handled += len(messages)
            self._loop_back()
            if self._used() >= until:
                return True
        return False

    def _loop_back(self) -> None:
        """The protocol's messages to itself, and those that they cause."""
        loopback, me, handle = self._peers.loopback, self._peers.me, self._recovery.handle
        while loopback:
            handle(me, loopback.popleft())
            self.messages_handled += 1
