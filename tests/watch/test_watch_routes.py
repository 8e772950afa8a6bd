"""What the watcher answers, and refuses, on behalf of four nodes that tell the truth."""

import re
from typing import Any

import pytest
from support.requests import committed, refused
from support.watch import CHAIN, MANY, TOKEN, Watched, node_status, watched

from honeybadger.ledger.proof import Proof, verify_proof
from honeybadger.network.client_protocol import MOST_TRANSACTIONS
from honeybadger.watch import api


def test_health_status_and_overview(cluster: Watched) -> None:
    assert cluster.get("/health")["healthy"] is True
    assert [status["height"] for status in cluster.get("/status")] == [1234, 1235, 1236, 1237]
    assert cluster.get("/status/2") == node_status(2)
    overview = cluster.get("/cluster")
    assert overview["chain"] == cluster.manifest.chain_id.hex() and overview["tolerates"] == 1
    assert [node["status"]["height"] for node in overview["nodes"]] == [1234, 1235, 1236, 1237]
    assert all(node["age_s"] < 4 and "usage" not in node["status"] for node in overview["nodes"])


def test_health_needs_all_but_f_nodes(cluster: Watched) -> None:
    cluster.nodes[1].status = lambda: node_status(1, unwell="connected to 0 other nodes of 2 needed")
    cluster.until(lambda: cluster.get("/health")["well"] == 3)
    cluster.nodes[3].status = lambda: node_status(3, unwell="silent through epoch 9")
    cluster.until(lambda: cluster.ask("/health")[0] == 503)
    why = cluster.get("/health", 503)
    assert why.startswith("2 of 3 needed nodes are well; node 1: connected to 0 other")
    assert "node 3: silent through epoch 9" in why


def test_a_dead_node_is_said_to_be_dead(cluster: Watched) -> None:
    cluster.nodes[2].status = lambda: None
    cluster.until(lambda: cluster.get("/status")[2] is None)
    assert "node 2 does not answer" in cluster.get("/status/2", 503)
    assert cluster.get("/cluster")["nodes"][2] == {"node": 2, "age_s": None, "status": None}
    assert cluster.get("/health")["well"] == 3
    metrics = cluster.ask("/metrics")[2].decode()
    assert 'honeybadger_up{node="2"} 0.0' in metrics and 'height{node="2"}' not in metrics
    assert "node 2 does not answer" in cluster.post({"transactions": ["00"]}, 503, query="?node=2")
    assert cluster.get("/blocks/4?limit=0")["tx_count"] == 1


def test_a_certified_block_comes_from_one_node_and_page_by_page(cluster: Watched) -> None:
    header = CHAIN.blocks[1].header
    page = cluster.get("/blocks/2")
    assert (page["hash"], page["tx_count"], page["proposers"]) == (header.hash.hex(), 2500, [0, 1])
    assert page["certified"] is True and len(page["confirmed_by"]) == 1
    assert page["transactions"] == [tx.hex() for tx in MANY[:100]] and page["next"] == 100
    listed: list[str] = []
    first: int | None = 0
    asked = sum(node.asked for node in cluster.nodes)
    while first is not None:
        page = cluster.get(f"/blocks/2?from={first}&limit=1000")
        listed += page["transactions"]
        first = page["next"]
    assert listed == [tx.hex() for tx in MANY]
    assert sum(node.asked for node in cluster.nodes) == asked, "header and block were kept"
    assert cluster.get("/blocks/2?limit=0")["transactions"] == cluster.get("/blocks/2?from=2500")["transactions"] == []


def test_a_page_of_large_transactions_is_bounded(cluster: Watched) -> None:
    page = cluster.get("/blocks/3?limit=1000")
    assert len(page["transactions"]) == page["next"] == 2
    assert len(cluster.get("/blocks/3?from=9")["transactions"]) == 1


