"""gevent's HTTP server, for clients that mean no good: bounded in connections, bytes, time and processor time.

What is refused here never reaches the application: request lines and headers that are too long, bodies that are too
long (before any of it is read) or whose length is not told, and requests that do not arrive, or replies that are not
read, in time. Every refusal is a JSON object with the key "error".
"""

from __future__ import annotations

import re
import resource
import socket as sockets
from collections.abc import Callable, Iterable
from http.client import responses
from io import BytesIO
from typing import Any

import gevent
import msgspec
from gevent import pywsgi
from gevent.pool import Pool

from honeybadger.http.budget import CpuShare
from honeybadger.http.quick import QuickReplies

#: connections at a time; more wait in the kernel
MOST_CONNECTIONS = 1024
BACKLOG = 128
#: a connection without a request is closed after this, seconds
IDLE_S = 15.0
#: from the first byte of a request to the last byte of the reply, seconds
REQUEST_S = 10.0
#: request line and headers, bytes and lines
HEADER_BYTES = 16 * 1024
HEADER_LINES = 64
#: body of a request, bytes
BODY_BYTES = 4 * 1024 * 1024
#: what a refused client still sends is read for so long, seconds, and so far, bytes, lest it miss the reply
LINGER_S = 1.0
LINGER_BYTES = 2 * BODY_BYTES
#: processor time that is charged beside that of the application: for a connection, for a request on it, and for one
#: that is answered quickly
CONNECTION_CPU_S = 0.000_2
REQUEST_CPU_S = 0.000_3
QUICK_CPU_S = 0.000_1

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Refusal(ValueError):
    """A request that is answered with `status` and one line, without asking the application."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def reply(self) -> bytes:
        """The whole reply; the connection ends with it."""
        body = error_body(str(self))
        head = (
            f"HTTP/1.1 {self.status} {responses[self.status]}\r\nContent-Type: application/json\r\n"
            f"X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


def error_body(message: str) -> bytes:
    """What every refusal says: {"error": "one line"}."""
    return msgspec.json.encode({"error": message})


class Body:
    """The body of a request: as many bytes as were announced, read only when the application asks."""

    def __init__(self, file: Any, length: int, expects: Any) -> None:
        self._file = file
        self._expects = expects
        self.left = length

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that are left without; OSError if the client ends before."""
        wanted = self.left if size is None or size < 0 else min(size, self.left)
        if wanted and self._expects is not None:
            self._expects.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = None
        data: bytes = self._file.read(wanted)
        if len(data) < wanted:
            raise ConnectionResetError("the client ended within the body of its request")
        self.left -= wanted
        return data

    def _discard(self) -> None:
        """The server's way to skip an unread body. The connection is closed instead."""


