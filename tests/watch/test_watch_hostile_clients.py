"""Clients that mean harm: whatever they do slowly, long or often ends, and others are answered meanwhile."""

import socket
import time
from contextlib import ExitStack

import pytest
from support.watch import TOKEN, Watched, everything, watched

from honeybadger.watch import api, server

GET = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
POST = f"POST /transactions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000, 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000, 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000, 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 4194305\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        (POST.replace(b"Bearer", b"Beer") + b"Content-Length: 4194305\r\n\r\n", 413),
        (b"GET http://elsewhere/health HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 200),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ],
)
def test_what_is_malformed_or_too_long_is_refused_at_once(cluster: Watched, data: bytes, status: int) -> None:
    with cluster.connect(data) as client:
        assert everything(client)[:13] == b"HTTP/1.1 %d " % status
    assert cluster.get("/health")["healthy"]


def test_a_body_without_length_is_read_up_to_the_limit_only(cluster: Watched) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with cluster.connect(POST + b"Transfer-Encoding: chunked\r\n\r\n") as client, pytest.raises(ConnectionError):
        for _ in range(10_000):
            client.sendall(chunk)
            time.sleep(0.0005)


def test_a_connection_carries_one_request(cluster: Watched) -> None:
    with cluster.connect(GET * 3) as client:
        answer = everything(client)
    assert answer.count(b"HTTP/1.1 200") == 1 and b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "drip",
    [b"", b"G", b"GET /status HTTP/1.1\r\nX: ", POST + b"Content-Length: 4000\r\n\r\n["],
)
def test_what_comes_slowly_is_cut_off(cluster: Watched, monkeypatch: pytest.MonkeyPatch, drip: bytes) -> None:
    monkeypatch.setattr(server, "CONNECTION_S", 1.0)
    with cluster.connect(drip) as client, pytest.raises(ConnectionError):
        for _ in range(200):
            client.sendall(b"x")
            time.sleep(0.1)


def test_who_does_not_read_is_cut_off(cluster: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTION_S", 1.0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.connect(("127.0.0.1", cluster.port))
    client.sendall(b"GET /blocks/3?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")
    cluster.until(lambda: not server._open)
    client.close()


def test_one_connection_too_many_closes_the_oldest(cluster: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.BoundedConnection, "most", 20)
    with ExitStack() as held:
        oldest, *_ = [held.enter_context(cluster.connect(b"GET / HTTP/1.1\r\n")) for _ in range(60)]
        assert cluster.get("/health")["healthy"]
        assert len(server._open) <= 20
        assert everything(oldest) == b""


def test_an_answer_that_takes_too_long_is_503(cluster: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ANSWER_S", 0.5)
    for node in cluster.nodes:
        node.part = lambda query: None  # type: ignore[method-assign]
    assert "ask again later" in cluster.get("/blocks/4", 503)


def test_a_crowd_that_asks_for_one_block_costs_the_nodes_two_questions() -> None:
    """One for the header and one for the body, however many wait for the answers, beside more that never end."""
    with watched() as cluster, ExitStack() as slow:
        for _ in range(300):
            slow.enter_context(cluster.connect(b"GET /status HTTP/1.1\r\nX: "))
        crowd = [cluster.connect(b"GET /blocks/2 HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(200)]
        assert all(everything(client).startswith(b"HTTP/1.1 200") for client in crowd)
        assert sum(node.asked for node in cluster.nodes) == 2