def test_a_block_without_a_certificate_is_marked_with_the_f_plus_one_nodes_that_confirm_it(cluster: Watched) -> None:
    page = cluster.get("/blocks/4")
    assert page["certified"] is False and len(set(page["confirmed_by"])) == 2
    assert page["transactions"] == [b"newest".hex()]


def test_proofs_convince(cluster: Watched) -> None:
    for transaction in (b"first", b"tx 2499", b"newest"):
        proof = Proof.from_dict(cluster.get(f"/proofs/{transaction.hex()}"))
        assert verify_proof(proof, transaction, CHAIN.blocks[proof.height - 1].header.hash)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/blocks/9", 404, "no block 9"),
        ("/blocks/0", 400, "the height is not a number from 1"),
        ("/blocks/x", 400, "the height"),
        ("/blocks/4294967296", 400, "the height"),
        ("/blocks/1?from=-1", 400, "from is not"),
        ("/blocks/1?limit=1001", 400, "limit is not a number from 0 to 1000"),
        ("/blocks/%D9%A1", 400, "the height"),
        ("/status/4", 400, "the node is not a number from 0 to 3"),
        ("/status/x", 400, "the node"),
        ("/proofs/abc", 400, "not hexadecimal"),
        ("/proofs/6e6f", 404, "not in the ledger"),
        ("/nothing", 404, "Not Found"),
        ("/transactions", 405, "Method Not Allowed"),
    ],
)
def test_refusals_are_one_line_of_json(cluster: Watched, path: str, status: int, says: str) -> None:
    assert says in cluster.get(path, status)


@pytest.mark.parametrize("path", ["/", "/health", "/status", "/status/1", "/metrics", "/blocks/1", "/blocks/9", "/no"])
def test_head_is_get_without_the_body(cluster: Watched, path: str) -> None:
    head, get = cluster.ask(path, method="HEAD"), cluster.ask(path)
    assert head[0] == get[0] and head[2] == b""
    assert head[1]["content-type"] == get[1]["content-type"]
    assert path == "/metrics" or head[1]["content-length"] == str(len(get[2]))


def test_transactions_go_to_a_node_and_what_it_does_not_take_is_named(cluster: Watched) -> None:
    sent = ["6e6577", b"second".hex(), "00" * 101, "AbCd"]
    reply = cluster.post({"transactions": sent}, 202, query="?node=3")
    assert reply == {
        "node": 3,
        "taken": 2,
        "durable": [{"position": 1, "height": 1}],
        "refused": [{"position": 2, "reason": "too long"}],
    }
    assert cluster.nodes[3].submitted == [b"new", b"\xab\xcd"]
    used = {cluster.post({"transactions": ["00"]}, 202)["node"] for _ in range(4)}
    assert used == {0, 1, 2, 3}
    cluster.nodes[1].status = lambda: node_status(1, unwell="silent through epoch 9")
    cluster.until(lambda: cluster.get("/health")["well"] == 3)
    assert 1 not in {cluster.post({"transactions": ["00"]}, 202)["node"] for _ in range(4)}


def test_what_a_node_says_of_a_submission_is_bounded(cluster: Watched) -> None:
    cluster.nodes[0].submit = lambda request: [  # type: ignore[method-assign]
        committed(request.request + 1, 3, 0, [0]),
        committed(request.request, 3, 0, [1, 2, 65_535]),
        refused(request.request, "<b>" * 1000, [0]),
        refused(request.request, "<b>", [0]),
        refused(request.request, "full", list(range(5000))),
    ]
    reply = cluster.post({"transactions": ["00", "01"]}, 202, query="?node=0")
    assert reply["taken"] == 0 and reply["durable"] == [{"position": 1, "height": 3}]
    assert reply["refused"] == [{"position": 0, "reason": "other"}]


NO_TOKEN = ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer "]


@pytest.mark.parametrize("headers", [{}, *({"Authorization": given} for given in NO_TOKEN)])
def test_without_the_token_nothing_is_taken(cluster: Watched, headers: dict[str, str]) -> None:
    assert TOKEN not in cluster.post({"transactions": ["00"]}, 401, headers)
    assert not any(node.submitted for node in cluster.nodes)


