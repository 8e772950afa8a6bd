"""The HTTP server against clients that mean no good: sizes, forms, times, numbers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from http_helpers import HOST, Generous, Served, error_of, is_closed, read_reply, serving, wait_until

from honeybadger.http import server as module
from honeybadger.http.budget import BURST_S, CpuShare
from honeybadger.http.quick import QuickReplies
from honeybadger.http.server import HttpServer


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says what the application saw; /skip leaves the body unread, /bug has a bug, /long is 64 MB."""
    path = environ["PATH_INFO"]
    if path == "/bug":
        raise RuntimeError("a bug")
    body = b"" if path == "/skip" else environ["wsgi.input"].read()
    reply = b"x" * 64_000_000 if path == "/long" else f"{environ['REQUEST_METHOD']} {path} {len(body)}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(reply)))])
    return [reply]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(echo) as served:
        yield served


def post(length: object, path: str = "/", *more: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *more, "", ""]).encode()


def test_requests_follow_each_other_on_a_connection(served: Served) -> None:
    with served.connect() as client:
        for size in (0, 5, 70_000):
            client.sendall(post(size) + b"b" * size)
            assert read_reply(client)[2] == f"POST / {size}".encode()
        client.sendall(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        assert read_reply(client)[2].startswith(b"GET /a 0")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://x/a", "/a"),
        ("HTTP://10.0.0.1:8100/a/b?c=http://d", "/a/b"),
        ("https://[fe80::1]:8100/", "/"),
        ("http://x", "/"),
        ("http://x?c", "/"),
        ("/http://x/a", "/http://x/a"),
        ("//x/a", "//x/a"),
    ],
)
def test_a_target_may_name_the_server_too(served: Served, target: str, path: str) -> None:
    """As for a proxy; every server must take it (RFC 9112, section 3.2.2)."""
    assert served.get(target)[2] == f"GET {path} 0".encode()


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "request line"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000 + b"\r\n\r\n", 431, "headers"),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 70 + b"\r\n", 431, "headers"),
        (b"nonsense\r\n\r\n", 400, "not a request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "not a request"),
        (b"GET / HTTP/2.0\r\n\r\n", 400, "not a request"),
        (b"GET / HTTP/x.y\r\n\r\n", 400, "not a request"),
        (b"GET /\r\n\r\n", 505, "only HTTP/1"),
        (post(-1), 400, "not a request"),
        (post("1_0"), 400, "not one number"),
        (post("+1"), 400, "not one number"),
        (post(""), 400, "not a request"),
        (post("1\r\nContent-Length: 2"), 400, "not one number"),
        (post(module.BODY_BYTES + 1), 413, "longer than"),
        (post(10**14), 413, "longer than"),
        (post("9" * 5000), 400, "not a request"),
        (b"POST / HTTP/1.1\r\n\r\n", 411, "Content-Length"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "Transfer-Encoding"),
        (post("3", "/", "Transfer-Encoding: identity, chunked") + b"abc", 411, "Transfer-Encoding"),
        (b"HEAD / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 400, "not a request"),
    ],
)
def test_what_is_too_long_or_malformed_is_refused_with_json(
    served: Served, request_: bytes, status: int, says: str
) -> None:
    with served.connect() as client:
        client.sendall(request_)
        assert says in error_of(read_reply(client), status)
        assert is_closed(client)
    assert not served.said


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(served: Served) -> None:
    # A client that sends on without listening still finds the reply.
    with served.connect() as client:
        client.sendall(post(module.BODY_BYTES + 1) + b"b" * 7_900_000)
        assert "longer than" in error_of(read_reply(client), 413)


