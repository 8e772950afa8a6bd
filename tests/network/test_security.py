"""Who may connect, and as whom: only the owner of a member's key, and only as that member."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import zmq
from support.network import HOST, Endpoint, credentials, free_ports, push, until
from zmq.utils import z85

from honeybadger.network.channel import ChannelError
from honeybadger.network.codec import join
from honeybadger.network.security import (
    CLIENTS_DOMAIN,
    NODES_DOMAIN,
    Credentials,
    ZapHandler,
    secure_client,
    secure_peer,
    secure_server,
)

Server = tuple[Endpoint, list[Credentials], int]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Node 0 of three; the others are up to the test."""
    members, ports = credentials(3, getattr(request, "param", True)), free_ports(3)
    endpoint = Endpoint(members[0], [(HOST, port) for port in ports])
    yield endpoint, members, ports[0]
    endpoint.close()


plain = pytest.mark.parametrize("server", [False], ids=["plain"], indirect=True)
curve_or_plain = pytest.mark.parametrize("server", [True, False], ids=["curve", "plain"], indirect=True)


def assert_refused(server: Server, setup: Any) -> None:
    endpoint, _, port = server
    monitors: list[Any] = []

    def watched(socket: Any) -> None:
        setup(socket)
        monitors.append(socket.get_monitor_socket(zmq.EVENT_DISCONNECTED))

    socket = push(endpoint, port, watched)
    socket.send(b"from me")
    until(lambda: monitors[0].poll(0), endpoint.serve)
    assert endpoint.received == []
    socket.disable_monitor()
    monitors[0].close(0)
    socket.close(0)


def test_a_routing_id_changes_nothing(server: Server) -> None:
    endpoint, members, port = server
    named = endpoint.context.socket(zmq.DEALER)
    named.setsockopt(zmq.ROUTING_ID, b"2")
    secure_peer(named, members[1], 0)
    named.connect(f"tcp://{HOST}:{port}")
    offered = members[1].initiate(0)
    named.send(offered.offer)
    until(lambda: named.poll(0), endpoint.serve)
    named.send(offered.finish(named.recv()).seal(join([b"from me"])))
    until(lambda: endpoint.received, endpoint.serve)
    assert endpoint.received == [(1, [b"from me"])]
    named.close(0)


def test_an_unknown_key_is_refused_and_noted(server: Server) -> None:
    stranger = replace(credentials(2)[1], member_keys=server[1][1].member_keys)
    assert_refused(server, lambda s: secure_peer(s, stranger, 0))
    assert server[0].zap.refused[-1].endswith("unknown key")


@pytest.mark.parametrize(
    "setup",
    [
        lambda s, members: secure_peer(s, replace(members[1], me=2), 0),
        # A reflection of ourselves is not a peer.
        lambda s, members: secure_peer(s, members[0], 0),
        lambda s, members: None,
        lambda s, members: secure_peer(s, replace(members[1], curve=False), 0),
        lambda s, members: secure_client(s, members[0].public_key, True),
    ],
    ids=["another's name without its secret", "the node's own", "no security", "no knock", "CURVE"],
)
def test_without_a_key_of_ones_own_nothing_gets_in(server: Server, setup: Any) -> None:
    assert_refused(server, lambda s: setup(s, server[1]))


def test_knocks_differ_by_pair_and_direction_and_agree_on_both_sides() -> None:
    members = credentials(3)
    knocks = {(a, b): members[a].knock(a, b) for a in range(3) for b in range(3) if a != b}
    assert len(set(knocks.values())) == 6
    assert all(members[b].knock(a, b) == knock for (a, b), knock in knocks.items())


def test_a_member_whose_key_is_good_for_nothing_stays_out() -> None:
    """All keys agree with the point zero on the same secret: everybody could knock in the name of its owner."""
    mine = credentials(2)[0]
    mine = replace(mine, member_keys=[mine.public_key, z85.encode(bytes(32)).decode()])
    context: Any = zmq.Context()
    zap = ZapHandler(context, mine)
    assert mine.knock(1, 0) == b""
    for knock in (b"", bytes(32), b"not a secret"):
        assert zap._user(NODES_DOMAIN, "a", b"PLAIN", [b"1", knock]) is None
    with pytest.raises(ChannelError):
        mine.initiate(1)
    context.destroy(0)


@plain
def test_plain_names_that_are_no_peers(server: Server) -> None:
    def named(socket: Any, name: bytes) -> None:
        socket.plain_username = name
        socket.plain_password = b"x"

    for name in (b"0", b"3", b"-1", b"1 ", b"one", b"00000001", b"\xc2\xb2", b"65536"):
        assert_refused(server, partial(named, name=name))


@pytest.mark.parametrize("wrong_key", ["the other's", "its own"])
def test_a_failed_handshake_says_why(wrong_key: str) -> None:
    members, ports, others = credentials(2), free_ports(2), credentials(2)
    says, wrong = "refused", replace(members[1], member_keys=others[0].member_keys)
    if wrong_key == "its own":
        wrong = replace(others[1], member_keys=[members[0].public_key, others[1].public_key])
    made = [Endpoint(m, [(HOST, p) for p in ports]) for m in (members[0], wrong)]
    until(lambda: any(e.failure for e in made[1].events), *(e.serve for e in made))
    assert says in next(event.failure for event in made[1].events if event.failure)
    assert not any(event.opened for event in made[1].events)
    for endpoint in made:
        endpoint.close()


@curve_or_plain
def test_clients_are_anonymous_and_stay_out_of_the_nodes_domain(server: Server) -> None:
    endpoint, (member, *_), _ = server
    router = endpoint.context.socket(zmq.ROUTER)
    secure_server(router, member, CLIENTS_DOMAIN)
    port = router.bind_to_random_port(f"tcp://{HOST}")
    client = endpoint.context.socket(zmq.DEALER)
    secure_client(client, member.public_key, member.curve)
    client.connect(f"tcp://{HOST}:{port}")
    client.send(b"hello")
    until(lambda: router.poll(0), endpoint.serve)
    assert router.recv_multipart(copy=False)[1].get("User-Id") == "client"
    assert_refused(server, lambda s: secure_client(s, member.public_key, member.curve))
    for socket in (client, router):
        socket.close(0)


def test_refusals_are_remembered_in_bounded_memory(server: Server) -> None:
    zap = server[0].zap
    knock = server[1][1].knock(1, 0)
    assert zap._user(NODES_DOMAIN, "a", b"PLAIN", [b"1", knock]) == "1"
    for _ in range(1000):
        assert zap._user(NODES_DOMAIN, "a", b"PLAIN", [b"2", knock]) is None
    assert len(zap.refused) == 100
    assert zap._user(NODES_DOMAIN, "a", b"CURVE", [bytes(32)]) is None
    assert zap._user(NODES_DOMAIN, "a", b"PLAIN", []) is None
    assert zap._user(NODES_DOMAIN, "a", b"NULL", []) is None
    assert zap._user(b"elsewhere", "a", b"PLAIN", [b"1", knock]) is None
    assert zap._user(CLIENTS_DOMAIN, "a", b"NULL", []) is None, "a client without CURVE at a CURVE node"


def test_secrets_do_not_show() -> None:
    mine = credentials(1)[0]
    assert mine.secret_key not in repr(mine)
