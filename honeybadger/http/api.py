"""What the HTTP port answers. Every error is a JSON object with the key "error"; nothing here waits for consensus."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import falcon
import msgspec
from falcon import Request, Response
from msgspec import Meta

from honeybadger.http.blocks import LARGEST_BODY, MOST_LISTED, BlockReader, Busy, TooLarge
from honeybadger.http.budget import CpuShare
from honeybadger.http.cluster_view import ClusterView
from honeybadger.http.metrics import CONTENT_TYPE
from honeybadger.http.page import Page
from honeybadger.http.quick import QuickReplies
from honeybadger.http.server import Application, error_body
from honeybadger.ledger.errors import LedgerError
from honeybadger.network.client_protocol import MOST_TRANSACTIONS
from honeybadger.node.application import Submission

#: the key under which a request notes processor time that passed while it waited, seconds
AWAY = "honeybadger.away_s"
TOP_HEIGHT = 2**32 - 1
#: what is said to those for whose blocks there was no time, seconds
BUSY_RETRY_S = 10
HEALTHY = b'{"healthy":true}'


class Transactions(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /transactions: each in hexadecimal."""

    transactions: Annotated[list[str], Meta(min_length=1, max_length=MOST_TRANSACTIONS)]


@dataclass(frozen=True)
class Node:
    """What the answers are made of.

    `status()`: for people; `unwell()`: why the node cannot work, "" if it can; `view`: all nodes; `metrics()`:
    Prometheus text; `submit(transactions)`: to the mempool; `committed(transaction)`: its durable height, or None;
    `token`: what a submitter must know, "" if nobody may submit; `say(line)`: tells a person of a bug.
    """

    status: Callable[[], dict[str, Any]]
    unwell: Callable[[], str]
    view: ClusterView
    metrics: Callable[[], bytes]
    submit: Callable[[Sequence[bytes]], Submission]
    committed: Callable[[bytes], int | None]
    blocks: BlockReader
    budget: CpuShare
    token: str
    say: Callable[[str], object]


