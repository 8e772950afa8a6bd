"""A transport with the faults of a schedule. It wraps the real one, so every protocol gets the same faults.

As in TCP, nothing is lost, doubled or reordered within a connection. Messages are lost only when the connection to the
peer breaks. The layer above hears of that as it does from the real transport; it greets again and resends what was not
acknowledged.

Faults act where messages are sent. Each node runs the same schedule, so a partition cuts both directions. During a
cut the real connection stays as it is, but it gets no messages, and its events are only noted.

Held messages wait in one FIFO for each peer. The links bound it: at most `IN_FLIGHT_BYTES` (16 MB) of a peer are
unacknowledged, and a break empties the FIFO. Acknowledgements alone do not count there, so beyond `MESSAGES_HELD`
messages the connection breaks.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import gevent

from honeybadger.network.fault_schedule import CLEAR, LinkFault, Schedule
from honeybadger.network.faulty_path import FaultyPath
from honeybadger.network.transport import PeerEvent, PeerTransport

#: seconds until a connection is up again after a drop
REOPEN_S = 0.01
#: most messages that are held for one peer
MESSAGES_HELD = 16384
#: seconds that a timer is set later, because one that fires early by a rounding error costs a second wake-up
_TIMER_SLACK_S = 0.0005
_LONGEST_TIMER_S = 3600.0


class Timer(Protocol):
    """A call that is still to come."""

    def stop(self) -> None:
        """It is not to come any more."""


class GeventTimer:
    """Calls `fired()` on gevent's hub in `seconds`."""

    def __init__(self, seconds: float, fired: Callable[[], None]) -> None:
        self._timer = gevent.get_hub().loop.timer(seconds + _TIMER_SLACK_S)
        # `update`: the loop's own time is that of the start of the tick.
        self._timer.start(fired, update=True)

    def stop(self) -> None:
        self._timer.stop()
        self._timer.close()


