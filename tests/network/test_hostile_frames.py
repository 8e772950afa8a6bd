"""Hostile peers at the sockets and at the main loop: what one of them sends delays nobody else and fills no memory."""

from __future__ import annotations

import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import zmq
from gevent.event import Event
from network_helpers import HOST, Endpoint, credentials, free_ports, until

from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import LONGEST_REQUEST, Status, StatusRequest, Submit
from honeybadger.network.codec import DATA, HELLO, Codec, Header, Hello
from honeybadger.network.security import secure_client, secure_peer
from honeybadger.node.application import Submission
from honeybadger.node.client_api import ClientApi
from honeybadger.node.mempool import Refusal
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Reactor
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import MESSAGE_TYPES

CODEC = Codec(MESSAGE_TYPES, 1000)
OURS = Hello(bytes(32), {})
GREETING = CODEC.encode_hello(OURS)
SESSION = 77


def header(kind: int, session: int = 5) -> bytes:
    return Header(kind, session, 1, 1, SESSION, 0, 9, 0).encode()


#: messages without an entry that is new: each costs the sender a few bytes
EMPTY: dict[str, list[bytes]] = {
    "garbage": [b"x"],
    "no header": [b"x" * 58, b"y"],
    "acknowledgement": [header(DATA)],
    "old session": [header(DATA, 6), b"\x90"],
    "greeting": [header(HELLO), GREETING],
    "greeting without settings": [header(HELLO)],
    "seen before": [header(DATA), b"\x90"],
}


class EndlessTransport:
    """A peer that sends faster than it is read; `patience` ends a main loop that never looks up."""

    def __init__(self, frames: list[bytes], patience: int) -> None:
        self.frames = [zmq.Frame(frame) for frame in frames]
        self.patience = patience
        self.read = 0

    def receive(self) -> tuple[int, list[Any]] | None:
        self.read += 1
        return (1, self.frames) if self.read < self.patience else None

    def reset(self, peer: int) -> None:
        """Nothing is queued here."""


@pytest.mark.parametrize("name", EMPTY)
def test_messages_without_entries_end_a_tick_too(name: str) -> None:
    """One faulty peer could keep all nodes reading for ever: nothing was sent, no client served, no order obeyed."""
    transport = EndlessTransport(EMPTY[name], patience=20_000)
    faults: list[tuple[int, FaultKind]] = []
    peers: Any = Peers(
        0,
        4,
        SESSION,
        1 << 20,
        CODEC,
        transport,  # type: ignore[arg-type]
        OURS,
        lambda hello: "",
        lambda peer, why: None,
        lambda peer, up, failure: None,
        lambda node, kind, detail: faults.append((node, kind)),
    )
    peers.links[1].incoming.session = 5
    peers.links[1].incoming.processed = 1
    unused: Any = None
    reactor = Reactor(
        0, unused, lambda sender, message: None, peers, unused, unused, unused, unused, lambda: True, unused, Event()
    )
    # A tick whose time is up before it began takes one message and no more.
    assert reactor._take_from_peers(time.monotonic() - 1)
    assert transport.read < 10
    assert {node for node, _ in faults} <= {1}


