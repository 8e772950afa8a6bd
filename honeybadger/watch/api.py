"""What the watcher answers. Every error is a JSON object with the key "error"."""

import asyncio
import hmac
import math
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from honeybadger.client.errors import ClientError, TooLarge
from honeybadger.network.client_protocol import MOST_TRANSACTIONS
from honeybadger.watch.blocks import MOST_LISTED
from honeybadger.watch.cluster import WatchedCluster, WatchedNode
from honeybadger.watch.metrics import exposition
from honeybadger.watch.page import make_page

#: longest body of a request, bytes
BODY_BYTES = 4 * 1024 * 1024
#: how long an answer may take to make, seconds; less than a connection lasts
ANSWER_S = 10.0
#: what is costly is made no more often than this, seconds; nodes tell something new once a second
KEPT_S = 0.5
TOP_HEIGHT = 2**32 - 1
Answer = Callable[[Request], Awaitable[Response]]
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    # One request for each connection, so that the age of a connection bounds everything.
    (b"connection", b"close"),
]


class Transactions(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /transactions: each in hexadecimal."""

    transactions: Annotated[list[str], Meta(min_length=1, max_length=MOST_TRANSACTIONS)]


class Api:
    """The answers. `token`: what a submitter must know, "" if nobody may submit."""

    def __init__(self, cluster: WatchedCluster, token: str, replies: Counter[int]) -> None:
        self._cluster = cluster
        self._token = token.encode()
        self.routes = [
            Route("/", _page()),
            Route("/health", self._answer_health),
            Route("/status", self._answer_status),
            Route("/status/{node}", self._answer_status_of_one),
            Route("/cluster", _kept(lambda: msgspec.json.encode(cluster.overview()), "application/json")),
            Route("/metrics", _kept(exposition(cluster, replies), CONTENT_TYPE_LATEST)),
            Route("/blocks/{height}", self._answer_block),
            Route("/proofs/{transaction}", self._answer_proof),
            Route("/transactions", self._answer_submit, methods=["POST"]),
        ]

    async def _answer_health(self, request: Request) -> Response:
        if trouble := self._cluster.trouble():
            raise HTTPException(503, trouble)
        return _json({"healthy": True, "well": len(self._cluster.well)})

    async def _answer_status(self, request: Request) -> Response:
        texts = b",".join(node.text for node in self._cluster.nodes)
        return Response(b"[" + texts + b"]", media_type="application/json")

    async def _answer_status_of_one(self, request: Request) -> Response:
        return Response(self._answering(request.path_params["node"]).text, media_type="application/json")

    async def _answer_block(self, request: Request) -> Response:
        number = _number("the height", request.path_params["height"], 1, TOP_HEIGHT)
        first = _number("from", request.query_params.get("from", "0"), 0, TOP_HEIGHT)
        limit = _number("limit", request.query_params.get("limit", "100"), 0, MOST_LISTED)
        page = await self._cluster.blocks.page(number, first, limit)
        if page is None:
            raise HTTPException(404, f"there is no block {number} (yet)")
        return _json(page)

    async def _answer_proof(self, request: Request) -> Response:
        transaction = _from_hex("the transaction", request.path_params["transaction"])
        proof = await self._cluster.blocks.proof(transaction)
        if proof is None:
            raise HTTPException(404, "the transaction is not in the ledger (yet)")
        return _json(proof)

    async def _answer_submit(self, request: Request) -> Response:
        refusal = self._refusal(request)
        # Read in any case: a client that is still writing would not see the answer.
        data = await _body(request, keep=refusal is None)
        if refusal is not None:
            raise refusal
        try:
            texts = msgspec.json.decode(data, type=Transactions).transactions
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise HTTPException(400, f"the body is not as it should be: {_line(error)}") from None
        transactions = [_from_hex(f"transactions[{position}]", text) for position, text in enumerate(texts)]
        named = request.query_params.get("node")
        node = self._cluster.next_well() if named is None else self._answering(named).index
        if node is None:
            raise HTTPException(503, "no node is well")
        try:
            outcomes = await self._cluster.submit(node, transactions)
        except ClientError as error:
            raise HTTPException(504, f"{error}; what was sent may yet commit") from None
        durable = [{"position": p, "height": what} for p, what in enumerate(outcomes) if isinstance(what, int)]
        refused = [{"position": p, "reason": what} for p, what in enumerate(outcomes) if isinstance(what, str)]
        return _json({"node": node, "taken": outcomes.count(None), "durable": durable, "refused": refused}, 202)

    def _refusal(self, request: Request) -> HTTPException | None:
        if not self._token:
            return HTTPException(403, "the watcher has no token, so nobody may submit here")
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        # In constant time.
        if hmac.compare_digest(given.encode("utf-8", "replace"), self._token) and kind.lower() == "bearer":
            return None
        return HTTPException(401, "give the token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    def _answering(self, text: str) -> WatchedNode:
        nodes = self._cluster.nodes
        node = nodes[_number("the node", text, 0, len(nodes) - 1)]
        if node.status is None:
            raise HTTPException(503, f"node {node.index} does not answer")
        return node


class Guard:
    """Around the whole application: headers of every reply, a limit of time, and a count of replies by status."""

    def __init__(self, app: ASGIApp, replies: Counter[int], say: Callable[[str], object]) -> None:
        self._app = app
        self._replies = replies
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        started = False

        async def marked(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._replies[message["status"]] += 1
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            async with asyncio.timeout(ANSWER_S):
                await self._app(scope, receive, marked)
        except TimeoutError:
            if not started:
                await _error(503, "too much is asked at once; ask again later")(scope, receive, marked)
        except ClientDisconnect:
            return
        except Exception as error:
            # It has been answered.
            self._say(f"HTTP: {type(error).__name__}: {_line(error)}")


def make_application(cluster: WatchedCluster, token: str, say: Callable[[str], object]) -> ASGIApp:
    """The ASGI application. `say(line)` tells a person of a bug."""
    replies: Counter[int] = Counter()
    explained = dict.fromkeys((HTTPException, ClientError, Exception), _explain)
    return Guard(Starlette(routes=Api(cluster, token, replies).routes, exception_handlers=explained), replies, say)


def _kept(make: Callable[[], bytes], media_type: str) -> Answer:
    """Answers with what `make` returns, for `KEPT_S`."""
    made_at, kept = -math.inf, b""

    async def answer(request: Request) -> Response:
        nonlocal made_at, kept
        if time.monotonic() - made_at >= KEPT_S:
            made_at, kept = time.monotonic(), make()
        return Response(kept, media_type=media_type)

    return answer


def _page() -> Answer:
    html, policy = make_page()

    async def answer(request: Request) -> Response:
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})

    return answer


async def _body(request: Request, *, keep: bool) -> bytes:
    """The body of a request; read but not kept if it is of no use. HTTPException if it is too long."""
    too_long = HTTPException(413, f"the body is longer than {BODY_BYTES} bytes")
    announced = request.headers.get("content-length", "0")
    # The server has checked that it is a number.
    if int(announced) > BODY_BYTES:
        raise too_long
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES:
            raise too_long
        if keep:
            parts.append(part)
    return b"".join(parts)


async def _explain(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _error(error.status_code, error.detail, error.headers)
    if isinstance(error, TooLarge):
        return _error(422, f"{error}; limit=0 gives its header")
    return _error(503, str(error)) if isinstance(error, ClientError) else _error(500, "this is a bug of ours")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": message}, status, headers)


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or not low <= int(text) <= high:
        raise HTTPException(400, f"{name} is not a number from {low} to {high}")
    return int(text)


def _from_hex(name: str, text: str) -> bytes:
    if not re.fullmatch(r"([0-9a-fA-F]{2})+", text, re.ASCII):
        raise HTTPException(400, f"{name} is not hexadecimal")
    return bytes.fromhex(text)


def _line(error: Exception) -> str:
    """The text of an exception on one short line."""
    return "".join(c if c.isprintable() else "?" for c in str(error)[:200])
