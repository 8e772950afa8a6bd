"""Real sockets over loopback: who sent what, offenders cut off, ports in use, garbage on the port."""

from __future__ import annotations

import os
import random
import socket
import time
from typing import Any

import gevent
import pytest
import zmq
from network_helpers import HOST, Endpoint, connect_all, credentials, endpoints, free_ports, until

from honeybadger.network.security import secure_peer
from honeybadger.network.transport import AddressInUse


@pytest.mark.parametrize("curve", [True, False])
def test_messages_arrive_whole_in_order_and_with_their_sender(curve: bool) -> None:
    with endpoints(3, curve) as made:
        connect_all(made)
        for i, endpoint in enumerate(made):
            for peer in range(3):
                if peer != i:
                    for k in range(50):
                        assert endpoint.transport.send(peer, [b"%d to %d: %d" % (i, peer, k), b"", os.urandom(k)])
        until(lambda: all(len(e.received) == 100 for e in made), *(e.serve for e in made))
        for i, endpoint in enumerate(made):
            for peer in range(3):
                mine = [parts for sender, parts in endpoint.received if sender == peer]
                assert [parts[0] for parts in mine] == [b"%d to %d: %d" % (peer, i, k) for k in range(50) if peer != i]
                assert [len(parts[2]) for parts in mine] == [k for k in range(50) if peer != i]
        assert made[0].transport.received_bytes == sum(len(part) for _, parts in made[0].received for part in parts)


def test_ready_is_called_when_something_arrives() -> None:
    called: list[float] = []
    members, ports = credentials(2), free_ports(2)
    addresses = [(HOST, port) for port in ports]
    made = [
        Endpoint(members[0], addresses, ready=lambda: called.append(time.monotonic())),
        Endpoint(members[1], addresses),
    ]
    connect_all(made)
    for _ in range(5):
        gevent.sleep(0.02)
        made[0].serve()
        called.clear()
        made[1].transport.send(0, [b"x"])
        until(lambda: called, seconds=2)
    for endpoint in made:
        endpoint.close()


def test_sending_without_a_connection_says_so() -> None:
    members, ports = credentials(2), free_ports(2)
    alone = Endpoint(members[0], [(HOST, port) for port in ports])
    assert not alone.transport.send(1, [b"x", b"y"])
    assert alone.transport.sent_bytes == 0
    alone.close()


def test_a_used_port_is_named() -> None:
    members, ports = credentials(2), free_ports(2)
    addresses = [(HOST, port) for port in ports]
    first = Endpoint(members[0], addresses)
    with pytest.raises(AddressInUse, match=str(ports[0])) as caught:
        Endpoint(members[0], addresses)
    assert "\n" not in str(caught.value)
    first.close()


@pytest.mark.parametrize("host", ["a b", "*", "a/b", "é"])
def test_a_peers_impossible_host_is_one_line(host: str) -> None:
    members, ports = credentials(2), free_ports(2)
    with pytest.raises(OSError, match="cannot connect to node 1"):
        Endpoint(members[0], [(HOST, ports[0]), (host, ports[1])])


def test_an_own_host_of_another_machine_is_one_line() -> None:
    members, ports = credentials(2), free_ports(2)
    with pytest.raises(OSError, match="cannot listen on 192"):
        Endpoint(members[0], [("192.0.2.1", ports[0]), (HOST, ports[1])])


def test_an_oversized_part_cuts_the_offender_off_and_nobody_else() -> None:
    with endpoints(3, longest_part=10_000) as made:
        connect_all(made)
        victim, honest, offender = made
        offender.transport.send(0, [b"fine", bytes(9_960)])  # CURVE adds 33 bytes, which count
        until(lambda: victim.received, *(e.serve for e in made))
        offender.transport.send(0, [b"evil", bytes(10_001)])
        until(lambda: any(e.peer == 0 and not e.opened for e in offender.events), *(e.serve for e in made))
        for k in range(20):
            assert honest.transport.send(0, [b"honest %d" % k])
        until(lambda: len(victim.received) >= 21, *(e.serve for e in made))
        assert not any(parts[0] == b"evil" for _, parts in victim.received)
        assert [parts[0] for sender, parts in victim.received if sender == 1] == [b"honest %d" % k for k in range(20)]
        assert not any(e.peer == 0 and not e.opened for e in honest.events)
        until(lambda: offender.up(0), *(e.serve for e in made))


@pytest.mark.parametrize("curve", [True, False])
def test_garbage_on_the_port_disturbs_nobody(curve: bool) -> None:
    greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00"
    null = greeting + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x04PUSH"
    rng = random.Random(1)
    with endpoints(2, curve) as made:
        connect_all(made)
        port = int(made[0].transport._pull.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])
        raw = []
        for data in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            null + b"\x00\x05hello",
            greeting,
            *(rng.randbytes(500) for _ in range(5)),
        ):
            raw.append(socket.create_connection((HOST, port)))
            raw[-1].sendall(data)
        for k in range(50):
            assert made[1].transport.send(0, [b"%d" % k])
        until(lambda: len(made[0].received) >= 50, *(e.serve for e in made))
        assert made[0].received == [(1, [b"%d" % k]) for k in range(50)]
        for s in raw:
            s.close()


def test_one_index_over_two_connections_is_one_sender() -> None:
    members, ports = credentials(2), free_ports(2)
    victim = Endpoint(members[0], [(HOST, port) for port in ports])
    sockets: list[Any] = []
    for _ in range(2):
        sockets.append(victim.context.socket(zmq.PUSH))
        secure_peer(sockets[-1], members[1], 0)
        sockets[-1].connect(f"tcp://{HOST}:{ports[0]}")
        sockets[-1].send(b"x")
    until(lambda: len(victim.received) == 2, victim.serve)
    assert {sender for sender, _ in victim.received} == {1}
    for s in sockets:
        s.close(0)
    victim.close()
