"""Who may connect, and as whom: only the owner of a member's key, and only as that member."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest
import zmq
from network_helpers import HOST, Endpoint, credentials, free_ports, until

from honeybadger.network.security import (
    CLIENTS_DOMAIN,
    NODES_DOMAIN,
    Credentials,
    secure_client,
    secure_peer,
    secure_server,
)

Server = tuple[Endpoint, list[Credentials], int]


@pytest.fixture(params=[True, False], ids=["curve", "plain"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from serve(request.param)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve(True)


@pytest.fixture
def plain_server() -> Iterator[Server]:
    yield from serve(False)


def serve(curve: bool) -> Iterator[Server]:
    """Node 0 of three; the others are up to the test."""
    members = credentials(3, curve)
    ports = free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports])
    yield endpoint, members, ports[0]
    endpoint.close()


def push(endpoint: Endpoint, port: int, setup: Any, *, monitored: bool = False) -> Any:
    socket = endpoint.context.socket(zmq.PUSH)
    socket.linger = 0
    setup(socket)
    monitor = socket.get_monitor_socket() if monitored else None
    socket.connect(f"tcp://{HOST}:{port}")
    socket.send(b"\x01from me")
    return (socket, monitor) if monitored else socket


def assert_refused(server: Server, setup: Any) -> None:
    endpoint, _, port = server
    socket = push(endpoint, port, setup)
    for _ in range(60):
        endpoint.serve()
        gevent.sleep(0.005)
    assert endpoint.received == []
    socket.close(0)


@pytest.mark.parametrize("index", [1, 2])
def test_a_member_is_heard_as_itself(any_server: Server, index: int) -> None:
    endpoint, members, port = any_server
    socket = push(endpoint, port, lambda s: secure_peer(s, members[index], 0))
    until(lambda: endpoint.received, endpoint.serve)
    assert endpoint.received == [(index, [b"\x01from me"])]
    socket.close(0)


def test_a_routing_id_changes_nothing(server: Server) -> None:
    endpoint, members, port = server

    def setup(socket: Any) -> None:
        socket.setsockopt(zmq.ROUTING_ID, b"2")
        secure_peer(socket, replace(members[1], me=2), 0)

    socket = push(endpoint, port, setup)
    until(lambda: endpoint.received, endpoint.serve)
    assert endpoint.received[0][0] == 1
    socket.close(0)


def test_an_unknown_key_is_refused_and_noted(server: Server) -> None:
    stranger = credentials(1)[0]
    members = server[1]
    assert_refused(server, lambda s: secure_peer(s, replace(stranger, member_keys=members[1].member_keys), 0))
    assert server[0].zap.refused
    assert server[0].zap.refused[-1].endswith("unknown key")


def test_another_members_public_key_is_of_no_use_without_the_secret(server: Server) -> None:
    def setup(socket: Any) -> None:
        members = server[1]
        secure_peer(socket, replace(members[1], public_key=members[2].public_key), 0)

    assert_refused(server, setup)


def test_ones_own_key_is_refused(server: Server) -> None:
    """A reflection of ourselves is not a peer."""
    assert_refused(server, lambda s: secure_peer(s, server[1][0], 0))


def test_without_any_key_nothing_gets_in(server: Server) -> None:
    assert_refused(server, lambda s: None)
    assert_refused(server, lambda s: secure_peer(s, replace(server[1][1], curve=False), 0))


@pytest.mark.parametrize("name", [b"0", b"3", b"-1", b"1 ", b"one", b"00000001", b"\xc2\xb2", b"65536"])
def test_plain_names_that_are_no_peers(plain_server: Server, name: bytes) -> None:
    def setup(socket: Any) -> None:
        socket.plain_username = name
        socket.plain_password = b"x"

    assert_refused(plain_server, setup)


def test_a_wrong_server_key_is_seen_as_a_failed_handshake() -> None:
    members, ports = credentials(2), free_ports(2)
    wrong = replace(members[1], member_keys=credentials(2)[0].member_keys)
    made = [Endpoint(m, [(HOST, p) for p in ports]) for m in (members[0], wrong)]
    until(lambda: any(e.failure for e in made[1].events), *(e.serve for e in made))
    failures = {event.failure for event in made[1].events if event.failure}
    assert any("key" in failure for failure in failures), failures
    assert not any(event.opened for event in made[1].events)
    for endpoint in made:
        endpoint.close()


def test_a_refused_node_learns_that_its_key_is_refused() -> None:
    members, ports = credentials(2), free_ports(2)
    stranger = credentials(2)[1]
    wrong = replace(stranger, member_keys=[members[0].public_key, stranger.public_key])
    made = [Endpoint(m, [(HOST, p) for p in ports]) for m in (members[0], wrong)]
    until(lambda: any(e.failure for e in made[1].events), *(e.serve for e in made))
    assert "refused" in next(event.failure for event in made[1].events if event.failure)
    for endpoint in made:
        endpoint.close()


@pytest.mark.parametrize("curve", [True, False])
def test_clients_are_anonymous_and_stay_out_of_the_nodes_domain(curve: bool) -> None:
    members, ports = credentials(2, curve), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, p) for p in ports[:2]])
    router = endpoint.context.socket(zmq.ROUTER)
    secure_server(router, members[0], CLIENTS_DOMAIN)
    router.bind(f"tcp://{HOST}:{ports[2]}")
    client = endpoint.context.socket(zmq.DEALER)
    secure_client(client, members[0].public_key, curve)
    client.connect(f"tcp://{HOST}:{ports[2]}")
    client.send(b"hello")
    until(lambda: router.poll(0), endpoint.serve)
    frame = router.recv_multipart(copy=False)[1]
    assert frame.get("User-Id") == "client"
    intruder = push(endpoint, ports[0], lambda s: secure_client(s, members[0].public_key, curve))
    for _ in range(60):
        endpoint.serve()
        gevent.sleep(0.005)
    assert endpoint.received == []
    for socket in (client, router, intruder):
        socket.close(0)
    endpoint.close()


def test_refusals_are_remembered_in_bounded_memory(server: Server) -> None:
    zap = server[0].zap
    for _ in range(1000):
        assert zap._user(NODES_DOMAIN, "a", b"CURVE", [bytes(32)]) is None
    assert len(zap.refused) == 100
    assert zap._user(NODES_DOMAIN, "a", b"CURVE", []) is None
    assert zap._user(NODES_DOMAIN, "a", b"NULL", []) is None
    assert zap._user(b"elsewhere", "a", b"NULL", []) is None
    assert zap._user(CLIENTS_DOMAIN, "a", b"NULL", []) is None, "a client without CURVE at a CURVE node"


def test_secrets_do_not_show() -> None:
    mine = credentials(1)[0]
    assert mine.secret_key not in repr(mine)
