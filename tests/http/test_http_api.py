"""What the HTTP port answers, without sockets: tokens, transactions, blocks, proofs, health."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import falcon.testing
import msgspec
import pytest
from http_helpers import error_of, read_reply, serving, wait_until

from honeybadger.http import blocks as blocks_module
from honeybadger.http.api import Node, make_application
from honeybadger.http.blocks import BlockReader
from honeybadger.http.budget import CpuShare
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.proof import Proof, verify_proof
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.client_protocol import MOST_TRANSACTIONS
from honeybadger.node.application import NodeApplication, Submission
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.parameters import Parameters

CHAIN_ID = bytes(range(32))
TOKEN = "a-token-of-at-least-twenty-characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Fixture:
    """A ledger of three durable blocks and one that is not durable yet, a small mempool, and a client."""

    def __init__(self, token: str = TOKEN) -> None:
        self.store = SQLiteStore(Path("unused"), "memory", chain_id=CHAIN_ID)
        self.chain = Chain(self.store, CHAIN_ID)
        self.many = [b"tx %d" % i for i in range(2500)]
        self.chain.extend(1, [(0, [b"first", b"second"])])
        self.chain.extend(2, [(0, self.many[:1500]), (2, self.many[1500:])])
        self.chain.extend(3, [(1, [bytes([i]) * 200_000 for i in range(10)])])
        self.chain.flush()
        self.chain.extend(4, [(1, [b"not yet"])])
        self.mempool = Mempool(5, 1000, 100)
        self.application = NodeApplication(4, Parameters(), self.mempool, self.chain)
        self.why = ""
        self.said: list[str] = []
        self.budget = CpuShare(lambda: False)
        self.reader = BlockReader(self.store, self.budget)
        self.client = falcon.testing.TestClient(self.made(token))

    def made(self, token: str) -> Any:
        return make_application(self.node(token))

    def node(self, token: str) -> Node:
        unused: Any = None
        return Node(
            lambda: {"height": 3},
            lambda: self.why,
            unused,
            lambda: b"metrics",
            self.submit,
            self.committed,
            self.reader,
            self.budget,
            token,
            self.said.append,
        )

    def submit(self, transactions: Sequence[bytes]) -> Submission:
        return self.application.submit(Request(b"", 0), transactions)

    def committed(self, transaction: bytes) -> int | None:
        height = self.chain.committed([transaction]).get(transaction)
        return height if height is not None and height <= self.chain.durable_height else None

    def get(self, path: str, status: int = 200) -> Any:
        reply = self.client.simulate_get(path)
        assert reply.status_code == status, reply.text
        assert reply.headers["x-content-type-options"] == "nosniff"
        return reply.json["error"] if status >= 400 else reply.json

    def post(self, body: Any, status: int, headers: dict[str, str] | None = None) -> Any:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        reply = self.client.simulate_post("/transactions", body=data, headers=BEARER if headers is None else headers)
        assert reply.status_code == status, reply.text
        return reply.json["error"] if status >= 400 else reply.json


@pytest.fixture
def node() -> Iterator[Fixture]:
    fixture = Fixture()
    yield fixture
    fixture.reader.close()


def test_transactions_are_taken_and_what_is_not_is_named(node: Fixture) -> None:
    sent = ["6e6577", b"second".hex(), "", "00" * 101, "AbCd"]
    assert "transactions[2] is not hexadecimal" in node.post({"transactions": sent}, 400)
    assert len(node.mempool) == 0
    sent[2] = b"old".hex()
    assert node.post({"transactions": sent}, 202) == {
        "taken": 3,
        "durable": [{"position": 1, "height": 1}],
        "refused": [{"position": 3, "reason": "too long"}],
    }
    assert node.mempool.select(5, 10, 10, 1000) == [b"new", b"old", b"\xab\xcd"]


PATHS = ["/", "/health", "/status", "/metrics", "/blocks/1", "/blocks/9", "/blocks/x", "/proofs/00", "/nothing"]


@pytest.mark.parametrize("path", [*PATHS, f"/proofs/{b'first'.hex()}", "/blocks/1?limit=0"])
def test_head_is_get_without_the_body(node: Fixture, path: str) -> None:
    head, get = node.client.simulate_head(path), node.client.simulate_get(path)
    assert head.status_code == get.status_code and head.headers == get.headers
    assert head.content == b"" and len(get.content) == int(head.headers["content-length"])
    assert node.client.simulate_head("/transactions").status_code == 405


@pytest.mark.parametrize("path", ["/status", "/blocks/1", "/"])
def test_head_leaves_the_connection_to_the_next_request(node: Fixture, path: str) -> None:
    with serving(node.made(TOKEN)) as served, served.connect() as client:
        for method in ("HEAD", "HEAD", "GET"):
            client.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            status, headers, body = read_reply(client, with_body=method == "GET")
            assert status == 200 and (len(body) == int(headers["content-length"])) == (method == "GET")


def test_the_limits_of_the_mempool_hold(node: Fixture) -> None:
    reply = node.post({"transactions": [f"{i:02x}" for i in range(8)]}, 202)
    assert reply["taken"] == 5
    assert reply["refused"] == [{"position": p, "reason": "full"} for p in (5, 6, 7)]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN} "[:-1] + "\u00e9"},
        {"Authorization": "Bearer "},
    ],
)
def test_without_the_token_nothing_is_taken(node: Fixture, headers: dict[str, str]) -> None:
    said = node.post({"transactions": ["00"]}, 401, headers)
    assert TOKEN not in said
    assert len(node.mempool) == 0


def test_without_a_token_of_the_node_nobody_may_submit() -> None:
    node = Fixture(token="")
    for headers in ({}, {"Authorization": "Bearer "}, BEARER):
        assert "no token" in node.post({"transactions": ["00"]}, 403, headers)
    node.reader.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not as it should be"),
        (b"\xff\xfe", "not as it should be"),
        (b'{"transactions": ["00"]', "not as it should be"),
        (b"[" * 100_000, "not as it should be"),
        (b'{"transactions": ' + b"[" * 100_000, "not as it should be"),
        ([], "not as it should be"),
        ({}, "not as it should be"),
        ({"transactions": []}, "not as it should be"),
        ({"transactions": "00"}, "not as it should be"),
        ({"transactions": [0]}, "not as it should be"),
        ({"transactions": [None]}, "not as it should be"),
        ({"transactions": ["00"], "more": 1}, "not as it should be"),
        ({"transactions": ["00"] * (MOST_TRANSACTIONS + 1)}, "not as it should be"),
        ({"transactions": ["0"]}, "transactions[0] is not hexadecimal"),
        ({"transactions": ["00", " 00"]}, "transactions[1] is not hexadecimal"),
        ({"transactions": ["00\n"]}, "transactions[0] is not hexadecimal"),
        ({"transactions": ["\u0660\u0660"]}, "transactions[0] is not hexadecimal"),
    ],
)
def test_malformed_bodies_are_refused(node: Fixture, body: Any, says: str) -> None:
    said = node.post(body, 400)
    assert says in said
    assert said.isprintable() and len(said) < 300
    assert len(node.mempool) == 0 and not node.said


def test_a_block_comes_with_a_page_of_its_transactions(node: Fixture) -> None:
    header = node.store.header(2)
    assert header is not None
    page = node.get("/blocks/2")
    assert (page["hash"], page["tx_count"], page["proposers"]) == (header.hash.hex(), 2500, [0, 2])
    assert page["transactions"] == [tx.hex() for tx in node.many[:100]]
    assert page["next"] == 100
    everything: list[str] = []
    first: int | None = 0
    while first is not None:
        page = node.get(f"/blocks/2?from={first}&limit=1000")
        everything += page["transactions"]
        first = page["next"]
    assert everything == [tx.hex() for tx in node.many]
    assert node.get("/blocks/2?limit=0")["transactions"] == []
    assert node.get("/blocks/2?from=2500")["transactions"] == []


def test_a_page_of_large_transactions_is_bounded(node: Fixture) -> None:
    page = node.get("/blocks/3?limit=1000")
    assert len(page["transactions"]) == 2
    assert page["next"] == 2
    before = node.budget.used_s
    assert node.reader.page(2, 0, 1000, "somebody") is not None
    assert node.budget.used_s > before


def test_what_is_no_block_is_said(node: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("0", "-1", "x", "1.0", "99999999999", "4294967296", "%31%00", "１"):
        assert "the height is not a number" in node.get(f"/blocks/{path}", 400)
    for query in ("from=-1", "from=x", "limit=1001", "limit=", "limit=1e3", "from=0&from=1"):
        reply = node.client.simulate_get("/blocks/2?" + query)
        assert reply.status_code in (200, 400)
        assert reply.status_code == 400 or query in ("limit=", "from=0&from=1")
    # Not durable yet, and not there.
    assert "no block 4" in node.get("/blocks/4", 404)
    assert "no block 5" in node.get("/blocks/5", 404)
    monkeypatch.setattr(blocks_module, "LARGEST_BODY", 1000)
    assert "larger than" in node.get("/blocks/2", 422)
    assert node.get("/blocks/2?limit=0")["tx_count"] == 2500


@pytest.mark.parametrize("transaction", [b"first", b"tx 0", b"tx 2499"])
def test_a_proof_convinces_whoever_knows_the_block(node: Fixture, transaction: bytes) -> None:
    proof = Proof.from_dict(node.get(f"/proofs/{transaction.hex()}"))
    header = node.store.header(proof.height)
    assert header is not None
    assert verify_proof(proof, transaction, header.hash)
    assert not verify_proof(proof, transaction + b"!", header.hash)


def test_what_is_not_durable_has_no_proof(node: Fixture) -> None:
    for transaction in (b"not yet", b"unknown"):
        assert "not in the ledger" in node.get(f"/proofs/{transaction.hex()}", 404)
    for text in ("0", "zz", "%20"):
        assert "not hexadecimal" in node.get(f"/proofs/{text}", 400)
    assert node.get("/proofs/", 400)


def test_a_block_is_opened_once_for_all_its_pages(node: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    block = node.store.block

    def noted(height: int) -> Any:
        opened.append(height)
        return block(height)

    monkeypatch.setattr(node.store, "block", noted)
    for height in (2, 2, 1, 1, 2):
        assert node.get(f"/blocks/{height}?limit=1")["height"] == height
    assert opened == [2, 1, 2]
    # What is large is not kept.
    monkeypatch.setattr(blocks_module, "KEPT_BODY", 100)
    for _ in range(2):
        node.get("/blocks/3?limit=1")
    assert opened == [2, 1, 2, 3, 3]


def test_who_gets_no_turn_to_read_a_block_is_told(node: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "PATIENCE_S", 0.1)
    node.budget.charge(1000)
    reply = node.client.simulate_get("/blocks/2")
    assert (reply.status_code, list(reply.json), reply.headers["retry-after"]) == (503, ["error"], "10")
    # What needs no block is answered.
    assert node.get("/blocks/2?limit=0")["tx_count"] == 2500
    node.budget.charge(-1000)
    assert node.get("/blocks/2")["tx_count"] == 2500


def test_a_damaged_block_is_said_and_does_not_end_the_node(node: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(height: int) -> Any:
        raise LedgerError("block 2 has no body")

    monkeypatch.setattr(node.store, "block", damaged)
    assert "cannot be read" in node.get("/blocks/2", 500)
    assert node.said == ["HTTP: block 2 has no body"]


def test_a_bug_is_one_line_for_us_and_nothing_for_the_client(node: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(height: int) -> Any:
        raise KeyError("a\nsecret")

    monkeypatch.setattr(node.store, "header", bug)
    assert "secret" not in node.get("/blocks/2", 500)
    assert len(node.said) == 1 and "KeyError" in node.said[0] and node.said[0].isprintable()


def test_a_client_that_leaves_within_its_body_is_no_bug(node: Fixture) -> None:
    head = f"POST /transactions HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n".encode()
    with serving(node.made(TOKEN)) as served:
        with served.connect() as client:
            client.sendall(head + b'{"trans')
            client.shutdown(socket.SHUT_WR)
            assert "ended before" in error_of(read_reply(client), 400)
        wait_until(lambda: served.replies[400] == 1)
        assert not served.said
    assert not node.said and len(node.mempool) == 0


def test_health_says_why_not(node: Fixture) -> None:
    assert node.get("/health") == {"healthy": True}
    node.why = "connected to 0 other nodes"
    assert node.get("/health", 503) == "connected to 0 other nodes"
    assert node.client.simulate_head("/health").status_code == 503


def test_other_paths_and_methods_are_refused_with_json(node: Fixture) -> None:
    for path in ("/x", "/blocks", "/blocks/1/2", "/../etc/passwd", "/proofs/%ff"):
        assert node.get(path, 400 if "%ff" in path else 404)
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        reply = node.client.simulate_request(method, "/blocks/1", headers=BEARER)
        assert reply.status_code == 405 and list(reply.json) == ["error"]
    reply = node.client.simulate_get("/transactions")
    assert reply.status_code == 405


def test_no_other_origin_is_let_in(node: Fixture) -> None:
    reply = node.client.simulate_get("/status", headers={"Origin": "http://evil.example"})
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_the_page_may_run_only_its_own_script(node: Fixture) -> None:
    reply = node.client.simulate_get("/")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "innerHTML" not in reply.text
    assert "http://" not in reply.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in reply.text
