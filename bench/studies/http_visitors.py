"""Clients of an HTTP port, many and cheap: one process, a greenlet for each, requests made beforehand.

    python -m bench.studies.http_visitors < plan.json

The plan is a list of `Shift`s in JSON, done one after the other; what each saw comes as a line of JSON when it ends.
"""

import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import gevent
import msgspec
import psutil
from gevent import socket

#: a visitor that was cut off tries again after this, seconds
RETRY_S = 1.0
#: a visitor that never reads hangs up after this, seconds
GIVES_UP_S = 10.0
#: a server starts in less than this, seconds
STARTS_S = 30.0
#: connections opened at a time, and the pause between such groups, seconds: the kernel's queue is not long
GROUP = 50
GROUP_S = 0.05


class Visitor(msgspec.Struct, frozen=True):
    """A client that asks `requests` in turn, each over a connection of its own and `pause_s` after the last answer.

    `group`: whose figures it counts for. `source`: the address it comes from. `drips`: it sends its request once and
    then a byte each `pause_s`; `reads`: False if it never takes an answer.
    """

    group: str
    port: int
    requests: list[str]
    pause_s: float
    source: str = "127.0.0.1"
    drips: bool = False
    reads: bool = True


class Shift(msgspec.Struct, frozen=True):
    """Some seconds of these visitors, of which the first `settle_s` do not count, while `server` runs, if any."""

    name: str
    server: list[str]
    seconds: float
    settle_s: float
    visitors: list[Visitor]


@dataclass
class Seen:
    """What a group of visitors saw. `waits_s`: from connecting to the whole answer; `ended`: connections cut off by the
    server, without an answer."""

    statuses: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    ended: int = 0


def visit(who: Visitor, seen: dict[str, Seen], first_s: float) -> None:
    """One visitor, from `first_s` seconds on and without end."""
    gevent.sleep(first_s)
    for request in cycle(request.encode("latin-1") for request in who.requests):
        began, connected, pause_s = time.monotonic(), False, who.pause_s
        with socket.socket() as connection:
            try:
                if not who.reads:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.bind((who.source, 0))
                connection.connect(("127.0.0.1", who.port))
                connected = True
                connection.sendall(request)
                if who.reads:
                    status = _answer(connection, who.pause_s if who.drips else None)
                    seen[who.group].statuses[status] += 1
                    seen[who.group].waits_s.append(time.monotonic() - began)
                else:
                    gevent.sleep(GIVES_UP_S)
            except OSError:
                seen[who.group].ended += connected
                pause_s = RETRY_S
        gevent.sleep(pause_s)


def _answer(connection: Any, drip_s: float | None) -> str:
    """The status of a whole answer, while a byte is sent each `drip_s`; OSError if the server ends it before."""
    connection.settimeout(drip_s)
    got = b""
    while True:
        try:
            data = connection.recv(1 << 18)
        except TimeoutError:
            connection.sendall(b"x")
            continue
        if not data:
            raise ConnectionError
        got += data
        head, end, body = got.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            return str(head[9:12].decode("latin-1"))


def attend(shift: Shift) -> dict[str, Any]:
    """The whole shift, the server's start included; what was seen after it had settled."""
    began = time.monotonic()
    server = psutil.Popen(shift.server, start_new_session=True) if shift.server else None
    if server is not None:
        _await_server(shift.visitors[0].port)
    seen = {visitor.group: Seen() for visitor in shift.visitors}
    crowd = [gevent.spawn(visit, one, seen, n // GROUP * GROUP_S) for n, one in enumerate(shift.visitors)]
    gevent.sleep(began + shift.settle_s - time.monotonic())
    seen.update({group: Seen() for group in seen})
    start, cpu, served = time.monotonic(), time.process_time(), _used_s(server)
    gevent.sleep(began + shift.seconds - start)
    end, cpu, served = time.monotonic(), time.process_time() - cpu, _used_s(server) - served
    gevent.killall(crowd)
    if server is not None:
        server.kill()
        server.wait()
    return {"name": shift.name, "start": start, "end": end, "cpu_s": cpu, "server_cpu_s": served, "seen": seen}


def _await_server(port: int) -> None:
    """Until somebody listens, or it is too late."""
    limit = time.monotonic() + STARTS_S
    while time.monotonic() < limit:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        gevent.sleep(0.1)


def _used_s(server: psutil.Popen | None) -> float:
    """Processor time of the server so far."""
    if server is None:
        return 0.0
    times = server.cpu_times()
    return float(times.user + times.system)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def main() -> None:
    """Do the shifts of the plan on standard input."""
    for shift in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Shift]):
        sys.stdout.write(msgspec.json.encode(attend(shift)).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
