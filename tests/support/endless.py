"""Messages without end, on a raw TCP connection."""

import contextlib
import socket
import struct
from collections.abc import Callable

from support.network import HOST, until

MIB = 1 << 20


def connect(port: int, kind: bytes, step: Callable[[], object] = lambda: None, *, member: bytes = b"") -> socket.socket:
    """A ZMTP 3.0 connection by hand, ready for messages: ZeroMQ itself sends no unfinished one.

    `kind`: the socket type that it claims; `member`: the name under which it comes, if it does not come as a client;
    `step()` lets the node work.
    """
    raw = socket.create_connection((HOST, port))
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + (b"PLAIN" if member else b"NULL").ljust(20, b"\0") + bytes(32))
    if member:
        _command(raw, b"HELLO", bytes([len(member)]) + member + b"\x01x")
        _hear(raw, b"WELCOME", step)
    _command(raw, b"INITIATE" if member else b"READY", b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind)
    # Messages that come before ZeroMQ has said that it is ready would be a breach of protocol.
    _hear(raw, b"READY", step)
    raw.settimeout(10)
    return raw


def _command(raw: socket.socket, name: bytes, body: bytes) -> None:
    raw.sendall(b"\x04" + bytes([1 + len(name) + len(body), len(name)]) + name + body)


def _hear(raw: socket.socket, word: bytes, step: Callable[[], object]) -> None:
    raw.setblocking(False)
    answer = b""

    def listen() -> None:
        nonlocal answer
        step()
        with contextlib.suppress(BlockingIOError):
            answer += raw.recv(1000)

    until(lambda: word in answer, listen)
    raw.setblocking(True)


def part(size: int, *, more: bool = True) -> bytes:
    return bytes([2 | more]) + struct.pack(">Q", size) + bytes(size)


def gone(raw: socket.socket) -> bool:
    """Whether the other side has ended the connection."""
    raw.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        try:
            while True:
                if not raw.recv(1000):
                    return True
        except ConnectionError:
            return True
    return False


def attack(raw: socket.socket, parts: int = 24) -> None:
    with contextlib.suppress(OSError):
        for _ in range(parts):
            raw.sendall(part(MIB // 8))
