"""The HTTP ports of real nodes: submit, prove, watch, and be a nuisance."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster_harness import Cluster, one_line_error, random_transactions, run_command, running, wait_until

pytestmark = pytest.mark.processes

#: clients at a time that send a request one byte after the other
SLOW_CLIENTS = 1000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("http") / "c") as cluster:
        yield cluster


def port(cluster: Cluster, index: int) -> int:
    return cluster.manifest.members[index].http_port


def token(cluster: Cluster, index: int) -> str:
    return (cluster.directory / f"node-{index}" / "http-token").read_text().strip()


def ask(cluster: Cluster, index: int, path: str, body: Any = None, bearer: str = "") -> tuple[int, bytes]:
    """Status and body of the node's reply."""
    connection = HTTPConnection("127.0.0.1", port(cluster, index), timeout=60)
    try:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        connection.request("GET" if data is None else "POST", path, data, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_what_is_submitted_over_http_is_committed_and_proven(cluster: Cluster) -> None:
    sent = random_transactions(20)
    body = {"transactions": [tx.hex() for tx in sent]}
    assert ask(cluster, 1, "/transactions", body, token(cluster, 0))[0] == 401
    status, reply = ask(cluster, 1, "/transactions", body, token(cluster, 1))
    assert (status, msgspec.json.decode(reply)["taken"]) == (202, 20)
    # Every node can prove it, and the proof convinces the command that knows the block's hash only.
    for index in range(4):
        wait_until(lambda i=index: ask(cluster, i, f"/proofs/{sent[0].hex()}")[0] == 200)
    proof = ask(cluster, 3, f"/proofs/{sent[0].hex()}")[1]
    height = msgspec.json.decode(proof)["height"]
    block = msgspec.json.decode(ask(cluster, 2, f"/blocks/{height}")[1])
    assert sent[0].hex() in block["transactions"]
    checked = run_command("ledger", "check-proof", "-", sent[0].hex(), block["hash"], stdin=proof)
    assert checked.returncode == 0, checked.stderr
    # Again: it is durable already.
    again = msgspec.json.decode(ask(cluster, 1, "/transactions", body, token(cluster, 1))[1])
    assert len(again["durable"]) == 20


def test_status_metrics_and_the_view_of_all_nodes(cluster: Cluster) -> None:
    cluster.submit(0, random_transactions(5))
    assert ask(cluster, 0, "/health") == (200, b'{"healthy":true}')
    assert msgspec.json.decode(ask(cluster, 0, "/status")[1])["transactions"] >= 5
    metrics = ask(cluster, 0, "/metrics")[1].decode()
    assert re.search(r'^honeybadger_phase_seconds_count\{phase="agreed"\} [1-9]', metrics, re.MULTILINE)
    assert re.search(r"^honeybadger_transactions_total [1-9]", metrics, re.MULTILINE)

    def complete() -> bool:
        nodes = msgspec.json.decode(ask(cluster, 2, "/cluster")[1])["nodes"]
        return all(node["status"] and node["status"]["transactions"] >= 5 for node in nodes)

    wait_until(complete)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here (Debian package: chromium)")
def test_the_page_of_a_real_node(cluster: Cluster, tmp_path: Path) -> None:
    cluster.submit(0, random_transactions(5))
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"),
            *("--virtual-time-budget=5000", "--dump-dom", f"http://127.0.0.1:{port(cluster, 0)}/"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "4 of 4" in done.stdout
    assert "agreed → " in done.stdout


def test_a_thousand_slow_clients_hold_up_nobody(cluster: Cluster) -> None:
    slow = []
    try:
        for _ in range(SLOW_CLIENTS):
            client = socket.create_connection(("127.0.0.1", port(cluster, 0)), timeout=60)
            client.sendall(b"GET /status HTTP/1.1\r\nX: ")
            slow.append(client)
        heights = cluster.submit(0, random_transactions(200))
        assert len(heights) == 200
        assert ask(cluster, 0, "/health")[0] == 200
        assert ask(cluster, 1, "/health")[0] == 200
    finally:
        for client in slow:
            client.close()


def test_tokens_are_told_to_nobody(cluster: Cluster) -> None:
    ask(cluster, 0, "/transactions", {"transactions": ["zz"]}, token(cluster, 0))
    ask(cluster, 0, "/" + token(cluster, 0), bearer=token(cluster, 0))
    for index in range(4):
        secret = token(cluster, index)
        process = cluster.processes[index]
        for text in (process.log.read_text(), process.events.read_text(), cluster.manifest_path.read_text()):
            assert secret not in text
        for path in ("/status", "/cluster", "/metrics", "/"):
            assert secret.encode() not in ask(cluster, index, path)[1]


def test_an_address_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "c")
    home = cluster.directory / "node-0"
    node = ("node", "--cluster", str(cluster.manifest_path), "--keys", str(home / "keys.toml"), "--data", str(home))
    assert "http_host" in one_line_error(run_command(*node, "--http-host", "a b"))
    said = one_line_error(run_command(*node, "--http-host", "192.0.2.1"))
    assert f"cannot listen on 192.0.2.1:{port(cluster, 0)} (node 0, for HTTP)" in said
    with socket.create_server(("127.0.0.1", port(cluster, 0))):
        assert "Address already in use" in one_line_error(run_command(*node))
    (home / "http-token").write_text("short")
    assert "not a token" in one_line_error(run_command(*node))
