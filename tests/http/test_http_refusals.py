"""Bytes that no client should send, against server and application together: each gets JSON, and the server goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from http_helpers import Served, error_of, read_reply, serving
from test_http_api import TOKEN, Fixture

from honeybadger.http.api import make_quick_replies
from honeybadger.http.server import BODY_BYTES


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    fixture = Fixture()
    with serving(fixture.made(TOKEN), quick=make_quick_replies(fixture.node(TOKEN))) as served:
        yield served
    assert not fixture.said and not served.said
    fixture.reader.close()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode("latin-1")


def post(body: bytes, token: str = TOKEN, *headers: str) -> bytes:
    lines = ["POST /transactions HTTP/1.1", f"Content-Length: {len(body)}", *headers]
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 400),
        (b"\x00" * 100 + b"\r\n\r\n", 400),
        (b"\x00" * 20_000, 414),
        (get("/hea\x00lth"), 404),
        (get("/health%00"), 404),
        (get("/status", "X: \x00"), 200),
        (get("/blocks/1\x00"), 400),
        (get("/blocks/%001"), 400),
        (get("/blocks/" + "9" * 5000), 400),
        (get("/blocks/4294967295"), 404),
        (get("/blocks/18446744073709551616"), 400),
        (get("/blocks/1?from=9999999999"), 400),
        (get("/blocks/1?limit=-1"), 400),
        (get("/proofs/" + "0" * 7999), 400),
        (get("/proofs/0x00"), 400),
        (get("/proofs/00%00"), 400),
        (get("/nowhere"), 404),
        (get("/%ff%fe"), 404),
        (get("http://elsewhere.example/nowhere"), 404),
        (b"DELETE /health HTTP/1.1\r\n\r\n", 405),
        (b"BREW /health HTTP/1.1\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 404),
        (post(b'{"transactions": ["00"]}', ""), 401),
        (post(b'{"transactions": ["00"]}', TOKEN[:-1] + "!"), 401),
        (post(b'{"transactions": ["00"]}', "\x00"), 401),
        (post(b'{"transactions": ["0\x00"]}'), 400),
        (post(b'{"transactions": ["zz"]}'), 400),
        (post(b'{"transactions": ["00"]'), 400),
        (post(b"\x00" * 1000), 400),
        (post(b"\x1f\x8b\x08", TOKEN, "Content-Encoding: gzip"), 400),
        (b"POST /transactions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES + 1), 413),
        (b"POST /transactions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 411),
        (b"POST /transactions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n", 411),
        (b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET /health HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (get("/health", *["X: y"] * 100), 431),
        (get("/health", "X: " + "y" * 20_000), 431),
        (get("/" + "a" * 9000), 414),
    ],
)
def test_whatever_comes_is_answered_in_json_and_the_server_goes_on(
    served: Served, request_: bytes, status: int
) -> None:
    with served.connect() as client:
        client.sendall(request_)
        reply = read_reply(client)
    if status >= 400:
        assert error_of(reply, status).isprintable()
    else:
        assert reply[0] == status
    assert served.get("/health")[2] == b'{"healthy":true}'


def test_many_requests_sent_at_once_are_answered_in_order(served: Served) -> None:
    paths = ["/health", "/nowhere", "/status", "/blocks/1?limit=0", "/metrics", "/blocks/0", "/health"]
    with served.connect() as client:
        client.sendall(b"".join(map(get, paths)) + b"\x00\r\n\r\n")
        got = b""
        while part := client.recv(65536):
            got += part
    assert re.findall(rb"HTTP/1\.1 (\d+)", got) == [b"200", b"404", b"200", b"200", b"200", b"400", b"200", b"400"]
