"""libzmq's abort (`NO_MARK`): messages wait unread, a heartbeat among them, when their connection breaks.

Each case runs in a process of its own, which the fault would end.
"""

import multiprocessing
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from support.endless import MIB, connect
from support.network import HOST, credentials, until

from honeybadger.network.peer_socket import PeerSocket
from honeybadger.network.receive_guard import Limits
from honeybadger.network.transport import listen

#: more than ZeroMQ's own high-water mark, 1,000
MESSAGES = 3_000
PING = b"\x04\x07\x04PING\x00\x00"
#: seconds; for ZeroMQ's thread
A_WHILE = 0.5


def flood(raw: socket.socket) -> None:
    """Send messages with heartbeats among them, and break the connection: reset, not closed."""
    raw.sendall((b"\x00\x01x" * 10 + PING) * (MESSAGES // 10))
    time.sleep(A_WHILE)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    time.sleep(A_WHILE)


def drained(receive: Callable[[], Any]) -> int:
    """How many messages there are, read slowly enough for ZeroMQ's thread to go on with the rest."""
    count = 0
    for _ in range(5):
        try:
            while True:
                receive()
                count += 1
        except zmq.Again:
            time.sleep(A_WHILE / 5)
    return count


def at_a_listening_socket() -> None:
    """As a node has two of: anybody may connect to the one for clients."""
    context: Any = zmq.Context()
    router = context.socket(zmq.ROUTER)
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    guard = listen(router, (HOST, port), "a test", Limits(MIB, MIB, 64 * MIB), lambda: None)
    flood(connect(port, b"DEALER"))
    assert drained(lambda: router.recv_multipart(zmq.NOBLOCK)) == MESSAGES
    guard.close()
    router.close(0)
    context.destroy(0)


def at_the_socket_to_a_peer() -> None:
    """The peer is the attacker."""
    context: Any = zmq.Context()
    with socket.create_server((HOST, 0)) as server:
        mine = credentials(2, curve=False)[0]
        peer = PeerSocket(context, mine, 1, (HOST, server.getsockname()[1]), lambda: None)
        raw, _ = server.accept()
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"PLAIN".ljust(20, b"\0") + b"\x01" + bytes(31))
    heard = b""
    for word, answer in ((b"HELLO", b"\x04\x08\x07WELCOME"), (b"INITIATE", b"")):
        while word not in heard:
            heard += raw.recv(1000)
        raw.sendall(answer)
    raw.sendall(b"\x04\x1c\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"ROUTER")
    opened: list[tuple[bool, str]] = []
    until(lambda: (True, "") in opened, lambda: opened.extend(peer.events()))
    flood(raw)
    drained(lambda: peer._socket.recv(zmq.NOBLOCK))
    list(peer.events())
    peer.close()
    context.destroy(0)


@pytest.mark.parametrize("case", [at_a_listening_socket, at_the_socket_to_a_peer])
def test_the_process_survives(case: Callable[[], None]) -> None:
    process = multiprocessing.get_context("spawn").Process(target=case, daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0
