"""Real sockets over loopback: who sent what, offenders cut off, ports in use, garbage on the port."""

import contextlib
import multiprocessing
import os
import random
import socket
import struct
import threading
from collections.abc import Callable
from itertools import permutations

import gevent
import pytest
import zmq
from support.endless import MIB, gone, part
from support.network import HOST, Endpoint, Speaker, connect_all, credentials, endpoints, free_ports, until

from honeybadger.network.channel import SEAL_BYTES
from honeybadger.network.codec import join
from honeybadger.network.peer_socket import end_connection, is_connected
from honeybadger.network.receive_guard import Limits
from honeybadger.network.transport import MESSAGE_OVERHEAD_BYTES, AddressInUse, Transport, listen


@pytest.mark.parametrize("curve", [True, False])
def test_messages_arrive_whole_in_order_and_with_their_sender(curve: bool) -> None:
    with endpoints(3, curve) as made:
        connect_all(made)
        sent = {
            (i, peer): [[b"%d to %d: %d" % (i, peer, k), b"", os.urandom(k)] for k in range(50)]
            for i, peer in permutations(range(3), 2)
        }
        for (i, peer), messages in sent.items():
            assert all(made[i].transport.send(peer, parts) for parts in messages)
        until(lambda: all(len(e.received) == 100 for e in made), *(e.serve for e in made))
        for (i, peer), messages in sent.items():
            assert [parts for sender, parts in made[peer].received if sender == i] == messages
        assert made[0].transport.received_bytes == sum(len(part) for _, parts in made[0].received for part in parts)


def test_ready_is_called_when_something_arrives() -> None:
    called: list[bool] = []
    with endpoints(2, ready=lambda: called.append(True)) as made:
        connect_all(made)
        for _ in range(5):
            gevent.sleep(0.02)
            for endpoint in made:
                endpoint.serve()
            called.clear()
            made[1].transport.send(0, [b"x"])
            until(lambda: called, seconds=2)


def test_sending_without_a_connection_says_so() -> None:
    with endpoints(2) as (alone, _):
        assert not alone.transport.send(1, [b"x", b"y"])
        assert alone.transport.sent_bytes == 0


def test_what_was_sent_before_the_end_still_leaves() -> None:
    members, ports = credentials(2), free_ports(2)
    here, there = (Endpoint(mine, [(HOST, port) for port in ports]) for mine in members)
    connect_all([here, there])
    for _ in range(200):
        assert here.transport.send(1, [bytes(50_000)])
    end = gevent.spawn(here.close, linger_ms=100_000)
    until(lambda: len(there.received) == 200 and end.dead, there.serve)
    assert end.successful()
    there.close()


def test_a_used_port_is_named_and_its_socket_closed() -> None:
    members, ports = credentials(2), free_ports(2)
    first = Endpoint(members[0], [(HOST, port) for port in ports])
    second = first.context.socket(zmq.PULL)
    with pytest.raises(AddressInUse, match=str(ports[0])) as caught:
        listen(second, (HOST, ports[0]), "a test", Limits(1, 1, 1), lambda: None)
    assert "\n" not in str(caught.value) and second.closed
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
        longest = 10_000 + MESSAGE_OVERHEAD_BYTES - SEAL_BYTES - len(join([b"fine", b""]))
        offender.transport.send(0, [b"fine", bytes(longest)])
        until(lambda: victim.received, *(e.serve for e in made))
        offender.transport.send(0, [b"evil", bytes(longest + 1)])
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
        port = made[0].port
        garbage = [b"", b"GET / HTTP/1.1\r\n\r\n", null + b"\x00\x05hello", greeting]
        raw = [socket.create_connection((HOST, port)) for _ in range(9)]
        for s, data in zip(raw, garbage + [rng.randbytes(500) for _ in range(5)], strict=True):
            s.sendall(data)
        for k in range(50):
            assert made[1].transport.send(0, [b"%d" % k])
        until(lambda: len(made[0].received) >= 50, *(e.serve for e in made))
        assert made[0].received == [(1, [b"%d" % k]) for k in range(50)]
        for s in raw:
            s.close()


