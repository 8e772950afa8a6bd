"""A transport that suffers the faults of a schedule. It wraps the real one, so every protocol gets the same faults.

Honest to TCP: within a connection nothing is lost, doubled or reordered. What is lost is lost because the connection
to the peer breaks, and the layer above is told so, as it is by the real transport: it greets again and sends again
what was not acknowledged.

Faults act where messages are sent. Each node runs the same schedule, so a partition cuts both directions. During a
cut the real connection stays as it is, but nothing is handed to it and its events are only remembered.

Held messages wait in one FIFO per peer. The links bound it: they have at most `IN_FLIGHT_BYTES` (64 MB) unacknowledged
per peer, whose bytes the FIFO shares with them, and a break empties it. Bare acknowledgements are not counted there,
so beyond `MESSAGES_HELD` messages the connection breaks.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gevent

from honeybadger.network.fault_schedule import CLEAR, Conditions, LinkFault, Schedule
from honeybadger.network.transport import PeerEvent

#: how long after a drop the connection is there again, seconds
REOPEN_S = 0.01
#: messages held for one peer, at the most
MESSAGES_HELD = 16384
#: a timer may be this late, seconds: one that is early by a rounding error costs a second wake-up
_TIMER_SLACK_S = 0.0005
_LONGEST_TIMER_S = 3600.0


class PeerTransport(Protocol):
    """What `Peers` and a node need of a transport; see `Transport`."""

    @property
    def sent_bytes(self) -> int:
        """Bytes handed to ZeroMQ."""

    @property
    def received_bytes(self) -> int:
        """Bytes taken from ZeroMQ."""

    @property
    def connections_cut(self) -> int:
        """Incoming connections that were cut because they brought too much."""

    def receive(self) -> tuple[int, list[Any]] | None:
        """The next (sender, frames), or None."""

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """Hand over a message; False if there is no connection to the peer now."""

    def events(self) -> list[PeerEvent]:
        """Connections that opened, closed or failed since the last call."""

    def reset(self, peer: int) -> None:
        """Close the connection to the peer and open it again."""

    def close(self, linger_ms: int = 0) -> None:
        """Close everything."""


@dataclass(slots=True)
class _Path:
    """The way to one peer."""

    peer: int
    conditions: Conditions = CLEAR
    #: whether the real connection is up, and whether the layer above thinks so
    really_up: bool = False
    up: bool = False
    #: after a drop the connection is not there before this time
    reopen_at: float = 0.0
    #: second of the schedule at which the connection is next to be reset
    reset_s: float = math.inf
    #: (delayed until, parts, bytes), in order
    held: deque[tuple[float, Sequence[bytes], int]] = field(default_factory=deque)
    #: when the last message had left
    free_at: float = 0.0

    def leaves_at(self) -> float:
        """When the oldest held message has left through the limited bandwidth; infinite if there is none."""
        if not self.held:
            return math.inf
        delayed_until, _, size = self.held[0]
        return max(delayed_until, self.free_at) + size / self.conditions.bytes_per_s

    def hold(self, parts: Sequence[bytes], now: float, rng: random.Random) -> None:
        """Queue a message behind those that are held."""
        conditions = self.conditions
        until = now + conditions.delay_s
        if conditions.jitter_s:
            until += rng.uniform(-conditions.jitter_s, conditions.jitter_s)
        if self.held:
            until = max(until, self.held[-1][0])
        self.held.append((until, parts, sum(map(len, parts))))

    def opens_at(self) -> float:
        """When it can be opened as far as is known; infinite if it is open or something is in the way."""
        return self.reopen_at if self.really_up and not self.up and not self.conditions.cut else math.inf


class FaultyTransport:
    """`transport` under `faults`; the same interface as `Transport`, for node `me` of `nodes`.

    `ready()` is called when something is due that the layer above must come for. `start`: Unix time of second 0 of
    the schedule; None: when this node is first connected to all its peers. `leads()`: whether this node is the
    protocol's leader now. `rng` draws jitter and drops, `clock` gives
    Unix time; given the two, what happens depends only on the calls.
    """

    def __init__(
        self,
        transport: PeerTransport,
        me: int,
        nodes: int,
        faults: Iterable[LinkFault],
        ready: Callable[[], None],
        start: float | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
        leads: Callable[[], bool] = lambda: False,
    ) -> None:
        self._leads = leads
        self._led = False
        self._inner = transport
        self._schedule = Schedule(faults, me)
        self._ready = ready
        self._rng = rng or random.Random()
        self._clock = clock
        self._paths = {peer: _Path(peer) for peer in range(nodes) if peer != me}
        for path in self._paths.values():
            path.reset_s = self._schedule.next_reset(path.peer, 0.0)
        #: clock at second 0 of the schedule
        self._zero = math.inf if start is None else start
        #: seconds of the schedule: the last change that was looked at, and the next
        self._changed_s = -1.0
        self._change_s = 0.0
        #: what is due next, by the clock; nothing needs to be done before
        self._due = self._zero
        self._timer_at = math.inf
        self._timer: Any = None
        self._events: list[PeerEvent] = []
        #: something happened for which the layer above must come back
        self._news = False
        self._pause_s = 0.0
        self._take_at = 0.0
        self._withheld = False

    @property
    def sent_bytes(self) -> int:
        """Bytes handed to ZeroMQ; what is held or was lost here is not in it."""
        return self._inner.sent_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes taken from ZeroMQ."""
        return self._inner.received_bytes

    @property
    def connections_cut(self) -> int:
        """See `Transport`."""
        return self._inner.connections_cut

    @property
    def due(self) -> float:
        """When, by the clock, `ready` is called next if nothing else happens; infinite if never."""
        return self._due

    def receive(self) -> tuple[int, list[Any]] | None:
        """See `Transport`. None also while this node is slow; `ready` is called when the pause is over."""
        if not self._schedule.has_pauses:
            return self._inner.receive()
        now = self._look()
        if self._pause_s and now < self._take_at:
            self._withheld = True
            self._due = min(self._due, self._take_at)
            self._set_timer(now)
            return None
        arrived = self._inner.receive()
        if arrived is not None:
            self._take_at = now + self._pause_s
        return arrived

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """See `Transport`. False also while the connection is cut or broken by a fault."""
        now = self._look()
        path = self._paths[peer]
        if not path.up:
            return False
        if path.conditions is CLEAR and not path.held:
            return self._inner.send(peer, parts)
        if len(path.held) >= MESSAGES_HELD:
            self._break(path, now)
        else:
            path.hold(parts, now, self._rng)
            self._send_held(path, now)
        self._due = min(self._due, path.leaves_at(), path.opens_at())
        self._set_timer(now)
        self._tell()
        return path.up

    def events(self) -> list[PeerEvent]:
        """See `Transport`: the real events that no fault hides, and those that faults cause."""
        now = self._clock()
        if now >= self._due:
            self._advance(now)
        real = self._inner.events()
        for event in real:
            self._note(event, now)
        if real:
            if self._zero == math.inf and all(path.really_up for path in self._paths.values()):
                self._zero = now
            self._advance(now)
        self._set_timer(now)
        self._news = False
        found, self._events = self._events, []
        return found

    def reset(self, peer: int) -> None:
        """See `Transport`; what is held for the peer is lost."""
        self._reset(self._paths[peer])
        self._tell()

    def close(self, linger_ms: int = 0) -> None:
        """See `Transport`; what is held is lost."""
        self._stop_timer()
        self._inner.close(linger_ms)

    # -- time ----------------------------------------------------------------------------------------------

    def _look(self) -> float:
        """Do what is due; returns the time."""
        now = self._clock()
        if now >= self._due or (self._schedule.follows_leader and self._leads() != self._led):
            self._advance(now)
            self._set_timer(now)
            self._tell()
        return now

    def _tell(self) -> None:
        if self._news:
            self._news = False
            self._ready()

    def _advance(self, now: float) -> None:
        """Bring every path to the present, then find out what is due next."""
        changed = now >= self._zero + self._change_s
        # At least the second of what is due: a rounding error must not let it become due for ever.
        seconds = max(now - self._zero, self._change_s) if changed else now - self._zero
        if changed:
            self._change_s = self._schedule.next_change(seconds)
            self._pause_s = self._schedule.pause(seconds)
        formerly, self._led = self._led, self._schedule.follows_leader and self._leads()
        for path in self._paths.values():
            if changed or self._led != formerly:
                path.conditions = self._schedule.conditions(path.peer, seconds, leads=self._led)
            # A cut shorter than the time between two looks breaks the connection as well.
            if changed and self._schedule.was_cut(path.peer, self._changed_s, seconds):
                self._lose(path)
            if now >= self._zero + path.reset_s:
                path.reset_s = self._schedule.next_reset(path.peer, max(seconds, path.reset_s))
                if path.really_up:
                    self._reset(path)
            self._open(path, now)
            self._send_held(path, now)
        if changed:
            self._changed_s = seconds
        if self._withheld and (now >= self._take_at or not self._pause_s):
            self._withheld = False
            self._news = True
        self._due = min(
            self._zero + self._change_s,
            self._take_at if self._withheld else math.inf,
            *(min(path.leaves_at(), path.opens_at(), self._zero + path.reset_s) for path in self._paths.values()),
        )

    def _set_timer(self, now: float) -> None:
        if self._timer_at == self._due:
            return
        self._stop_timer()
        self._timer_at = self._due
        if self._due < math.inf:
            seconds = min(_LONGEST_TIMER_S, max(0.0, self._due - now) + _TIMER_SLACK_S)
            self._timer = gevent.get_hub().loop.timer(seconds)
            # `update`: the loop's own idea of the time is as old as the present tick.
            self._timer.start(self._timer_fired, update=True)

    def _timer_fired(self) -> None:
        self._stop_timer()
        self._ready()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        self._timer_at = math.inf

    # -- one path ------------------------------------------------------------------------------------------

    def _note(self, event: PeerEvent, now: float) -> None:
        """A real event."""
        path = self._paths[event.peer]
        if event.failure:
            if not path.conditions.cut:
                self._report(event)
            return
        # Even if it only opened: another connection than the one that was there.
        self._lose(path)
        path.really_up = event.opened
        self._open(path, now)

    def _send_held(self, path: _Path, now: float) -> None:
        """Hand over what is due. Drops strike here, so what was sent before the lost message arrives."""
        while (leaves_at := path.leaves_at()) <= now:
            _, parts, _ = path.held.popleft()
            path.free_at = leaves_at
            probability = path.conditions.probability
            dropped = probability and self._rng.random() < probability
            if dropped or not self._inner.send(path.peer, parts):
                self._break(path, now)

    def _break(self, path: _Path, now: float) -> None:
        self._lose(path)
        path.reopen_at = now + REOPEN_S

    def _reset(self, path: _Path) -> None:
        self._inner.reset(path.peer)
        path.really_up = False
        self._lose(path)

    def _lose(self, path: _Path) -> None:
        """The connection is gone, with all that it held."""
        path.held.clear()
        path.free_at = 0.0
        if path.up:
            path.up = False
            self._report(PeerEvent(path.peer, False))

    def _open(self, path: _Path, now: float) -> None:
        if now >= path.opens_at():
            path.up = True
            self._report(PeerEvent(path.peer, True))

    def _report(self, event: PeerEvent) -> None:
        self._events.append(event)
        self._news = True
