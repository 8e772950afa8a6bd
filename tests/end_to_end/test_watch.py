"""`honeybadger watch` in front of real nodes: submit, prove, watch a node die, and keep secrets."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from support.nodes.cluster_harness import Cluster, random_transactions, run_command, running, wait_until

from honeybadger.cli.main import main

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("watch") / "c") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def page(cluster: Cluster) -> Iterator[str]:
    """Where the watcher answers."""
    watcher = cluster.watch()
    try:
        wait_until(lambda: answers(watcher.page))
        yield watcher.page
    finally:
        watcher.close()


def answers(page: str) -> bool:
    try:
        return ask(page, "health")[0] == 200
    except OSError:
        return False


def ask(page: str, path: str, body: Any = None, bearer: str = "") -> tuple[int, bytes]:
    """Status and body of a reply."""
    connection = HTTPConnection(urlsplit(page).netloc, timeout=60)
    try:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        connection.request("GET" if data is None else "POST", f"/{path}", data, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def token(cluster: Cluster) -> str:
    return (cluster.directory / "http-token").read_text().strip()


def test_what_is_submitted_is_committed_and_proven(cluster: Cluster, page: str) -> None:
    sent = random_transactions(20)
    body = {"transactions": [tx.hex() for tx in sent]}
    assert ask(page, "transactions", body, "x" * 43)[0] == 401
    status, reply = ask(page, "transactions?node=1", body, token(cluster))
    assert (status, msgspec.json.decode(reply)["taken"]) == (202, 20)
    wait_until(lambda: ask(page, f"proofs/{sent[0].hex()}")[0] == 200)
    proof = ask(page, f"proofs/{sent[0].hex()}")[1]
    height = msgspec.json.decode(proof)["height"]
    wait_until(lambda: msgspec.json.decode(ask(page, f"blocks/{height}")[1])["certified"])
    block = msgspec.json.decode(ask(page, f"blocks/{height}")[1])
    assert sent[0].hex() in block["transactions"]
    checked = run_command("ledger", "check-proof", "-", sent[0].hex(), block["hash"], stdin=proof)
    assert checked.returncode == 0, checked.stderr
    again = msgspec.json.decode(ask(page, "transactions?node=1", body, token(cluster))[1])
    assert len(again["durable"]) == 20 and not again["taken"]


def test_status_and_metrics_are_those_of_the_nodes(cluster: Cluster, page: str) -> None:
    cluster.submit(0, random_transactions(5))
    wait_until(lambda: all(one["totals"]["transactions"] >= 5 for one in msgspec.json.decode(ask(page, "status")[1])))

    def complete() -> bool:
        metrics = ask(page, "metrics")[1].decode()
        wanted = (
            r'honeybadger_phase_seconds_count\{node="%d",phase="agreed"\} [1-9]',
            r'honeybadger_transactions_total\{node="%d"\} [1-9]',
            r'honeybadger_cpu_seconds_total\{node="%d"\} [0-9.]*[1-9]',
            r'honeybadger_messages_sent_total\{node="%d",type="\w+"\} [1-9]',
            r'honeybadger_up\{node="%d"\} 1.0',
        )
        return all(re.search(pattern % node, metrics) for pattern in wanted for node in range(4))

    wait_until(complete)


def test_tokens_are_told_to_nobody(cluster: Cluster, page: str) -> None:
    ask(page, "transactions", {"transactions": ["zz"]}, token(cluster))
    ask(page, token(cluster), bearer=token(cluster))
    texts = [process.log.read_text() for process in cluster.processes.values()]
    texts += [(cluster.directory / "watch.log").read_text(), cluster.manifest_path.read_text()]
    texts += [ask(page, path)[1].decode() for path in ("", "status", "cluster", "metrics")]
    assert not any(token(cluster) in text for text in texts)


def test_the_watcher_answers_when_nodes_are_dead_and_when_they_come_back(cluster: Cluster, page: str) -> None:
    for index in (2, 3):
        cluster.processes[index].kill()
    # The two others are well no longer, because they are connected to too few.
    wait_until(lambda: b"0 of 3 needed nodes are well" in ask(page, "health")[1])
    wait_until(lambda: b"node 3: no answer" in ask(page, "health")[1])
    assert ask(page, "health")[0] == 503
    assert ask(page, "status/3")[0] == 503 and ask(page, "blocks/1")[0] == 200
    for index in (2, 3):
        cluster.processes[index].restart()
    wait_until(lambda: ask(page, "health")[0] == 200)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--host", "192.0.2.1", "cannot listen on 192.0.2.1:8100"),
        ("--port", "TAKEN", "Address already in use"),
        ("--token-file", "nowhere", "no such file"),
        ("--token-file", os.devnull, "not a token"),
    ],
)
def test_what_a_person_got_wrong_is_one_line(cluster, monkeypatch, capsys, option, value, says) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        value = value.replace("TAKEN", str(taken.getsockname()[1]))
        monkeypatch.setattr(
            sys, "argv", ["honeybadger", "watch", "--cluster", str(cluster.manifest_path), option, value]
        )
        with pytest.raises(SystemExit):
            main()
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and says in said
