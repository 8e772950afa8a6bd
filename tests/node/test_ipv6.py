"""Peers and clients over IPv6 loopback."""

import socket
import sys

import pytest
from support.client_port import ClientPort
from support.network import Endpoint, connect_all, credentials, until

from honeybadger.network.client_protocol import Status, StatusRequest

HOST = "::1"


def free_ports(count: int) -> list[int]:
    """Ports that nothing uses now; the test is skipped on a machine without IPv6."""
    sockets = [socket.socket(socket.AF_INET6) for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    except OSError as error:
        pytest.skip(f"no IPv6 loopback ({error}): sysctl net.ipv6.conf.lo.disable_ipv6=0")
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize("curve", [True, False])
def test_peers_and_clients_reach_a_node(curve: bool) -> None:
    ports = free_ports(3)
    node = ClientPort(curve, host=HOST, ports=ports)
    peer = Endpoint(node.other, [(HOST, port) for port in ports[:2]])
    made = [node.endpoint, peer]
    connect_all(made)
    assert made[0].transport.send(1, [b"hello"])
    until(lambda: peer.received == [(0, [b"hello"])], *(e.serve for e in made))
    if sys.platform == "linux":
        # The guard recognises connections of this kind too.
        until(lambda: len(peer.transport._guard._connections) == 1, peer.transport._guard.look)
    node.client.send(StatusRequest(7))
    until(lambda: node.replies, node.step)
    assert node.replies == [Status(7, {"height": 3})]
    node.close()
    peer.close()


def test_troubles_name_host_and_port_legibly() -> None:
    ports = free_ports(2)
    members = credentials(2)
    first = Endpoint(members[0], [(HOST, port) for port in ports])
    with pytest.raises(OSError, match=f"port {ports[0]} on ::1 .*already in use"):
        Endpoint(members[0], [(HOST, port) for port in ports])
    first.close()
    with pytest.raises(OSError, match=rf"cannot listen on \[2001:db8::1\]:{ports[0]} "):
        Endpoint(members[0], [("2001:db8::1", ports[0]), (HOST, ports[1])])
