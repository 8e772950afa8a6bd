"""The main loop of a node: one greenlet that owns the protocol.

A tick: take what peers and clients sent, let the protocol handle each message (its messages to itself included),
then encode and send once. Ticks are bounded in time so that sending, clients and timers are never starved; how long
the loop was busy between two looks at the sockets is measured (`longest_tick_s`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import gevent
from gevent.event import Event

from honeybadger.node.client_api import ClientApi
from honeybadger.node.peers import ACK_DELAY_S, Peers
from honeybadger.protocols.base import ConsensusProtocol
from honeybadger.protocols.messages import Message

#: a tick takes no further message from peers after this long, seconds
TICK_S = 0.02
IDLE_S = 1.0


class ReactorTimers:
    """Implements `Timers` with the monotonic clock."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def set(self, name: str, delay_s: float) -> None:
        """See `Timers`."""
        self._due[name] = time.monotonic() + delay_s

    def cancel(self, name: str) -> None:
        """See `Timers`."""
        self._due.pop(name, None)

    @property
    def next_at(self) -> float:
        """When the next one expires, monotonic seconds; infinity if none is set."""
        return min(self._due.values(), default=math.inf)

    def expired(self, now: float) -> list[str]:
        """Those due at `now`, the earliest first; they are no longer set."""
        due = sorted((name for name, at in self._due.items() if at <= now), key=self._due.__getitem__)
        for name in due:
            del self._due[name]
        return due


class Reactor:
    """Drives a protocol until `stop` is called.

    `handle(sender, message)` takes every message, the node's own included; `each_tick()` runs before it, `flushed()`
    when the tick's votes are on disk and its frames on their way. `durable_epoch()` says up to where the ledger is on
    disk, `may_read()` whether messages of peers may be taken: a node whose disk lags behind lets them wait at the
    senders. `every_second()` is called about once a second. `rest_s()`: a tick must follow after so many seconds,
    though nothing happens.
    """

    def __init__(
        self,
        me: int,
        protocol: ConsensusProtocol,
        handle: Callable[[int, Message], None],
        peers: Peers,
        clients: ClientApi,
        each_tick: Callable[[], None],
        flushed: Callable[[], None],
        durable_epoch: Callable[[], int],
        may_read: Callable[[], bool],
        every_second: Callable[[], None],
        wake: Event,
        timers: ReactorTimers | None = None,
        rest_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._me = me
        self._timers = timers or ReactorTimers()
        self._protocol = protocol
        self._peers = peers
        self._clients = clients
        self._handle = handle
        self._each_tick = each_tick
        self._flushed = flushed
        self._durable_epoch = durable_epoch
        self._may_read = may_read
        self._every_second = every_second
        self._wake = wake
        self._rest_s = rest_s
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
        """Loop until stopped."""
        protocol, peers = self._protocol, self._peers
        next_second = time.monotonic() + 1
        while self._running:
            self._wake.clear()
            began = time.monotonic()
            self._each_tick()
            peers.connections_changed()
            more = self._take_from_peers(began + TICK_S)
            more |= self._clients.serve()
            for name in self._timers.expired(time.monotonic()):
                protocol.timeout(name)
            protocol.poke()
            self._loop_back()
            horizon = protocol.horizon
            durable = self._durable_epoch()
            peers.flush(horizon, durable)
            self._flushed()
            self.ticks += 1
            now = time.monotonic()
            self.longest_tick_s = max(self.longest_tick_s, now - began)
            if now >= next_second:
                next_second = now + 1
                self._every_second()
            if more:
                # The watchers get their turn even when there is more to do.
                gevent.sleep(0)
            elif not self._may_read():
                # Unread sockets keep their watchers firing, so do not wait for those.
                gevent.sleep(ACK_DELAY_S)
            else:
                owed = peers.owes_announcements(horizon, durable)
                until = min(IDLE_S, next_second - now, self._timers.next_at - now, self._rest_s())
                self._wake.wait(max(0.0, min(until, ACK_DELAY_S) if owed else until))

    def _take_from_peers(self, until: float) -> bool:
        """Handle messages until none is left or the time is up; True if there may be more."""
        handle = self._handle
        while self._may_read():
            if self._entries is None:
                self._entries = self._peers.receive()
                if self._entries is None:
                    return False
            # What a message still holds when the time is up is kept for the next tick.
            entry = next(self._entries, None)
            if entry is None:
                self._entries = None
                # Messages without anything new take time as well: a peer must not keep us here with them.
                if time.monotonic() >= until:
                    return True
                continue
            sender, messages = entry
            for message in messages:
                handle(sender, message)
            self.messages_handled += len(messages)
            self._loop_back()
            if time.monotonic() >= until:
                return True
        return False

    def _loop_back(self) -> None:
        """The protocol's messages to itself, and those that they cause."""
        loopback = self._peers.loopback
        while loopback:
            self._handle(self._me, loopback.popleft())
            self.messages_handled += 1
