"""Answers without the usual way: the same ones, to plain requests only, and in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from http_helpers import Served, read_reply, serving
from test_http_api import TOKEN, Fixture

from honeybadger.http import quick as quick_module
from honeybadger.http.api import make_quick_replies
from honeybadger.http.budget import Turns
from honeybadger.http.quick import KEPT_S, Kept, QuickReplies

Node = tuple[Fixture, QuickReplies, Served]


@pytest.fixture
def node() -> Iterator[Node]:
    fixture = Fixture()
    quick = make_quick_replies(fixture.node(TOKEN))
    with serving(fixture.made(TOKEN), quick=quick) as served:
        yield fixture, quick, served
    fixture.reader.close()


@pytest.mark.parametrize("path", ["/health", "/status", "/metrics"])
@pytest.mark.parametrize("why", ["", "connected to nobody"])
def test_the_quick_answer_is_the_usual_one(node: Node, path: str, why: str) -> None:
    fixture, quick, served = node
    fixture.why = why
    plain = f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".encode()
    special = plain[:-2] + b"Connection: keep-alive\r\n\r\n"
    assert quick.find(plain) is not None and quick.find(special) is None
    swift, usual = served.ask(plain), served.ask(special)
    assert (swift[0], swift[2]) == (usual[0], usual[2])
    assert swift[0] == (503 if why and path == "/health" else 200)
    # HTTP's own headers may differ, and Falcon says which language.
    for name in ("content-type", "content-length", "cache-control", "x-content-type-options"):
        assert swift[1][name] == usual[1][name]
    assert sum(served.replies.values()) == 2


def test_a_bug_is_left_to_the_usual_way_which_tells_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug() -> tuple[int, str, bytes]:
        raise RuntimeError("bug")

    _, quick, served = node
    monkeypatch.setitem(quick._makers, b"/status", bug)  # type: ignore[arg-type]
    plain = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
    assert quick.find(plain) is None
    assert served.ask(plain)[0] == 200, "here only the quick way has it"


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GET /health HTTP/1.1\r\n",
        b"GET /health HTTP/1.1\r\nX: y\r\n",
        b"GET /health HTTP/1.0\r\n\r\n",
        b"HEAD /health HTTP/1.1\r\n\r\n",
        b"GET /cluster HTTP/1.1\r\n\r\n",
        b"GET /health?x HTTP/1.1\r\n\r\n",
        b"GET  /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\n\n",
        b"GET /health HTTP/1.1\r\nX : y\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: y\r\n folded\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: \x00\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: y\nContent-Length: 3\r\n\r\n",
        b"GET /health HTTP/1.1\r\ncontent-LENGTH:3\r\n\r\nabc",
        b"GET /health HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        b"GET /health HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_not_plain_goes_the_usual_way(node: Node, request_: bytes) -> None:
    assert node[1].find(request_) is None


def test_a_request_is_taken_out_of_what_came_with_it(node: Node) -> None:
    first = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    found = node[1].find(first + b"GET /status")
    assert found is not None and found[0] == len(first)
    with node[2].connect() as client:
        client.sendall(first + b"GET /st")
        assert read_reply(client)[2] == b'{"healthy":true}'
        client.sendall(b"atus HTTP/1.1\r\n\r\n")
        assert read_reply(client)[2] == b'{"height":3}'


def test_matching_takes_no_time_whatever_was_sent(node: Node) -> None:
    began = time.process_time()
    for _ in range(100):
        assert node[1].find(b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 1300 + b"A") is None
    assert time.process_time() - began < 1.0


def test_a_result_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(quick_module.time, "monotonic", lambda: now)
    made: list[float] = []

    def make() -> float:
        made.append(now)
        return now

    kept = Kept(make)
    assert kept() == kept() == 100.0
    now += KEPT_S + 0.01
    assert kept() == now
    assert len(made) == 2


def test_addresses_take_turns_however_many_wait_of_one() -> None:
    turns, order = Turns(), []

    def come(address: str) -> None:
        with turns.turn(address):
            order.append(address)
            gevent.sleep(0)

    with turns.turn("first"):
        waiting = [gevent.spawn(come, address) for address in ["a"] * 50 + ["b"] * 2 + ["c"]]
        gevent.sleep(0)
    gevent.joinall(waiting, timeout=10)
    assert order[:6] == ["a", "b", "c", "a", "b", "a"]
    assert len(order) == 53


def test_who_stops_waiting_holds_up_nobody() -> None:
    turns, order = Turns(), []

    def come(name: str) -> None:
        with turns.turn("one address"):
            order.append(name)

    with turns.turn("first"):
        waiting = [gevent.spawn(come, name) for name in "abcd"]
        gevent.sleep(0)
        waiting[1].kill()
        # Its turn comes before it hears of its end.
        waiting[0].kill(block=False)
    gevent.joinall(waiting, timeout=10)
    assert order == ["c", "d"]
    with turns.turn("another"):
        assert not turns._lines
