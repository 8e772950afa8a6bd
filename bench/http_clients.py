"""Many HTTP clients in one cheap process, for measuring what they cost a node: prepared requests, one epoll loop.

Run as `python -m bench.http_clients SETTINGS` (JSON). It ends after `duration_s`, or when standard input does, and
then writes a `Report` (JSON) to standard output. A client keeps its connection, asks for the next of its paths
`every_s` after its last answer was whole, and connects again a second after it lost its connection. A slow one sends
a byte of a header per second and never ends it. Clients see loopback only: whoever is asked is a node of this machine.
"""

from __future__ import annotations

import heapq
import os
import selectors
import socket
import sys
import time
from collections import Counter, deque
from itertools import count
from typing import Any

import msgspec

HOST = "127.0.0.1"
#: a lost connection is made again after this, a slow client sends its next byte after this, seconds
AGAIN_S = 1.0
#: clients that begin in a second
BEGIN_PER_S = 500
LARGEST_READ = 256 * 1024
#: answers whose waiting time is kept
MOST_WAITS = 200_000


class Group(msgspec.Struct, forbid_unknown_fields=True):
    """`clients` clients of the node at `port`. `paths`: asked in turn; none: slow clients."""

    port: int
    clients: int
    paths: list[str] = []
    every_s: float = 1.0


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Who asks whom, and for how long."""

    groups: list[Group]
    duration_s: float


class Report(msgspec.Struct):
    """What became of it.

    `answers`: by status; `lost`: connections that ended; `wait_*_s`: from request to whole
    answer; `open`: connections at the end; `cpu_s`: processor time of this process.
    """

    answers: dict[str, int]
    lost: int
    open: int
    wait_p50_s: float | None
    wait_p99_s: float | None
    cpu_s: float


class _Client:
    """One client. `wants`: bytes of the answer still to come, None while its headers are not whole."""

    __slots__ = ("asked_at", "begun", "group", "head", "number", "socket", "status", "wants")

    def __init__(self, group: Group, number: int) -> None:
        self.group = group
        self.number = number
        self.socket: socket.socket | None = None
        self.begun = False
        self.reset()

    def reset(self) -> None:
        """No answer is under way."""
        self.asked_at = 0.0
        self.head = b""
        self.status = ""
        self.wants: int | None = None


class Clients:
    """All clients of one process."""

    def __init__(self, settings: Settings) -> None:
        self._selector = selectors.DefaultSelector()
        self._order = count()
        self._due: list[tuple[float, int, _Client]] = []
        self._answers: Counter[str] = Counter()
        self._lost = 0
        self._waits: deque[float] = deque(maxlen=MOST_WAITS)
        now = time.monotonic()
        clients = [_Client(group, number) for group in settings.groups for number in range(group.clients)]
        for position, client in enumerate(clients):
            self._at(now + position / BEGIN_PER_S, client)

    def run(self, duration_s: float) -> Report:
        """Until the time is over or standard input ends."""
        end = time.monotonic() + duration_s
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while (now := time.monotonic()) < end:
            while self._due and self._due[0][0] <= now:
                self._act(heapq.heappop(self._due)[2])
            rest = min(end, self._due[0][0] if self._due else end) - time.monotonic()
            for key, _ in self._selector.select(max(0.0, rest)):
                if key.data is not None:
                    self._read(key.data)
                elif not os.read(sys.stdin.fileno(), 4096):
                    return self._report()
        return self._report()

    def _at(self, when: float, client: _Client) -> None:
        heapq.heappush(self._due, (when, next(self._order), client))

    def _act(self, client: _Client) -> None:
        """Connect, or ask, or send the next byte."""
        try:
            if client.socket is None:
                client.socket = socket.socket()
                client.socket.setblocking(False)
                client.socket.connect_ex((HOST, client.group.port))
                self._selector.register(client.socket, selectors.EVENT_READ, client)
                client.begun = False
                self._at(time.monotonic() + 0.1, client)
            elif client.group.paths:
                path = client.group.paths[client.number % len(client.group.paths)]
                client.socket.send(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                client.number += 1
                client.asked_at = time.monotonic()
            else:
                client.socket.send(b"x" if client.begun else b"GET /status HTTP/1.1\r\nX-Slow: ")
                client.begun = True
                self._at(time.monotonic() + AGAIN_S, client)
        except BlockingIOError:
            # Not connected yet: the node takes no more at the moment.
            self._at(time.monotonic() + AGAIN_S, client)
        except OSError:
            self._lose(client)

    def _lose(self, client: _Client, *, there: bool = True) -> None:
        """Its connection has ended, or nobody listens (yet, or any more)."""
        if client.socket is not None:
            self._selector.unregister(client.socket)
            client.socket.close()
            client.socket = None
            client.reset()
            self._lost += there
            # It may have been about to ask.
            self._due = [entry for entry in self._due if entry[2] is not client]
            heapq.heapify(self._due)
            self._at(time.monotonic() + AGAIN_S, client)

    def _read(self, client: _Client) -> None:
        if client.socket is None:
            return
        try:
            data = client.socket.recv(LARGEST_READ)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            self._lose(client, there=False)
            return
        except OSError:
            data = b""
        if not data:
            self._lose(client)
            return
        if client.wants is None:
            client.head += data
            head, end, body = client.head.partition(b"\r\n\r\n")
            if not end:
                return
            client.status = head[9:12].decode("ascii", "replace")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            client.wants = int(length[0].split(b":")[1]) if length else 0
            data = body
        client.wants -= len(data)
        if client.wants <= 0:
            self._answers[client.status] += 1
            if client.asked_at:
                now = time.monotonic()
                self._waits.append(now - client.asked_at)
                client.reset()
                self._at(now + client.group.every_s, client)

    def _report(self) -> Report:
        waits = sorted(self._waits)
        open_ = sum(1 for key in self._selector.get_map().values() if key.data is not None)
        return Report(
            dict(self._answers),
            self._lost,
            open_,
            waits[len(waits) // 2] if waits else None,
            waits[len(waits) * 99 // 100] if waits else None,
            time.process_time(),
        )


def main() -> int:
    """See the module."""
    settings = msgspec.json.decode(sys.argv[1].encode(), type=Settings)
    report: Any = Clients(settings).run(settings.duration_s)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