class Api:
    """The resources; each answers with JSON unless it says otherwise, and to HEAD wherever it answers to GET."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._page = Page()

    def __getattr__(self, name: str) -> Any:
        """What Falcon asks for by name: HEAD is GET, whose body it leaves out."""
        if not name.startswith("on_head_"):
            raise AttributeError(name)
        return getattr(self, name.replace("head", "get", 1))

    def on_get_page(self, request: Request, response: Response) -> None:
        """The page that shows the cluster."""
        response.content_type = falcon.MEDIA_HTML
        response.set_header("Content-Security-Policy", self._page.policy)
        response.data = self._page.html

    def on_get_health(self, request: Request, response: Response) -> None:
        """200 if the node can take part in consensus, 503 with the reason if not."""
        why = self._node.unwell()
        response.status = falcon.HTTP_503 if why else falcon.HTTP_200
        response.data = error_body(why) if why else HEALTHY

    def on_get_status(self, request: Request, response: Response) -> None:
        """What `honeybadger status --json` shows of this node."""
        response.data = msgspec.json.encode(self._node.status())

    def on_get_cluster(self, request: Request, response: Response) -> None:
        """All nodes, as this one sees them."""
        with _away(request):
            self._node.view.prepare()
        response.data = msgspec.json.encode(self._node.view.look())

    def on_get_metrics(self, request: Request, response: Response) -> None:
        """For Prometheus."""
        response.content_type = CONTENT_TYPE
        response.data = self._node.metrics()

    def on_get_block(self, request: Request, response: Response, height: str) -> None:
        """A durable block, and some of its transactions: `?from=0&limit=100`, at most 1000."""
        number = _number("the height", height, 1, TOP_HEIGHT)
        first = _number("from", request.get_param("from", default="0"), 0, TOP_HEIGHT)
        limit = _number("limit", request.get_param("limit", default="100"), 0, MOST_LISTED)
        page = self._read(request, lambda: self._node.blocks.page(number, first, limit, request.remote_addr))
        if page is None:
            raise falcon.HTTPNotFound(description=f"there is no block {number} (yet)")
        response.data = msgspec.json.encode(page)

    def on_get_proof(self, request: Request, response: Response, transaction: str) -> None:
        """A Merkle proof of the transaction, which is given in hexadecimal."""
        wanted = _from_hex("the transaction", transaction)
        height = self._node.committed(wanted)
        proof = None
        if height is not None:
            proof = self._read(request, lambda: self._node.blocks.proof(height, wanted, request.remote_addr))
        if proof is None:
            raise falcon.HTTPNotFound(description="the transaction is not in the ledger (yet)")
        response.data = msgspec.json.encode(proof)

    def on_post_transactions(self, request: Request, response: Response) -> None:
        """Take transactions; says which are durable already, and which were refused and why."""
        self._authorise(request)
        try:
            with _away(request):
                data = request.bounded_stream.read()
        except OSError:
            raise falcon.HTTPBadRequest(description="the body ended before its Content-Length") from None
        try:
            texts = msgspec.json.decode(data, type=Transactions).transactions
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise falcon.HTTPBadRequest(description=f"the body is not as it should be: {_line(error)}") from None
        transactions = [_from_hex(f"transactions[{position}]", text) for position, text in enumerate(texts)]
        submission = self._node.submit(transactions)
        refused = [
            {"position": position, "reason": reason}
            for reason, positions in submission.refusal.positions.items()
            for position in positions
        ]
        durable = [
            {"position": position, "height": height}
            for height, positions in submission.durable.items()
            for position in positions
        ]
        response.status = falcon.HTTP_202
        response.data = msgspec.json.encode(
            {"taken": len(transactions) - len(refused) - len(durable), "durable": durable, "refused": refused}
        )

    def _authorise(self, request: Request) -> None:
        if not self._node.token:
            raise falcon.HTTPForbidden(description="this node has no token, so nobody may submit here")
        kind, _, given = request.get_header("Authorization", default="").partition(" ")
        # In constant time, and before anything of the body is read.
        known = hmac.compare_digest(given.encode("utf-8", "replace"), self._node.token.encode())
        if kind.lower() != "bearer" or not known:
            raise falcon.HTTPUnauthorized(
                description="give the node's token: Authorization: Bearer TOKEN", challenges=["Bearer"]
            )

    def _read(self, request: Request, read: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        try:
            with _away(request):
                return read()
        except TooLarge:
            raise falcon.HTTPUnprocessableEntity(
                description=f"the block is larger than {LARGEST_BODY} bytes; with limit=0 there is its header"
            ) from None
        except Busy:
            raise falcon.HTTPServiceUnavailable(
                description="too many blocks are being read; ask again later", retry_after=BUSY_RETRY_S
            ) from None
        except LedgerError as error:
            self._node.say(f"HTTP: {error}")
            raise falcon.HTTPInternalServerError(description="the block cannot be read here") from None


def make_quick_replies(node: Node) -> QuickReplies:
    """What probes and Prometheus ask for, the same as the application answers."""

    def health() -> tuple[int, str, bytes]:
        why = node.unwell()
        return (503, falcon.MEDIA_JSON, error_body(why)) if why else (200, falcon.MEDIA_JSON, HEALTHY)

    return QuickReplies(
        {
            b"/health": health,
            b"/status": lambda: (200, falcon.MEDIA_JSON, msgspec.json.encode(node.status())),
            b"/metrics": lambda: (200, CONTENT_TYPE, node.metrics()),
        },
        node.budget,
    )


class _Always:
    """Headers of every reply."""

    def process_response(self, request: Request, response: Response, resource: object, succeeded: bool) -> None:
        response.set_header("X-Content-Type-Options", "nosniff")
        response.set_header("Cache-Control", "no-store")


def make_application(node: Node) -> Application:
    """The WSGI application; what it costs is charged to the node's budget."""
    app = falcon.App(middleware=[_Always()])
    app.set_error_serializer(_serialise)

    def bug(request: Request, response: Response, error: Exception, params: dict[str, Any]) -> None:
        node.say(f"HTTP: {type(error).__name__}: {_line(error)}")
        raise falcon.HTTPInternalServerError(description="this is a bug of ours")

    app.add_error_handler(Exception, bug)
    api = Api(node)
    app.add_route("/", api, suffix="page")
    app.add_route("/health", api, suffix="health")
    app.add_route("/status", api, suffix="status")
    app.add_route("/cluster", api, suffix="cluster")
    app.add_route("/metrics", api, suffix="metrics")
    app.add_route("/blocks/{height}", api, suffix="block")
    app.add_route("/proofs/{transaction}", api, suffix="proof")
    app.add_route("/transactions", api, suffix="transactions")

    def charged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.thread_time()
        environ[AWAY] = 0.0
        try:
            return app(environ, start_response)
        finally:
            node.budget.charge(max(0.0, time.thread_time() - began - environ[AWAY]))

    return charged


@contextmanager
def _away(request: Request) -> Iterator[None]:
    """The request waits: what others do with the thread meanwhile is not its to pay."""
    began = time.thread_time()
    try:
        yield
    finally:
        request.env[AWAY] += time.thread_time() - began


def _serialise(request: Request, response: Response, error: falcon.HTTPError) -> None:
    response.content_type = falcon.MEDIA_JSON
    response.data = error_body(error.description or error.title or str(error.status))


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or not low <= int(text) <= high:
        raise falcon.HTTPBadRequest(description=f"{name} is not a number from {low} to {high}")
    return int(text)


def _from_hex(name: str, text: str) -> bytes:
    if not re.fullmatch(r"([0-9a-fA-F]{2})+", text, re.ASCII):
        raise falcon.HTTPBadRequest(description=f"{name} is not hexadecimal")
    return bytes.fromhex(text)


def _line(error: Exception) -> str:
    """The text of an exception on one short line."""
    return "".join(c if c.isprintable() else "?" for c in str(error)[:200])
