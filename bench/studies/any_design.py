"""What every design costs that brings the payload to each node once.

Of each proposal of another node, a node receives every byte once, and somebody sends it to this node: N-1 proposals in
and, over all nodes, N-1 out. The link seals and opens them (AES-256-GCM). Of all N proposals each byte is hashed once
and written to a file once. Left out are votes, cutting into transactions, the way from the client, and syncing to the
disk: whatever a design does, it does this.

The transport is a bare TCP connection over loopback, the cheapest of all that go through the kernel.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.studies.timing import Primitive, timed

#: bytes given to the kernel at a time: both buffers hold it, so one thread can send and then receive
CHUNK = 64 * 1024
#: bytes sent in one timing, at least: a small proposal takes less than a step of the clock
LEAST_SENT = 1 << 20


@contextmanager
def payload_once(nodes: int, proposal_bytes: int) -> Iterator[list[Primitive]]:
    """The primitives of a node among `nodes`, each of which proposes so many bytes; their sockets and their file are
    closed at the end."""
    proposal = os.urandom(proposal_bytes)
    cipher, nonce = AESGCM(bytes(32)), bytes(12)
    seal = partial(cipher.encrypt, nonce, proposal, None)
    unseal = partial(cipher.decrypt, nonce, sealed := seal(), None)
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
        there, here = _connected(stack)
        yield [
            ("receive a proposal, and send one", nodes - 1, _transport(there, here, sealed)),
            ("AES-GCM of the link, seal a proposal", nodes - 1, partial(timed, seal)),
            ("AES-GCM of the link, open a proposal", nodes - 1, partial(timed, unseal)),
            ("hash of a proposal", nodes, partial(timed, lambda: blake3(proposal).digest())),
            ("write a proposal", nodes, partial(_timed_write, file.fileno(), proposal)),
        ]


def _connected(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = stack.enter_context(socket.create_connection(server.getsockname()))
        here = stack.enter_context(server.accept()[0])
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return there, here


def _transport(there: socket.socket, here: socket.socket, sealed: bytes) -> Callable[[], float]:
    count = max(1, LEAST_SENT // len(sealed))
    space, view = memoryview(bytearray(CHUNK)), memoryview(sealed)

    def send_and_receive() -> None:
        for _ in range(count):
            for at in range(0, len(sealed), CHUNK):
                there.sendall(chunk := view[at : at + CHUNK])
                missing = len(chunk)
                while missing:
                    missing -= here.recv_into(space, missing)

    return lambda: timed(send_and_receive) / count


def _timed_write(file: int, data: bytes) -> float:
    """To pages that are new, as in a file that grows; without a sync."""
    os.ftruncate(file, 0)
    return timed(lambda: _write(file, data))


def _write(file: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(file, view[at:], at)