class FaultyTransport:
    """`transport` under `faults`; the same interface as `Transport`, for node `me` of `nodes`.

    `ready()` tells the layer above that something is due. `start`: Unix time of second 0 of the schedule; None: when
    this node is first connected to all its peers. `leads()`: whether this node is the protocol's leader now. `rng`
    draws jitter and drops, `clock` gives Unix time, `timer(seconds, fired)` calls `fired()` then; with all of them
    given, the behaviour depends only on the calls. `size(parts)`: the bytes that a message has on a limited link.
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
        timer: Callable[[float, Callable[[], None]], Timer] = GeventTimer,
        size: Callable[[Sequence[bytes]], int] = lambda parts: sum(map(len, parts)),
    ) -> None:
        self._size = size
        self._leads = leads
        self._make_timer = timer
        self._led = False
        self._inner = transport
        self._schedule = Schedule(faults, me)
        self._ready = ready
        self._rng = rng or random.Random()
        self._clock = clock
        self._paths = {peer: FaultyPath(peer) for peer in range(nodes) if peer != me}
        for path in self._paths.values():
            path.reset_s = self._schedule.next_reset(path.peer, 0.0)
        #: clock at second 0 of the schedule
        self._zero = math.inf if start is None else start
        #: seconds of the schedule: the last change that took effect, and the next one
        self._changed_s = -1.0
        self._change_s = 0.0
        #: when, by the clock, `ready` is called next if nothing else happens; infinite if never
        self.due = self._zero
        self._timer_at = math.inf
        self._timer: Timer | None = None
        self._events: list[PeerEvent] = []
        #: something happened that the layer above must handle
        self._news = False
        self._pause_s = 0.0
        self._take_at = 0.0
        self._withheld = False

    def receive(self) -> tuple[int, list[Any]] | None:
        """None also while this node is slow; `ready` is called when the pause is over."""
        if not self._schedule.has_pauses:
            return self._inner.receive()
        now = self._look()
        if self._pause_s and now < self._take_at:
            self._withheld = True
            self.due = min(self.due, self._take_at)
            self._set_timer(now)
            return None
        arrived = self._inner.receive()
        if arrived is not None:
            self._take_at = now + self._pause_s
        return arrived

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """False also while the connection is cut or broken by a fault."""
        now = self._look()
        path = self._paths[peer]
        if not path.up:
            return False
        if path.conditions is CLEAR and not path.held:
            return self._inner.send(peer, parts)
        if len(path.held) >= MESSAGES_HELD:
            self._break(path, now)
        else:
            path.hold(parts, self._size(parts), now, self._rng)
            self._send_held(path, now)
        self.due = min(self.due, path.leaves_at(), path.opens_at())
        self._set_timer(now)
        self._tell()
        return path.up

    def events(self) -> list[PeerEvent]:
        """The real events that no fault hides, and those that faults cause."""
        now = self._clock()
        if now >= self.due:
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
        events, self._events = self._events, []
        return events

    def reset(self, peer: int) -> None:
        """What is held for the peer is lost too."""
        self._reset(self._paths[peer])
        self._tell()

    def close(self, linger_ms: int = 0) -> None:
        """What is held is lost."""
        self._stop_timer()
        self._inner.close(linger_ms)

    # -- time ----------------------------------------------------------------------------------------------

    def _look(self) -> float:
        """Do what is due; returns the time."""
        now = self._clock()
        if now >= self.due or (self._schedule.follows_leader and self._leads() != self._led):
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
        # At least the second of the change that is due: otherwise a rounding error could make it due again and again.
        seconds = max(now - self._zero, self._change_s) if changed else now - self._zero
        if changed:
            self._change_s = self._schedule.next_change(seconds)
            self._pause_s = self._schedule.pause(seconds)
        formerly, self._led = self._led, self._schedule.follows_leader and self._leads()
        for path in self._paths.values():
            if changed or self._led != formerly:
                path.conditions = self._schedule.conditions(path.peer, seconds, leads=self._led)
            # A cut that came and went since the last call breaks the connection too.
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
        self.due = min(
            self._zero + self._change_s,
            self._take_at if self._withheld else math.inf,
            *(min(path.leaves_at(), path.opens_at(), self._zero + path.reset_s) for path in self._paths.values()),
        )

    def _set_timer(self, now: float) -> None:
        if self._timer_at == self.due:
            return
        self._stop_timer()
        self._timer_at = self.due
        if self.due < math.inf:
            self._timer = self._make_timer(min(_LONGEST_TIMER_S, max(0.0, self.due - now)), self._timer_fired)

    def _timer_fired(self) -> None:
        self._stop_timer()
        self._ready()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
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
        # Even if it only opened: then it is a new connection.
        self._lose(path)
        path.really_up = event.opened
        self._open(path, now)

    def _send_held(self, path: FaultyPath, now: float) -> None:
        """Hand over what is due. Drops happen here, so that messages before the lost one arrive."""
        while (leaves_at := path.leaves_at()) <= now:
            _, parts, _ = path.held.popleft()
            path.free_at = leaves_at
            probability = path.conditions.probability
            dropped = probability and self._rng.random() < probability
            if dropped or not self._inner.send(path.peer, parts):
                self._break(path, now)

    def _break(self, path: FaultyPath, now: float) -> None:
        self._lose(path)
        path.reopen_at = now + REOPEN_S

    def _reset(self, path: FaultyPath) -> None:
        self._inner.reset(path.peer)
        path.really_up = False
        self._lose(path)

    def _lose(self, path: FaultyPath) -> None:
        """The connection is gone, with all that it held."""
        path.held.clear()
        path.free_at = 0.0
        if path.up:
            path.up = False
            self._report(PeerEvent(path.peer, False))

    def _open(self, path: FaultyPath, now: float) -> None:
        if now >= path.opens_at():
            path.up = True
            self._report(PeerEvent(path.peer, True))

    def _report(self, event: PeerEvent) -> None:
        self._events.append(event)
        self._news = True
