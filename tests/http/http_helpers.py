"""An HTTP server in a thread of its own (with its own gevent hub), and clients that talk to it in raw bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import msgspec

from honeybadger.http.budget import CpuShare
from honeybadger.http.quick import QuickReplies
from honeybadger.http.server import Application, HttpServer

HOST = "127.0.0.1"


@dataclass
class Served:
    """A running server. `said`: bugs that it told of; `replies`: by status."""

    port: int
    server: HttpServer
    said: list[str] = field(default_factory=list)
    replies: Counter[int] = field(default_factory=Counter)

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=10)

    def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case names) and body of the reply to these bytes, after which the client ends."""
        with self.connect() as client:
            client.sendall(request)
            return read_reply(client)

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def read_reply(client: socket.socket, *, with_body: bool = True) -> tuple[int, dict[str, str], bytes]:
    """One reply from the socket, without a body if it is to HEAD; fails if the server closes before its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        assert part, f"the connection ended after {data!r}"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while with_body and len(body) < int(headers.get("content-length", "0")):
        part = client.recv(65536)
        assert part, "the connection ended within the body"
        body += part
    return int(first.split(" ")[1]), headers, body


def is_closed(client: socket.socket, within_s: float = 10.0) -> bool:
    """Whether the server ends the connection in time; what it still sends is dropped."""
    client.settimeout(within_s)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def error_of(reply: tuple[int, dict[str, str], bytes], status: int) -> str:
    """The text of an error reply; fails if it is not one of `status`, as JSON."""
    assert reply[0] == status, reply
    assert reply[1]["content-type"] == "application/json"
    decoded: Any = msgspec.json.decode(reply[2])
    assert list(decoded) == ["error"], decoded
    return str(decoded["error"])


@contextlib.contextmanager
def serving(
    application: Application, budget: CpuShare | None = None, quick: QuickReplies | None = None
) -> Iterator[Served]:
    """Serve `application` on loopback until the end of the block."""
    ready = threading.Event()
    found: list[Served] = []
    failure: list[BaseException] = []
    ends: list[Callable[[], None]] = []

    def run() -> None:
        try:
            said: list[str] = []
            replies: Counter[int] = Counter()

            def count(status: int) -> None:
                replies[status] += 1

            share = budget or Generous()
            server = HttpServer(
                (HOST, 0),
                application,
                share,
                count,
                said.append,
                "a test, for HTTP",
                quick or QuickReplies({}, share),
            )
            server.start()
            stop = gevent.get_hub().loop.async_()
            stopped = gevent.event.Event()
            stop.start(stopped.set)
            ends.append(stop.send)
            found.append(Served(server.socket.getsockname()[1], server, said, replies))
            ready.set()
            stopped.wait()
            server.stop(timeout=0)
            stop.close()
        except BaseException as error:
            failure.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    if failure:
        thread.join(10)
        raise failure[0]
    try:
        yield found[0]
    finally:
        ends[0]()
        thread.join(10)
        assert not thread.is_alive()


class Generous(CpuShare):
    """A share that no test uses up."""

    def __init__(self) -> None:
        super().__init__(lambda: False)

    def wait(self, address: str) -> None:
        return


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)
