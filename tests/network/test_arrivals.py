"""Connections of those who know the knock: strangers, replays, and bytes that were changed on the way."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import zmq
from support.network import HOST, Endpoint, Proxy, Speaker, credentials, free_ports, until

from honeybadger.network import arrivals, transport
from honeybadger.network.arrivals import Arrivals
from honeybadger.network.peer_socket import ALONE_BYTES
from honeybadger.network.security import NODES_DOMAIN, Credentials, ZapHandler, secure_server

Stand = tuple[Endpoint, list[Credentials], int]


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Node 0 of three, which gives a connection half a second to prove whose it is."""
    monkeypatch.setattr(transport, "HANDSHAKE_MS", 500)
    members, ports = credentials(3), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports])
    yield endpoint, members, ports[0]
    endpoint.close()


def speaker(stand: Stand, member: int) -> Speaker:
    endpoint, members, port = stand
    return Speaker(endpoint.context, members[member], 0, port)


BREACHES: dict[str, Any] = {
    "changed": lambda one, two, three: [one[:-1] + bytes([one[-1] ^ 1])],
    "cut short": lambda one, two, three: [one[:-1]],
    "empty": lambda one, two, three: [b""],
    "sent twice": lambda one, two, three: [one, one],
    "left out": lambda one, two, three: [two],
    "reordered": lambda one, two, three: [two, one],
    "not sealed": lambda one, two, three: [b"\1\0\0\0\1\0\0\0x"],
    "two as one": lambda one, two, three: [[one, two]],
    "three as one": lambda one, two, three: [[one, two, three]],
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_ends_the_connection_and_nothing_after_it_is_read(stand: Stand, name: str) -> None:
    endpoint = stand[0]
    bad, good = (speaker(stand, k).open(endpoint.serve) for k in (1, 2))
    bad.send(b"before")
    good.send(b"before")
    until(lambda: len(endpoint.received) == 2, endpoint.serve)
    messages = BREACHES[name](*[bad.sealed(b"\1\0\0\0\1\0\0\0" + b"%d" % k) for k in range(3)])
    for frames in messages:
        bad.socket.send_multipart(frames if isinstance(frames, list) else [frames])
    bad.send(b"after")
    until(bad.gone, endpoint.serve)
    good.send(b"after")
    until(lambda: (2, [b"after"]) in endpoint.received, endpoint.serve)
    taken = [parts for sender, parts in endpoint.received if sender == 1]
    assert taken == [[b"before"], [b"0"]] if name == "sent twice" else taken == [[b"before"]]
    assert not good.gone()
    # Its owner is welcome again.
    again = speaker(stand, 1).open(endpoint.serve)
    again.send(b"again")
    until(lambda: (1, [b"again"]) in endpoint.received, endpoint.serve)
    for each in (bad, good, again):
        each.close()


def test_who_only_knows_the_knock_is_cut_and_never_heard(stand: Stand) -> None:
    """It repeats a recorded offer, makes one of its own, sends garbage, or says nothing."""
    endpoint, members, _ = stand
    recorded = members[1].initiate(0).offer
    good = speaker(stand, 2).open(endpoint.serve)
    good.send(b"before")
    strangers = [speaker(stand, 1) for _ in range(4)]
    for each, first in zip(strangers, (recorded, credentials(2)[1].initiate(0).offer, b"garbage"), strict=False):
        each.socket.send(first)
        for _ in range(50):
            each.socket.send(b"\1\0\0\0\1\0\0\0x")
    until(lambda: all(each.gone() for each in strangers), endpoint.serve)
    assert endpoint.received == [(2, [b"before"])]
    good.send(b"after")
    until(lambda: len(endpoint.received) == 2, endpoint.serve)
    assert not good.gone()
    for each in (*strangers, good):
        each.close()


def test_a_member_that_says_nothing_more_is_not_cut(stand: Stand) -> None:
    endpoint = stand[0]
    quiet = speaker(stand, 1).open(endpoint.serve)
    quiet.send(b"once")
    until(lambda: endpoint.received, endpoint.serve)
    stranger = speaker(stand, 1)
    until(stranger.gone, endpoint.serve)
    assert not quiet.gone() and endpoint.transport.connections_cut == 1
    quiet.close()
    stranger.close()


class Altering(Proxy):
    """Changes one byte of the first long chunk that passes while `armed`."""

    armed = False

    def alter(self, data: bytes) -> bytes:
        if not self.armed or len(data) < 4000:
            return data
        self.armed = False
        return data[:2000] + bytes([data[2000] ^ 1]) + data[2001:]


@pytest.mark.parametrize("size", [10_000, 2 * ALONE_BYTES], ids=["one piece", "two pieces"])
def test_a_byte_changed_on_the_way_costs_a_connection_and_no_more(size: int) -> None:
    members, ports = credentials(2), free_ports(2)
    proxy = Altering(ports[1])
    here = Endpoint(members[0], [(HOST, ports[0]), (HOST, proxy.port)])
    there = Endpoint(members[1], [(HOST, port) for port in ports])
    step = (here.serve, there.serve)
    until(lambda: here.up(1), *step)
    assert here.transport.send(1, [b"head", bytes(size)])
    until(lambda: there.received, *step)
    proxy.armed = True
    assert here.transport.send(1, [b"lost", bytes(size)])
    until(lambda: sum(event.opened for event in here.events) == 2 and here.up(1), *step)
    assert here.transport.send(1, [b"tail", bytes(size)])
    until(lambda: len(there.received) == 2, *step)
    assert [parts[0] for _, parts in there.received] == [b"head", b"tail"]
    proxy.close()
    here.close()
    there.close()


def test_a_message_for_the_former_connection_says_nothing_against_the_peer() -> None:
    """The node is busy while its connection breaks and comes back, and then sends before it looks."""
    members, ports = credentials(2), free_ports(2)
    proxy = Proxy(ports[1])
    here = Endpoint(members[0], [(HOST, ports[0]), (HOST, proxy.port)])
    there = Endpoint(members[1], [(HOST, port) for port in ports])
    step = (here.serve, there.serve)
    until(lambda: here.up(1), *step)
    before = len(here.events)
    socket = here.transport._peers[1]._socket
    proxy.cut()
    until(lambda: not socket.get(zmq.EVENTS) & zmq.POLLOUT, there.serve)
    until(lambda: socket.get(zmq.EVENTS) & zmq.POLLOUT, there.serve)
    assert here.transport.send(1, [b"lost"])
    until(lambda: any(event.opened for event in here.events[before:]), *step)
    assert here.transport.send(1, [b"taken"])
    until(lambda: there.received, *step)
    proxy.close()
    here.close()
    there.close()
    assert there.received == [(0, [b"taken"])] and proxy.connections == 3
    assert not any(event.failure for event in here.events)


@pytest.mark.parametrize("answer", [b"", bytes(48), bytes(49), b"\1" * 1000], ids=["none", "zeros", "long", "longer"])
def test_a_wrong_answer_opens_nothing(answer: bytes) -> None:
    """Somebody at the peer's address lets everybody in."""
    members, ports = credentials(2), free_ports(2)
    here = Endpoint(members[0], [(HOST, port) for port in ports])
    context: Any = zmq.Context()
    zap = ZapHandler(context, members[1])
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    secure_server(router, members[1], NODES_DOMAIN)
    router.bind(f"tcp://{HOST}:{ports[1]}")
    offers: list[bytes] = []

    def step() -> None:
        here.serve()
        zap.serve()
        if router.poll(0):
            name, offer = router.recv_multipart()
            offers.append(offer)
            router.send_multipart([name, answer])

    until(lambda: len(offers) == 3, step)
    assert len(set(offers)) == 3, "each connection has a new key"
    assert not any(event.opened for event in here.events)
    told = any("key is not the one" in event.failure for event in here.events)
    assert told == (answer != b""), "nothing shows that the key is another if the peer only asks for a connection"
    assert not here.transport.send(1, [b"x"])
    here.close()
    context.destroy(0)


class Frame:
    def __init__(self, data: bytes, user: str) -> None:
        self.bytes = self.buffer = data
        self._user = user

    def get(self, _: str) -> str:
        return self._user


class NoSocket:
    sent: list[Any]

    def __init__(self) -> None:
        self.sent = []

    def send_multipart(self, frames: list[bytes], _: int) -> None:
        self.sent.append(frames)


def test_connections_are_remembered_in_bounded_memory() -> None:
    members, socket = credentials(2), NoSocket()
    made = Arrivals(socket, members[0])
    for k in range(3 * arrivals.UNPROVEN_CONNECTIONS):
        assert made.take(b"stranger %d" % k, [Frame(b"garbage", "1")]) is None
    assert len(made._unproven) == arrivals.UNPROVEN_CONNECTIONS
    for k in range(3 * arrivals.CONNECTIONS_OF_MEMBER):
        offered = members[1].initiate(0)
        made.take(b"%d" % k, [Frame(offered.offer, "1")])
        sealer = offered.finish(socket.sent[-1][1])
        assert made.take(b"%d" % k, [Frame(sealer.seal(b"\1\0\0\0\1\0\0\0x"), "1")]) == (1, [b"x"])
    assert len(made._proven) == len(made._newest[1]) == arrivals.CONNECTIONS_OF_MEMBER


def test_strangers_do_not_keep_the_node_reading() -> None:
    """One that sends without pause would hold up everybody, if only its messages ended a call."""
    called: list[bool] = []
    members, ports = credentials(2), free_ports(2)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports], ready=lambda: called.append(True))
    stranger = Speaker(endpoint.context, members[1], 0, ports[0])
    for _ in range(10 * transport.IDLE_MESSAGES):
        stranger.socket.send(b"x")
    until(lambda: endpoint.transport._arrivals._unproven, endpoint.zap.serve, endpoint.transport.receive)
    gevent.sleep(0.1)
    called.clear()
    looks = endpoint.transport._guard.look
    empty: list[bool] = []
    endpoint.transport._guard.look = lambda **_: empty.append(True)  # type: ignore[method-assign]
    assert endpoint.transport.receive() is None
    assert called and not empty
    endpoint.transport._guard.look = looks  # type: ignore[method-assign]
    stranger.close()
    endpoint.close()
