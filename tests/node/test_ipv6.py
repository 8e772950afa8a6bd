"""Peers and clients over IPv6 loopback."""

from __future__ import annotations

import socket
import sys

import pytest
from network_helpers import Endpoint, connect_all, credentials, until

from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Status, StatusRequest
from honeybadger.node.client_api import ClientApi

HOST = "::1"


def free_ports(count: int) -> list[int]:
    """Ports that nothing uses now; the test is skipped on a machine without IPv6."""
    sockets = [socket.socket(socket.AF_INET6) for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    except OSError as error:
        pytest.skip(f"no IPv6 loopback: {error}")
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize("curve", [True, False])
def test_peers_and_clients_reach_a_node(curve: bool) -> None:
    *ports, client_port = free_ports(3)
    members = credentials(2, curve)
    made = [Endpoint(member, [(HOST, port) for port in ports]) for member in members]
    connect_all(made)
    assert made[0].transport.send(1, [b"hello"])
    until(lambda: made[1].received == [(0, [b"hello"])], *(e.serve for e in made))
    if sys.platform == "linux":
        # The guard recognises connections of this kind too.
        until(lambda: len(made[1].transport._guard._connections) == 1, made[1].transport._guard.look)
    context = made[0].context
    api = ClientApi(context, members[0], (HOST, client_port), pytest.fail, lambda: {"height": 3}, lambda: None)
    client = NodeClient(context, HOST, client_port, members[0].public_key, curve)
    replies: list[object] = []

    def step() -> None:
        made[0].serve()
        api.serve()
        reply = client.receive_now()
        if reply is not None:
            replies.append(reply)

    client.send(StatusRequest(7))
    until(lambda: replies, step)
    assert replies == [Status(7, {"height": 3})]
    client.close()
    api.close(0)
    for endpoint in made:
        endpoint.close()


def test_troubles_name_host_and_port_legibly() -> None:
    ports = free_ports(2)
    members = credentials(2)
    first = Endpoint(members[0], [(HOST, port) for port in ports])
    with pytest.raises(OSError, match=f"port {ports[0]} on ::1 .*already in use"):
        Endpoint(members[0], [(HOST, port) for port in ports])
    first.close()
    with pytest.raises(OSError, match=rf"cannot listen on \[2001:db8::1\]:{ports[0]} "):
        Endpoint(members[0], [("2001:db8::1", ports[0]), (HOST, ports[1])])
