"""A node that lost its votes says nothing for a while: whoever asks it is told so, and so is whoever submits to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gevent
import msgspec
import pytest
from gevent import socket
from lone_node import Home
from network_helpers import until

from honeybadger.node import journal
from honeybadger.node.mempool import Request


def get(port: int, path: str) -> tuple[int, Any]:
    """Status and JSON of a reply."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while part := client.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), msgspec.json.decode(body)


def test_a_silent_node_says_so_and_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.run(b"a")
    shutil.rmtree(tmp_path / "journal")
    monkeypatch.setattr(journal, "LOST_MARGIN", 2)
    node = home.node()
    running = gevent.spawn(node.run)
    client = Request(b"", 0)
    try:
        status = node.report.status()
        assert status["silent_through"] == 3
        assert "silent through epoch 3 (now 2)" in status["unwell"]
        assert get(home.http_port, "/health") == (503, {"error": status["unwell"]})
        assert get(home.http_port, "/status")[1]["silent_through"] == 3
        assert get(home.http_port, "/cluster")[1]["nodes"][0]["status"]["silent_through"] == 3
        submission = node.application.submit(client, [b"b", b"a", b""])
        assert submission.durable == {1: [1]}, "what is committed already needs no proposal"
        assert submission.refusal.positions == {"silent": [0, 2]}
        assert len(node.mempool) == 0
        for transaction in (b"c", b"d"):
            # As if others had proposed it.
            node.mempool.add(client, [transaction])
            node.wake.set()
            until(lambda: not len(node.mempool))
        assert (node.protocol.epoch, node.chain.height) == (4, 3)
        assert node.report.status()["silent_through"] == 0
        assert node.report.status()["unwell"] == ""
        until(lambda: get(home.http_port, "/health") == (200, {"healthy": True}))
        assert not node.application.submit(client, [b"b"]).refusal.positions
    finally:
        node.stop()
        running.get(timeout=20)
