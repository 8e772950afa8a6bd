"""Hostile peers at the sockets and at the main loop: what one of them sends delays nobody else and fills no memory."""

import resource
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import zmq
from gevent.event import Event
from support.client_port import ClientPort
from support.network import HOST, Endpoint, Speaker, credentials, free_ports, until
from support.peers import Listener, peers_of

from honeybadger.network import transport
from honeybadger.network.client_protocol import LONGEST_REQUEST, Status, StatusRequest
from honeybadger.network.codec import DATA, HELLO, Codec, Header, Hello
from honeybadger.node import reactor as reactor_file
from honeybadger.node.application import Submission
from honeybadger.node.reactor import Reactor
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES

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
        self.frames = frames
        self.patience = patience
        self.read = 0

    def receive(self) -> tuple[int, list[Any]] | None:
        self.read += 1
        return (1, self.frames) if self.read < self.patience else None

    def reset(self, peer: int) -> None:
        """Nothing is queued here."""


@pytest.mark.parametrize("name", EMPTY)
def test_messages_without_entries_end_a_tick_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One faulty peer could keep all nodes reading for ever: nothing was sent, no client served, no order obeyed."""
    transport = EndlessTransport(EMPTY[name], patience=20_000)
    told = Listener(OURS)
    peers: Any = peers_of(0, 4, SESSION, CODEC, transport, told, hello=OURS)
    peers.links[1].incoming.session = 5
    peers.links[1].incoming.processed = 1
    unused: Any = None
    core: Any = SimpleNamespace(peers=peers, protocol=unused)
    recovery: Any = SimpleNamespace(handle=lambda sender, message: None, may_go_on=lambda: True)
    reactor = Reactor(core, recovery, unused, unused, unused, Event())
    # A tick whose time is up before it began takes one message and no more.
    monkeypatch.setattr(reactor_file, "TICK_S", -1.0)
    assert reactor._take_from_peers()
    assert transport.read < 10
    assert {node for node, _ in told.faults} <= {1}


def memory() -> int:
    """Resident bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


Server = tuple[Endpoint, Any, int]


@pytest.fixture
def server() -> Iterator[Server]:
    """Node 0 of three, with CURVE."""
    members, ports = credentials(3), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports], longest_part=1 << 17)
    yield endpoint, members, ports[0]
    endpoint.close()


def connect(endpoint: Endpoint, member: Any, port: int) -> Speaker:
    return Speaker(endpoint.context, member, 0, port).open(endpoint.serve)


@pytest.mark.parametrize("count", [65, 66, 20_000])
def test_thousands_of_parts_are_one_message_of_one_peer(server: Server, count: int) -> None:
    """More than any node sends stand for a message that its sender is to blame for."""
    endpoint, members, port = server
    bad, good = connect(endpoint, members[1], port), connect(endpoint, members[2], port)
    bad.send(*[b""] * count)
    good.send(b"still here")
    until(lambda: len(endpoint.received) == 2, endpoint.serve)
    assert sorted((sender, len(parts)) for sender, parts in endpoint.received) == [
        (1, count if count < 66 else 1),
        (2, 1),
    ]
    bad.close()
    good.close()


#: one buffer for all, so that this side needs no memory
PART = zmq.Frame(bytes(1 << 20), copy=False)


def unfinished(socket: Any, parts: int) -> Any:
    """Begin to send `parts` parts of 1 MiB as one message; returns the monitor that tells when it is disconnected."""
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    socket.send_multipart([PART] * parts, copy=False)
    return monitor


def test_a_member_without_end_is_cut_and_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZeroMQ sends a message that would end, after 100 MiB: more than a peer may have in flight here.

    Another member sends as much in messages of 1 MiB, which are taken.
    """
    monkeypatch.setattr(transport, "IN_FLIGHT_BYTES", 8 << 20)
    members, ports = credentials(3), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports], longest_part=2 << 20)
    bad, good = connect(endpoint, members[1], ports[0]), connect(endpoint, members[2], ports[0])
    good.send(b"before")
    until(lambda: endpoint.received, endpoint.serve)
    endpoint.received.clear()
    before, most, sent, taken = memory(), 0, 0, 0
    bad.socket.send_multipart([PART] * 100, copy=False)

    def step() -> None:
        nonlocal most, sent, taken
        # What waits to leave is memory of this process too, so there must be little of it, as on a link.
        while sent < min(400, taken + 32):
            good.send(*[bytes(1 << 18)] * 4)
            sent += 4
        endpoint.serve()
        assert all(sender == 2 for sender, _ in endpoint.received)
        taken += sum(map(len, (parts for _, parts in endpoint.received)))
        endpoint.received.clear()
        most = max(most, memory() - before)

    until(lambda: bad.gone() and taken == 400, step)
    # 36 MiB of the one and 32 of the other may wait here, and those of the other where they come from.
    assert most < 120 << 20
    bad.close()
    good.close()
    endpoint.close()


@pytest.mark.parametrize("curve", [True, False], ids=["curve", "plain"])
def test_a_client_without_end_is_cut_and_the_others_are_served(curve: bool) -> None:
    """Anybody may connect here, so this needs no key that the node knows."""
    port = ClientPort(curve)
    bad = port.raw()
    bad.send(b"\x92\x02\x01")
    before, most = memory(), 0

    def step() -> None:
        nonlocal most
        port.step()
        most = max(most, memory() - before)

    until(lambda: bad.poll(0), step)
    monitor = unfinished(bad, 800)
    until(lambda: monitor.poll(0), step)
    assert most < 500 << 20
    # Had it been delivered, it would be counted: it does not have two parts.
    assert port.api.refused_requests == 0
    port.client.send(StatusRequest(7))
    until(lambda: port.replies, step)
    assert port.replies == [Status(7, {"height": 3})]
    bad.disable_monitor()
    for each in (bad, monitor):
        each.close(0)
    port.close()


@pytest.mark.parametrize("curve", [True, False], ids=["curve", "plain"])
def test_clients_with_the_longest_requests_are_not_cut(curve: bool) -> None:
    """Nine requests of 16 MiB, three clients at once, to a node that is slow: all are taken."""
    taken: list[int] = []

    def submit(request: Any, transactions: Any) -> Submission:
        taken.append(len(transactions[0]))
        gevent.sleep(0.005)
        return Submission({}, {})

    port = ClientPort(curve, submit)
    clients = [port.client, port.another(), port.another()]
    longest = bytes(LONGEST_REQUEST - 100)
    for number in range(1, 10):
        clients[number % 3].send(submit(number, [longest]))
    until(lambda: len(taken) == 9, port.step, seconds=60)
    assert set(taken) == {len(longest)}
    assert port.api.connections_cut == 0
    port.close()


@pytest.mark.parametrize("offers", [True, False])
def test_who_proves_nothing_may_say_little(offers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be opened counts for nobody, and one who only knocks could fill the memory with it."""
    monkeypatch.setattr(transport, "HANDSHAKE_MS", 3_600_000)
    members, ports = credentials(3), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports])
    bad, good = Speaker(endpoint.context, members[1], 0, ports[0]), connect(endpoint, members[2], ports[0])
    if offers:
        bad.open(endpoint.serve)
    for _ in range(100):
        bad.socket.send(bytes(100))
    until(bad.gone, endpoint.serve)
    good.send(b"still here")
    until(lambda: endpoint.received, endpoint.serve)
    assert [sender for sender, _ in endpoint.received] == [2]
    bad.close()
    good.close()
    endpoint.close()