def test_a_client_that_asks_first_is_told_to_go_on_only_if_its_body_is_wanted(served: Served) -> None:
    with served.connect() as client:
        client.sendall(post(3, "/", "Expect: 100-continue"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert read_reply(client)[2] == b"POST / 3"
    with served.connect() as client:
        client.sendall(post(module.BODY_BYTES + 1, "/", "Expect: 100-continue"))
        assert "longer than" in error_of(read_reply(client), 413)


def test_an_unread_body_ends_the_connection_and_is_no_further_request(served: Served) -> None:
    before = sum(served.replies.values())
    hidden = b"GET /hidden HTTP/1.1\r\n\r\n"
    with served.connect() as client:
        client.sendall(post(len(hidden), "/skip") + hidden)
        reply = read_reply(client)
        assert (reply[0], reply[1]["connection"]) == (200, "close")
        assert is_closed(client)
    assert sum(served.replies.values()) == before + 1


def test_a_bug_is_told_and_ends_only_its_connection(served: Served) -> None:
    with served.connect() as client:
        client.sendall(b"GET /bug HTTP/1.1\r\n\r\n")
        assert is_closed(client)
    assert served.said == ["HTTP: RuntimeError: a bug"]
    served.said.clear()
    assert served.get("/")[0] == 200


def drip(client: socket.socket, data: bytes) -> bool:
    """Send a byte at a time; True if the server ends the connection before it has all."""
    client.settimeout(0.02)
    try:
        for byte in data:
            client.sendall(bytes([byte]))
            try:
                if not client.recv(1):
                    return True
            except TimeoutError:
                continue
    except OSError:
        return True
    return False


@pytest.mark.parametrize(
    "start",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"],
    ids=["nothing", "line", "headers", "body"],
)
def test_a_client_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.3)
    with serving(echo) as served, served.connect() as client:
        client.sendall(start)
        assert drip(client, b"x" * 1000)
        assert served.get("/")[0] == 200
        assert not served.said


def test_a_silent_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.2)
    with serving(echo) as served, served.connect() as client:
        assert is_closed(client)
        with served.connect() as polite:
            polite.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read_reply(polite)
            assert is_closed(polite)


def test_a_client_that_does_not_read_its_reply_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.3)
    with serving(echo) as served, served.connect() as client:
        client.sendall(b"GET /long HTTP/1.1\r\n\r\n")
        wait_until(lambda: len(served.server.pool) == 0)
        assert not served.said


def test_connections_are_bounded_and_those_beyond_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(module, "REQUEST_S", 1.0)
    with serving(echo) as served:
        slow = [served.connect() for _ in range(20)]
        for client in slow:
            client.sendall(b"GET /")
        wait_until(lambda: len(served.server.pool) == 5)
        # When the slow ones are cut off, a fast one is served.
        assert served.get("/")[0] == 200
        assert len(served.server.pool) <= 5
        for client in slow:
            client.close()


def test_a_connection_is_paid_for_even_if_it_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTION_CPU_S", 7.0)
    monkeypatch.setattr(module, "REQUEST_CPU_S", 100.0)
    budget = Generous()
    with serving(echo, budget) as served:
        served.connect().close()
        wait_until(lambda: budget.used_s == 7.0)
        with served.connect() as client:
            for _ in range(2):
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                read_reply(client)
        wait_until(lambda: len(served.server.pool) == 0)
        assert budget.used_s == 214.0


def test_a_used_up_share_makes_clients_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_CPU_S", 0.01)
    budget = CpuShare(lambda: False)
    budget.charge(BURST_S - 0.001)
    with serving(echo, budget) as served, served.connect() as client:
        began = time.monotonic()
        for _ in range(6):
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert read_reply(client)[0] == 200
        # Six requests of 10 ms are 0.6 s of a tenth of a processor, less what was saved up.
        assert time.monotonic() - began > 0.5


def test_an_address_that_is_taken_is_one_line() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        share = CpuShare(lambda: False)
        with pytest.raises(OSError, match=rf"cannot listen on {HOST}:{port} \(node 9\): ") as caught:
            HttpServer((HOST, port), echo, share, lambda status: None, print, "node 9", QuickReplies({}, share))
    assert "\n" not in str(caught.value)