def memory() -> int:
    """Resident bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


Server = tuple[Endpoint, Any, int]


@pytest.fixture
def server() -> Iterator[Server]:
    """Node 0 of three, with CURVE."""
    members, ports = credentials(3), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports], longest_part=1 << 16)
    yield endpoint, members, ports[0]
    endpoint.close()


def connect(endpoint: Endpoint, member: Any, port: int) -> Any:
    push = endpoint.context.socket(zmq.PUSH)
    push.linger = 0
    secure_peer(push, member, 0)
    push.connect(f"tcp://{HOST}:{port}")
    return push


@pytest.mark.parametrize("count", [2, 64, 65, 66, 20_000])
def test_thousands_of_parts_arrive_as_one_message_of_one_peer(server: Server, count: int) -> None:
    endpoint, members, port = server
    bad, good = connect(endpoint, members[1], port), connect(endpoint, members[2], port)
    bad.send_multipart([b""] * count)
    good.send(b"still here")
    until(lambda: len(endpoint.received) == 2, endpoint.serve)
    assert sorted((sender, len(parts)) for sender, parts in endpoint.received) == [(1, count), (2, 1)]
    bad.close(0)
    good.close(0)


def raw_member(port: int, name: bytes, serve: Callable[[], None]) -> socket.socket:
    """A ZMTP 3.0 connection of a member without CURVE, by hand: ZeroMQ itself sends no unfinished message."""
    raw = socket.create_connection((HOST, port))
    raw.settimeout(5)
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"PLAIN".ljust(20, b"\0") + bytes(32))
    command(raw, b"\x05HELLO" + bytes([len(name)]) + name + b"\x01x")
    answer = b""

    def welcomed() -> bool:
        nonlocal answer
        if select.select([raw], [], [], 0)[0]:
            answer += raw.recv(1000)
        return answer.endswith(b"\x07WELCOME")

    until(welcomed, serve)
    command(raw, b"\x08INITIATE\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH")
    return raw


def command(raw: socket.socket, body: bytes) -> None:
    raw.sendall(b"\x04" + bytes([len(body)]) + body)


def frame(size: int, *, more: bool) -> bytes:
    """A long frame of zeros."""
    return bytes([2 | more]) + struct.pack(">Q", size) + bytes(size)


@pytest.mark.parametrize("ends", [True, False])
def test_a_message_without_end_is_not_held_without_limit(ends: bool) -> None:
    """A member sends 400 parts of 1 MiB: as messages of four they are taken, as one that goes on they must not be kept.

    The same with CURVE and at the clients' port: below.
    """
    members, ports = credentials(2, curve=False), free_ports(2)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports], longest_part=2 << 20)
    raw = raw_member(ports[0], b"1", endpoint.serve)
    try:
        before = memory()
        parts, most = 0, 0
        for number in range(1, 401):
            try:
                raw.sendall(frame(1 << 20, more=not ends or bool(number % 4)))
            except OSError:
                # It was cut off: what would come now is no longer part of a message.
                break
            endpoint.serve()
            parts += sum(len(message) for _, message in endpoint.received)
            endpoint.received.clear()
            most = max(most, memory() - before)
        if ends:
            until(lambda: parts + sum(len(message) for _, message in endpoint.received) == 400, endpoint.serve)
        else:
            gevent.sleep(0.5)
            endpoint.serve()
            assert max(most, memory() - before) < 256 << 20
    finally:
        raw.close()
        endpoint.close()


def unfinished(socket: Any, parts: int) -> Any:
    """Begin to send `parts` parts of 1 MiB as one message; returns the monitor that tells when it is disconnected."""
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    # One buffer for all, so that this side needs no memory.
    socket.send_multipart([zmq.Frame(bytes(1 << 20), copy=False)] * parts, copy=False)
    return monitor


def test_a_member_with_curve_is_cut_and_the_others_are_served() -> None:
    """ZeroMQ sends a message that would end, after 800 MiB: more than a peer may have in flight."""
    members, ports = credentials(3), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports], longest_part=2 << 20)
    bad, good = connect(endpoint, members[1], ports[0]), connect(endpoint, members[2], ports[0])
    good.send(b"before")
    until(lambda: endpoint.received, endpoint.serve)
    before, most = memory(), 0
    monitor = unfinished(bad, 800)

    def step() -> None:
        nonlocal most
        endpoint.serve()
        most = max(most, memory() - before)

    until(lambda: monitor.poll(0), step)
    good.send(b"after")
    until(lambda: len(endpoint.received) == 2, endpoint.serve)
    assert [sender for sender, _ in endpoint.received] == [2, 2]
    assert most < 500 << 20
    bad.disable_monitor()
    for each in (bad, good, monitor):
        each.close(0)
    endpoint.close()


@pytest.mark.parametrize("curve", [True, False], ids=["curve", "plain"])
def test_a_client_without_end_is_cut_and_the_others_are_served(curve: bool) -> None:
    """Anybody may connect here, so this needs no key that the node knows."""
    members, ports = credentials(2, curve), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports[:2]])
    unused: Any = None
    api = ClientApi(endpoint.context, members[0], (HOST, ports[2]), unused, lambda: {"height": 3}, lambda: None)
    client = NodeClient(endpoint.context, HOST, ports[2], members[0].public_key, curve)
    replies: list[Any] = []
    bad = endpoint.context.socket(zmq.DEALER)
    secure_client(bad, members[0].public_key, curve)
    bad.connect(f"tcp://{HOST}:{ports[2]}")
    bad.send(b"\x92\x02\x01")
    before, most = memory(), 0

    def step() -> None:
        nonlocal most
        endpoint.serve()
        api.serve()
        if (reply := client.receive_now()) is not None:
            replies.append(reply)
        most = max(most, memory() - before)

    until(lambda: bad.poll(0), step)
    monitor = unfinished(bad, 800)
    until(lambda: monitor.poll(0), step)
    assert most < 500 << 20
    # Had it been delivered, it would be counted: it does not have two parts.
    assert api.refused_requests == 0
    client.send(StatusRequest(7))
    until(lambda: replies, step)
    assert replies == [Status(7, {"height": 3})]
    bad.disable_monitor()
    for each in (bad, monitor):
        each.close(0)
    client.close()
    api.close(0)
    endpoint.close()


@pytest.mark.parametrize("curve", [True, False], ids=["curve", "plain"])
def test_clients_with_the_longest_requests_are_not_cut(curve: bool) -> None:
    """Nine requests of 16 MiB, three clients at once, to a node that is slow: all are taken."""
    members, ports = credentials(2, curve), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports[:2]])
    taken: list[int] = []

    def submit(request: Any, transactions: Any) -> Submission:
        taken.append(len(transactions[0]))
        gevent.sleep(0.005)
        return Submission({}, Refusal())

    unused: Any = None
    api = ClientApi(endpoint.context, members[0], (HOST, ports[2]), submit, unused, lambda: None)
    clients = [NodeClient(endpoint.context, HOST, ports[2], members[0].public_key, curve) for _ in range(3)]
    longest = bytes(LONGEST_REQUEST - 100)
    for number in range(1, 10):
        clients[number % 3].send(Submit(number, [longest]))
    until(lambda: len(taken) == 9, endpoint.serve, api.serve, seconds=60)
    assert set(taken) == {len(longest)}
    assert api._guard.cut == 0
    for client in clients:
        client.close()
    api.close(0)
    endpoint.close()