def test_one_index_over_two_connections_is_one_sender() -> None:
    with endpoints(2) as made:
        connect_all(made)
        second = Speaker(made[1].context, made[1].credentials, 0, made[0].port).open(made[0].serve)
        second.send(b"x")
        made[1].transport.send(0, [b"x"])
        until(lambda: len(made[0].received) == 2, *(e.serve for e in made))
        assert {sender for sender, _ in made[0].received} == {1}
        second.close()


PEERS = 20


def deaf(listener: socket.socket) -> socket.socket:
    """A peer, by hand, that accepts a connection and then reads nothing of it. If it closes, the connection breaks."""
    raw, _ = listener.accept()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"PLAIN".ljust(20, b"\0") + b"\1" + bytes(31))
    for awaited, answer in ((b"HELLO", b"\x07WELCOME"), (b"INITIATE", b"\x05READY\x0bSocket-Type\0\0\0\x06ROUTER")):
        heard = b""
        while awaited not in heard:
            heard += raw.recv(1000)
        raw.sendall(b"\x04" + bytes([len(answer)]) + answer)
    return raw


def test_a_peer_that_sends_where_it_should_read_is_cut() -> None:
    """Nobody reads it, so ZeroMQ kept a thousand messages of any length."""
    with socket.create_server((HOST, 0)) as listener:
        addresses = [(HOST, free_ports(1)[0]), (HOST, listener.getsockname()[1])]
        node = Endpoint(credentials(2, curve=False)[0], addresses)
        peer = deaf(listener)
        with contextlib.suppress(ConnectionError):
            peer.sendall(part(MIB))
        until(lambda: gone(peer), node.serve)
        peer.close()
        node.close()


def in_the_middle_of_messages(act: Callable[[Transport, int], object] | None) -> None:
    """Peers stop reading; while this node does something to each connection, or closes all, the connections break."""
    with socket.create_server((HOST, 0), backlog=PEERS) as listener:
        addresses = [(HOST, port) for port in [*free_ports(1), *[listener.getsockname()[1]] * PEERS]]
        node = Endpoint(credentials(1 + PEERS, curve=False)[0], addresses)
        peers = [deaf(listener) for _ in range(PEERS)]
        until(lambda: all(map(node.up, range(1, 1 + PEERS))), node.serve)
        parts = [b"head", *[bytes(50_000)] * 5]
        for peer in range(1, 1 + PEERS):
            for _ in range(25):
                assert node.transport.send(peer, parts)
        # What the kernel takes leaves.
        gevent.sleep(0.1)
        breaks = threading.Thread(target=lambda: [raw.close() for raw in peers])
        breaks.start()
        if act:
            for peer in range(1, 1 + PEERS):
                act(node.transport, peer)
            breaks.join()
            gevent.sleep(0.05)
        node.close()
        breaks.join()


def resets_moves_and_ends() -> None:
    in_the_middle_of_messages(Transport.reset)
    in_the_middle_of_messages(lambda transport, peer: transport._names._located(peer, "127.0.0.2"))
    for _ in range(3):
        in_the_middle_of_messages(None)


def test_peers_that_break_connections_in_the_middle_of_a_message_kill_nobody() -> None:
    """libzmq aborted the process of the node that sent the message."""
    process = multiprocessing.get_context("spawn").Process(target=resets_moves_and_ends)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_a_descriptor_is_asked_and_ended_only_while_it_is_the_connection_to_that_port() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        mine = socket.create_connection((HOST, port))
        theirs, _ = server.accept()
        pair = socket.socketpair()
        with mine, theirs, pair[0], pair[1]:
            theirs.settimeout(5)
            assert is_connected(mine.fileno(), port) and not is_connected(mine.fileno(), port + 1)
            assert not is_connected(pair[0].fileno(), port)
            end_connection(mine.fileno(), port + 1)
            end_connection(pair[0].fileno(), port)
            mine.sendall(b"still here")
            pair[0].sendall(b"so am I")
            assert theirs.recv(100) == b"still here"
            # Asking ends nothing.
            assert is_connected(mine.fileno(), port)
            end_connection(mine.fileno(), port)
            assert theirs.recv(100) == b""
            descriptor = mine.fileno()
        assert not is_connected(descriptor, port)
        end_connection(descriptor, port)