class Handler(pywsgi.WSGIHandler):  # type: ignore[misc]
    """One connection."""

    server: HttpServer
    wsgi_input: Body | None
    path: str

    def handle(self) -> None:
        """Serve the connection. It pays for itself with its first request, or else before another takes its place."""
        self._owes_s = CONNECTION_CPU_S
        super().handle()
        if self._owes_s:
            self._wait()

    def handle_one_request(self) -> Any:
        """One request and its reply: True if another may follow, None if the connection ends."""
        self.headers_sent = False
        self.wsgi_input = None
        if not self._await_request():
            return None
        self._wait()
        quick = self.server.quick.find(self.rfile.peek(1))
        if quick is not None:
            return self._answer_quickly(*quick)
        self.server.budget.charge(REQUEST_CPU_S)
        result: Any = None
        with gevent.Timeout(REQUEST_S, False):
            result = super().handle_one_request()
            if isinstance(result, Refusal):
                self.server.count(result.status)
                self._answer(result.reply())
                result = None
            elif self.wsgi_input is not None and self.wsgi_input.left:
                self._linger()
                result = None
        return result

    def _wait(self) -> None:
        """For one's turn; what the connection still owes is paid then."""
        self.server.budget.wait(self.client_address[0])
        self.server.budget.charge(self._owes_s)
        self._owes_s = 0.0

    def _answer_quickly(self, length: int, status: int, reply: bytes) -> Any:
        """To a request of so many bytes; returns as `handle_one_request` does."""
        self.server.budget.charge(QUICK_CPU_S)
        self.rfile.read(length)
        self.server.count(status)
        with gevent.Timeout(REQUEST_S, False):
            try:
                self.socket.sendall(reply)
                return True
            except OSError:
                return None
        return None

    def _answer(self, reply: bytes) -> None:
        try:
            self.socket.sendall(reply)
        except OSError:
            return
        self._linger()

    def _await_request(self) -> bool:
        """Until the first byte of a request has come; False if none does."""
        with gevent.Timeout(IDLE_S, False):
            try:
                return bool(self.rfile.peek(1))
            except OSError:
                return False
        return False

    def _linger(self) -> None:
        """Let the client read our reply before a reset can overtake it."""
        try:
            self.socket.shutdown(sockets.SHUT_WR)
            with gevent.Timeout(LINGER_S, False):
                left = LINGER_BYTES
                while left > 0 and (data := self.socket.recv(65536)):
                    left -= len(data)
        except OSError:
            return

    # -- what is refused before the application sees it ------------------------------------------------------

    def read_requestline(self) -> str:
        """The first line; Refusal is not possible here, so a line that is too long is cut and refused below."""
        line: str = self.rfile.readline(pywsgi.MAX_REQUEST_LINE - 1).decode("latin-1")
        return line

    def read_request(self, raw_requestline: str) -> bool:
        """Parse and check request line and headers; Refusal or another ValueError."""
        if not raw_requestline.endswith("\n"):
            raise Refusal(414, f"the request line is longer than {pywsgi.MAX_REQUEST_LINE - 2} bytes")
        super().read_request(raw_requestline)
        # As for a proxy: the server's name before the path is of no interest here.
        self.path = re.sub(r"^https?://[^/?]+/?", "/", self.path, flags=re.IGNORECASE)
        if self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
            raise Refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        if self.headers.get("transfer-encoding") is not None:
            raise Refusal(411, "the body must have a Content-Length and no Transfer-Encoding")
        lengths = self.headers.get_all("content-length") or []
        if len(lengths) > 1 or not all(re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) for text in lengths):
            raise Refusal(400, "the Content-Length is not one number")
        if lengths and int(lengths[0]) > BODY_BYTES:
            raise Refusal(413, f"the body is longer than {BODY_BYTES} bytes")
        if not lengths and self.command == "POST":
            raise Refusal(411, "the body must have a Content-Length")
        return True

    def MessageClass(self, *args: Any) -> Any:
        """Read the headers, of which there may be only so much."""
        lines = []
        left = HEADER_BYTES
        while True:
            line = self.rfile.readline(left + 1)
            left -= len(line)
            lines.append(line)
            if left < 0 or len(lines) > HEADER_LINES:
                raise Refusal(431, f"the headers are more than {HEADER_BYTES} bytes or {HEADER_LINES} lines")
            if not line.endswith(b"\n"):
                raise Refusal(400, "the headers do not end")
            if line in (b"\r\n", b"\n"):
                return super().MessageClass(BytesIO(b"".join(lines)), 0)

    def get_environ(self) -> dict[str, Any]:
        """See `WSGIHandler`; with a body that is bounded and never read for nothing."""
        environ: dict[str, Any] = super().get_environ()
        expects = self.socket if environ.get("HTTP_EXPECT", "").lower() == "100-continue" else None
        self.wsgi_input = environ["wsgi.input"] = Body(self.rfile, self.content_length or 0, expects)
        return environ

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """See `WSGIHandler`; the connection ends if a body was left unread."""
        if self.wsgi_input is not None and self.wsgi_input.left:
            headers = [*headers, ("Connection", "close")]
        self.server.count(int(status.split(" ", 1)[0]))
        return super().start_response(status, headers, exc_info)

    def _handle_client_error(self, ex: Exception) -> Refusal:
        return ex if isinstance(ex, Refusal) else Refusal(400, "this is not a request of HTTP/1.1")

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """The client did not send or read in time, or is gone, or we have a bug: the connection ends."""
        self.close_connection = True
        if not issubclass(kind, gevent.Timeout | gevent.GreenletExit | OSError):
            self.server.say(f"HTTP: {kind.__name__}: {error}")


class HttpServer(pywsgi.WSGIServer):  # type: ignore[misc]
    """See the module. `count(status)` hears of every reply, `say(line)` tells a person of a bug.

    What `quick` finds an answer to does not reach the application.
    """

    def __init__(
        self,
        address: tuple[str, int],
        application: Application,
        budget: CpuShare,
        count: Callable[[int], None],
        say: Callable[[str], object],
        purpose: str,
        quick: QuickReplies,
    ) -> None:
        """Bind at once; OSError, in one line that names the address, if that is not possible."""
        self.budget = budget
        self.count = count
        self.say = say
        self.quick = quick
        # Descriptors are for peers and the ledger first.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        super().__init__(
            address,
            application,
            backlog=BACKLOG,
            spawn=Pool(max(1, min(MOST_CONNECTIONS, descriptors // 4))),
            log=None,
            error_log=None,
            handler_class=Handler,
            # Told, or it would be looked up in the DNS.
            environ={"SERVER_NAME": "honeybadger"},
        )
        try:
            self.init_socket()
        except OSError as error:
            why = error.strerror or str(error)
            raise OSError(f"cannot listen on {address[0]}:{address[1]} ({purpose}): {why}") from None
