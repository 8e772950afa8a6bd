"""Clients of HTTP ports, as many as it takes and as cheap as can be: one process, epoll, and requests made beforehand.

    python -m bench.http_visitors < plan.json

The plan is a list of `Shift`s in JSON, done one after the other; what each saw comes as a line of JSON when it ends.
"""

from __future__ import annotations

import heapq
import re
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import msgspec

_COUNTER = re.compile(rb"^(honeybadger_http_cpu|process_cpu)_seconds_total (\S+)$", re.MULTILINE)
#: who was hung up on tries again after this, seconds
RETRY_S = 1.0
#: who never reads hangs up after this, seconds
GIVES_UP_S = 10.0
#: connections opened at a time, and the pause between such groups, seconds: the kernel's queue is not long
GROUP = 50
GROUP_S = 0.05


class Visitor(msgspec.Struct, frozen=True):
    """One connection that asks `requests` in turn, each `pause_s` after the last answer, and connects again if it ends.

    `group`: whose figures it counts for. `source`: the address it comes from. `drips`: it sends its request once and
    then a byte each `pause_s`; `reads`: False if it never takes an answer; `scrapes`: its answers are metrics.
    """

    group: str
    port: int
    requests: list[str]
    pause_s: float
    source: str = "127.0.0.1"
    drips: bool = False
    reads: bool = True
    scrapes: bool = False


class Shift(msgspec.Struct, frozen=True):
    """So many seconds of these visitors; the first `settle_s` are not counted."""

    name: str
    seconds: float
    settle_s: float
    visitors: list[Visitor]


@dataclass
class Seen:
    """What a group of visitors saw. `waits_s`: from request to whole answer; `ended`: connections, by the server.

    `counters`: port → processor seconds charged to HTTP and used in all, as the first and the last scrape have them.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    ended: int = 0
    counters: dict[int, tuple[tuple[float, float], tuple[float, float]]] = field(default_factory=dict)


class _Connection:
    """A visitor at work. `due` is called when its time has come, `ready` when its socket is."""

    def __init__(self, who: Visitor, crowd: Crowd) -> None:
        self._who = who
        self._crowd = crowd
        self._requests = [request.encode("latin-1") for request in who.requests]
        self._turn = 0
        self._socket: socket.socket | None = None
        self._connected = False
        self._asked_at = 0.0
        self._got = b""

    def due(self) -> None:
        if self._socket is None:
            self._connect()
        elif not self._who.reads:
            self.close()
            self._crowd.later(RETRY_S, self)
        elif self._connected and self._who.drips:
            self._send(b"x")
            self._crowd.later(self._who.pause_s, self)
        elif self._connected:
            self._ask()

    def ready(self) -> None:
        if not self._connected:
            self._connected = True
            if self._socket is not None:
                self._crowd.watch(self._socket, self, select.EPOLLIN if self._who.reads else 0)
            self._ask()
            if self._who.drips or not self._who.reads:
                self._crowd.later(self._who.pause_s if self._who.drips else GIVES_UP_S, self)
        else:
            self._take()

    def close(self) -> None:
        if self._socket is not None:
            self._crowd.forget(self._socket)
            self._socket.close()
            self._socket = None
        self._connected = False
        self._got = b""

    def _connect(self) -> None:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if not self._who.reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind((self._who.source, 0))
        self._socket.connect_ex(("127.0.0.1", self._who.port))
        self._crowd.watch(self._socket, self, select.EPOLLOUT)

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self._send(self._requests[self._turn % len(self._requests)])
        self._turn += 1

    def _send(self, data: bytes) -> None:
        try:
            if self._socket is not None:
                self._socket.send(data)
        except OSError:
            self._ended()

    def _take(self) -> None:
        try:
            data = self._socket.recv(1 << 18) if self._socket is not None else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._crowd.answered(self._who, head[9:12].decode("latin-1"), time.monotonic() - self._asked_at)
        if self._who.scrapes:
            self._crowd.scraped(self._who, body)
        self._got = b""
        if not self._who.drips:
            self._crowd.later(self._who.pause_s, self)

    def _ended(self) -> None:
        if self._connected:
            self._crowd.seen[self._who.group].ended += 1
        # Whoever drips and was connected has a timer, which connects again.
        has_timer = self._connected and self._who.drips
        self.close()
        if not has_timer:
            self._crowd.later(RETRY_S, self)


class Crowd:
    """All visitors of a shift."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._epoll = select.epoll()
        self._numbers = count()
        self._timers: list[tuple[float, int, _Connection]] = []
        self._by_descriptor: dict[int, _Connection] = {}
        self._connections = [_Connection(visitor, self) for visitor in shift.visitors]
        self.seen = {visitor.group: Seen() for visitor in shift.visitors}

    def run(self) -> dict[str, object]:
        """The whole shift; what was seen after it had settled."""
        began = time.monotonic()
        for number, connection in enumerate(self._connections):
            self.later(number // GROUP * GROUP_S, connection)
        self._until(began + self._shift.settle_s)
        for group in self.seen:
            self.seen[group] = Seen()
        start, cpu = time.monotonic(), time.process_time()
        self._until(began + self._shift.seconds)
        end, used = time.monotonic(), time.process_time() - cpu
        for connection in self._connections:
            connection.close()
        self._epoll.close()
        return {"name": self._shift.name, "start": start, "end": end, "cpu_s": used, "seen": self.seen}

    def later(self, seconds: float, connection: _Connection) -> None:
        """Call its `due` then."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), connection))

    def watch(self, sock: socket.socket, connection: _Connection, events: int) -> None:
        """Call its `ready` on these events; on none if there are none."""
        self.forget(sock)
        if events:
            self._by_descriptor[sock.fileno()] = connection
            self._epoll.register(sock, events)

    def forget(self, sock: socket.socket) -> None:
        """No more of this socket."""
        if self._by_descriptor.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def answered(self, who: Visitor, status: str, seconds: float) -> None:
        """A visitor has a whole answer."""
        seen = self.seen[who.group]
        seen.statuses[status] += 1
        seen.waits_s.append(seconds)

    def scraped(self, who: Visitor, metrics: bytes) -> None:
        """An answer tells what the node used so far."""
        found = dict(_COUNTER.findall(metrics))
        if len(found) == 2:
            now = (float(found[b"honeybadger_http_cpu"]), float(found[b"process_cpu"]))
            first, _ = self.seen[who.group].counters.get(who.port, (now, now))
            self.seen[who.group].counters[who.port] = (first, now)

    def _until(self, end: float) -> None:
        while (now := time.monotonic()) < end:
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2].due()
            next_s = min(self._timers[0][0] if self._timers else end, end) - time.monotonic()
            for descriptor, _ in self._epoll.poll(max(0.0, next_s)):
                connection = self._by_descriptor.get(descriptor)
                if connection is not None:
                    connection.ready()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def main() -> int:
    """Do the shifts of the plan on standard input."""
    plan: Sequence[Shift] = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Shift])
    for shift in plan:
        sys.stdout.write(msgspec.json.encode(Crowd(shift).run()).decode() + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
