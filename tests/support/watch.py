"""The watcher in a thread of this process, four nodes that are only client ports, and clients that ask it."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import msgspec
import uvicorn

from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client_protocol import BlockQuery, Committed, Reply, Request, Submit
from honeybadger.watch.server import listen, watch
from support.client import Chain, Honest, reached_at, scripted
from support.requests import positions_of, refused, submitted

TOKEN = "a-token-of-at-least-twenty-characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_S = 20.0


def node_status(index: int, **changes: Any) -> dict[str, Any]:
    """What an ordinary node says of itself."""
    status = {
        "node": index,
        "height": 1234 + index,
        "epoch": 1240,
        "tip": "ab",
        "protocol": "honeybadger",
        "unwell": "",
        "silent_through": 0,
        "peers_connected": 3,
        "mempool": 1500,
        "mempool_bytes": 10,
        "uptime_s": 200.0,
        "faults": [],
        "transactions": 98_765,
        "tx_per_s": 4321.4,
        "phases": {
            "current": {"epoch": 1240, "seconds": {"proposed": 0.0, "broadcast": 0.01}, "age_s": 0.02},
            "last": {"epoch": 1239, "seconds": {"proposed": 0.0, "broadcast": 0.1, "agreed": 0.15, "committed": 0.2}},
        },
        "totals": {
            "blocks": 7,
            "transactions": 70,
            "bytes": 7000,
            "phases": {"proposed": [7, 0.0], "agreed": [7, 1.5]},
        },
        "usage": {"cpu_s": 1.5, "rss_bytes": 1000, "messages_sent": {"Echo": 9}, "bytes_sent": {"Echo": 90}},
    }
    return {**status, **changes}


MANY = [b"tx %d" % i for i in range(2500)]
CHAIN = Chain([[b"first", b"second"], MANY, [bytes([i]) * 200_000 for i in range(10)], [b"newest"]], ports=[1, 2, 3, 4])
#: the newest block has none yet
CERTIFICATES = {height: CHAIN.certificates[height] for height in (1, 2, 3)}


class FakeNode(Honest):
    """Has `CHAIN`, takes new short transactions, and answers by methods that a test may replace; None: no answer."""

    def __init__(self, index: int) -> None:
        super().__init__(CHAIN.blocks, CERTIFICATES)
        self.index = index
        self.restore()

    def restore(self) -> None:
        """Forget what was submitted, and what a test replaced."""
        for name in ("status", "part", "locate", "submit", "answer"):
            vars(self).pop(name, None)
        self.submitted: list[bytes] = []
        self.asked = 0

    def __call__(self, request: Request) -> list[Reply | bytes | None]:
        self.asked += isinstance(request, BlockQuery)
        return self.answer(request)

    def answer(self, request: Request) -> list[Reply | bytes | None]:
        return [*super().__call__(request)]

    def status(self) -> dict[str, Any] | None:
        return node_status(self.index)

    def submit(self, request: Submit) -> list[Reply]:
        committed = super().submit(request)
        done = {position for reply in committed if isinstance(reply, Committed) for position in positions_of(reply)}
        long = [position for position, tx in enumerate(submitted(request)) if len(tx) > 100]
        self.submitted += [tx for p, tx in enumerate(submitted(request)) if p not in done and p not in long]
        return [*committed, refused(request.request, "too long", long)] if long else committed


@dataclass
class Watched:
    """A watcher at `port` and the nodes that it watches."""

    port: int
    manifest: Manifest
    nodes: list[FakeNode]
    said: list[str]

    def ask(
        self, path: str, body: Any = None, method: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (in lower case) and body of a reply."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, {name.lower(): text for name, text in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def get(self, path: str, status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON of a reply; of an error, its text."""
        got, given, text = self.ask(path, body, headers=headers)
        assert got == status, text
        assert given["x-content-type-options"] == "nosniff"
        assert given["content-type"] == "application/json"
        return msgspec.json.decode(text)["error"] if status >= 400 else msgspec.json.decode(text)

    def post(self, body: Any, status: int, headers: dict[str, str] | None = None, query: str = "") -> Any:
        """As `get`, for a submission; with the token unless `headers` say otherwise."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.get(f"/transactions{query}", status, data, BEARER if headers is None else headers)

    def connect(self, data: bytes = b"") -> socket.socket:
        """A raw connection over which `data` was sent."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        raw.sendall(data)
        return raw

    def until(self, condition: Callable[[], object]) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, "waited too long"
            time.sleep(0.05)


def everything(raw: socket.socket) -> bytes:
    """What comes until the other end closes or resets the connection."""
    data = b""
    try:
        while part := raw.recv(65536):
            data += part
    except ConnectionError:
        pass
    return data


@contextmanager
def watched(token: str = TOKEN) -> Iterator[Watched]:
    """Four nodes and a watcher that has heard from all of them."""
    nodes = [FakeNode(index) for index in range(4)]
    said: list[str] = []
    servers: list[uvicorn.Server] = []
    with scripted(*nodes) as (_, members), listen("127.0.0.1", 0) as listening:
        manifest = reached_at(CHAIN.manifest, members)
        watched = Watched(listening.getsockname()[1], manifest, nodes, said)
        run = watch(manifest, False, token, listening, said.append, servers.append)
        thread = threading.Thread(target=asyncio.run, args=(run,))
        thread.start()
        try:
            watched.until(lambda: watched.ask("/health")[0] == 200 and None not in watched.get("/status"))
            yield watched
        finally:
            for server in servers:
                server.should_exit = True
            thread.join(PATIENCE_S)
