"""A node's numbers tell of connections that it had to cut: real sockets, and messages without end."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from network_helpers import HOST, Endpoint, credentials, free_ports, until
from test_receive_guard import MIB, attack, gone, part

from honeybadger.cluster.manifest import Runtime
from honeybadger.network import receive_guard, transport
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.node import client_api
from honeybadger.node.client_api import ClientApi
from honeybadger.node.observed import Observed
from honeybadger.node.report import Report
from honeybadger.protocols.base import HeldBytes


class FakeMempool:
    bytes = 0

    def __len__(self) -> int:
        return 0


class Bench:
    """The sockets of node 0 of two, without CURVE so that bytes can be sent by hand, and its report."""

    def __init__(self, *, faulty: bool) -> None:
        self.port, other, self.client_port = free_ports(3)
        mine = credentials(2, curve=False)[0]
        self.endpoint = Endpoint(mine, [(HOST, self.port), (HOST, other)], MIB // 8)
        inner = self.endpoint.transport
        outer = FaultyTransport(inner, 0, 2, [], lambda: None) if faulty else inner
        self.clients = ClientApi(self.endpoint.context, mine, (HOST, self.client_port), pytest.fail, dict, lambda: None)
        self.report = Report(
            0,
            "honeybadger",
            Runtime(),
            protocol=SimpleNamespace(epoch=1, status=dict, held_bytes=lambda: HeldBytes({}, 0, 0, 0)),
            chain=SimpleNamespace(height=0, durable_height=0, tip_hash=bytes(32), transaction_count=0),
            mempool=FakeMempool(),
            application=SimpleNamespace(pending=[]),
            transport=outer,
            peers=SimpleNamespace(links={}, held_bytes_cap=0, messages_sent={}, bytes_sent={}),
            clients=self.clients,
            reactor=SimpleNamespace(longest_tick_s=0.5, ticks=3, messages_handled=9),
            faults={(1, "BAD_FRAME"): 2},
            observed=Observed(),
            silent_through=lambda: 0,
            needed=0,
        )

    def step(self) -> None:
        self.endpoint.serve()
        self.clients.serve()
        gevent.sleep(0)

    def told(self) -> tuple[int, int]:
        """Connections cut, of peers and of clients, by status and usage."""
        status, usage = self.report.status(), self.report.usage()
        assert status["connections_cut"] == usage["connections_cut"]
        return status["connections_cut"]["peers"], status["connections_cut"]["clients"]

    def connect(self, port: int, mechanism: bytes) -> socket.socket:
        raw = socket.create_connection((HOST, port))
        raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32))
        return raw

    def hear(self, raw: socket.socket, wanted: bytes) -> None:
        raw.setblocking(False)
        answer = b""

        def step() -> None:
            nonlocal answer
            self.step()
            try:
                answer += raw.recv(1000)
            except BlockingIOError:
                return

        until(lambda: wanted in answer, step)
        raw.setblocking(True)
        raw.settimeout(10)

    def peer(self) -> socket.socket:
        """Node 1, as PLAIN has it."""
        raw = self.connect(self.port, b"PLAIN")
        raw.sendall(command(b"HELLO", b"\x011" + b"\x0cnot a secret"))
        self.hear(raw, b"WELCOME")
        raw.sendall(command(b"INITIATE", b"\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH"))
        self.hear(raw, b"READY")
        return raw

    def client(self) -> socket.socket:
        raw = self.connect(self.client_port, b"NULL")
        raw.sendall(command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"))
        self.hear(raw, b"READY")
        return raw

    def close(self) -> None:
        self.report.close()
        self.clients.close(0)
        self.endpoint.close()


def command(name: bytes, body: bytes) -> bytes:
    return b"\x04" + bytes([1 + len(name) + len(body), len(name)]) + name + body


@pytest.fixture(params=[False, True], ids=["plain links", "faulty links"])
def bench(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(receive_guard, "OVERHEAD_BYTES", MIB // 8)
    monkeypatch.setattr(transport, "IN_FLIGHT_BYTES", MIB)
    monkeypatch.setattr(client_api, "LONGEST_REQUEST", MIB)
    monkeypatch.setattr(client_api, "UNFINISHED_BYTES", MIB)
    made = Bench(faulty=request.param)
    yield made
    made.close()


def test_connections_that_are_cut_are_told(bench: Bench) -> None:
    peer, client = bench.peer(), bench.client()
    assert bench.told() == (0, 0)
    attack(peer)
    until(lambda: gone(peer), bench.step)
    assert bench.told() == (1, 0)
    client.sendall(part(10, more=False))
    attack(client)
    until(lambda: gone(client), bench.step)
    assert bench.told() == (1, 1)
    for raw in (peer, client):
        raw.close()


def test_the_longest_tick_is_told_once(bench: Bench) -> None:
    assert [bench.report.usage()["longest_tick_s"] for _ in range(2)] == [0.5, 0.0]