def test_without_a_token_nobody_may_submit() -> None:
    with watched(token="") as cluster:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}"}):
            assert "no token" in cluster.post({"transactions": ["00"]}, 403, headers)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        *((body, "not as it should be") for body in (b"", b"\xff\xfe", b'{"transactions": ' + b"[" * 100_000, {})),
        ({"transactions": []}, "not as it should be"),
        ({"transactions": [None]}, "not as it should be"),
        ({"transactions": ["00"], "more": 1}, "not as it should be"),
        ({"transactions": ["00"] * (MOST_TRANSACTIONS + 1)}, "not as it should be"),
        ({"transactions": [""]}, "transactions[0] is not hexadecimal"),
        ({"transactions": ["00", " 00"]}, "transactions[1] is not hexadecimal"),
        ({"transactions": ["00\n"]}, "transactions[0] is not hexadecimal"),
        ({"transactions": ["\u0660\u0660"]}, "transactions[0] is not hexadecimal"),
    ],
)
def test_malformed_bodies_are_refused(cluster: Watched, body: Any, says: str) -> None:
    said = cluster.post(body, 400)
    assert says in said and said.isprintable() and len(said) < 300
    assert not any(node.submitted for node in cluster.nodes) and not cluster.said


def test_a_bug_is_an_answer_and_a_line(cluster: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_number", lambda *_: 1 / 0)
    assert cluster.get("/blocks/1", 500) == "this is a bug of ours"
    cluster.until(lambda: cluster.said)
    assert cluster.said == ["HTTP: ZeroDivisionError: division by zero"]
    cluster.said.clear()


def test_metrics_of_all_nodes_have_the_label_node(cluster: Watched) -> None:
    status, headers, body = cluster.ask("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=")
    text = body.decode()
    series = re.findall(r"^(\w+)(?:\{(.*?)\})? (\S+)$", text, re.MULTILINE)
    labels = {name: set(re.findall(r'(\w+)="', given)) for name, given, _ in series}
    own = {name for name, used in labels.items() if "node" not in used}
    assert all(name.startswith(("process_", "honeybadger_watch_replies", "honeybadger_cluster_info")) for name in own)
    more = {name: used - {"node"} for name, used in labels.items() if name not in own and used != {"node"}}
    assert set(map(frozenset, more.values())) <= {frozenset({"phase"}), frozenset({"type"}), frozenset({"kind"})}
    for line in (
        'honeybadger_block_height{node="3"} 1237.0',
        'honeybadger_transactions_total{node="0"} 70.0',
        'honeybadger_cpu_seconds_total{node="1"} 1.5',
        'honeybadger_phase_seconds_sum{node="2",phase="agreed"} 1.5',
        'honeybadger_messages_sent_total{node="0",type="Echo"} 9.0',
        'honeybadger_resident_memory_bytes{node="0"} 1000.0',
    ):
        assert line in text, line


def test_a_lying_node_cannot_fill_the_metrics(cluster: Watched) -> None:
    many = {f"name{i}": [1, 1.0] for i in range(10)}
    cluster.nodes[3].status = lambda: node_status(
        3,
        faults=[[1, "BAD_BRANCH", 7], [1, "NO_SUCH_KIND", 1], [99, "BAD_BRANCH", 5]],
        totals={"phases": many},
        usage={"messages_sent": {"name0": 1}},
    )
    cluster.until(lambda: "BAD_BRANCH" in cluster.ask("/metrics")[2].decode())
    text = cluster.ask("/metrics")[2].decode()
    assert 'honeybadger_faults_total{kind="BAD_BRANCH",node="3"} 12.0' in text
    assert 'honeybadger_accused{node="1"} 8.0' in text
    assert "name0" not in text and "NO_SUCH_KIND" not in text and 'node="99"' not in text
