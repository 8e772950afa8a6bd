"""What the socket-level tests share: ports, keys, nodes in one process, a TCP proxy that can cut connections."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gevent
import zmq
from gevent import socket as gsocket
from gevent.server import StreamServer

from honeybadger.cluster.processes import free_ports
from honeybadger.network.codec import join
from honeybadger.network.security import Credentials, ZapHandler, secure_peer
from honeybadger.network.transport import PeerEvent, Transport

HOST = "127.0.0.1"


def until(condition: Callable[[], object], *steps: Callable[[], object], seconds: float = 60.0) -> None:
    """Repeat `steps` until `condition` holds; an AssertionError if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        for step in steps:
            step()
        gevent.sleep(0.002)


def credentials(nodes: int, curve: bool = True) -> list[Credentials]:
    """Matching credentials of all nodes."""
    pairs = [zmq.curve_keypair() for _ in range(nodes)]
    keys = [public.decode() for public, _ in pairs]
    return [Credentials(i, keys[i], pairs[i][1].decode(), keys, curve) for i in range(nodes)]


class Endpoint:
    """The sockets of one node: a context with its ZAP handler and a transport."""

    def __init__(
        self, mine: Credentials, addresses: Sequence[tuple[str, int]], longest_part: int = 1 << 20, ready: Any = None
    ) -> None:
        self.credentials, self.port = mine, addresses[mine.me][1]
        self.context: Any = zmq.Context()
        self.zap = ZapHandler(self.context, mine)
        self.events: list[PeerEvent] = []
        self.received: list[tuple[int, list[bytes]]] = []
        try:
            self.transport = Transport(self.context, mine, addresses, longest_part, ready or (lambda: None))
        except BaseException:
            self.context.destroy(0)
            raise

    def serve(self) -> None:
        """Authenticate, note events and messages."""
        self.zap.serve()
        self.events += self.transport.events()
        while (arrived := self.transport.receive()) is not None:
            self.received.append((arrived[0], [bytes(part) for part in arrived[1]]))

    def up(self, peer: int) -> bool:
        """Whether the newest event of `peer` is an open connection."""
        mine = [event for event in self.events if event.peer == peer]
        return bool(mine) and mine[-1].opened

    def close(self, linger_ms: int = 0) -> None:
        """Close all sockets and the context."""
        self.transport.close(linger_ms)
        self.zap.socket.close(0)
        self.context.destroy(0)


def push(endpoint: Endpoint, port: int, setup: Callable[[Any], object]) -> Any:
    """One more socket in the context of `endpoint`, connected to `port` as `setup` says."""
    socket = endpoint.context.socket(zmq.DEALER)
    socket.linger = 0
    setup(socket)
    socket.connect(f"tcp://{HOST}:{port}")
    return socket


class Speaker:
    """A socket of a member at the port of node `receiver`, by hand: it may say what no `PeerSocket` does."""

    def __init__(self, context: Any, member: Credentials, receiver: int, port: int, sndhwm: int = 0) -> None:
        self._member, self._receiver = member, receiver
        self._sealer: Any = None
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger, self.socket.sndhwm = 0, sndhwm
        # A broken connection has no next one.
        self.socket.reconnect_ivl = -1
        secure_peer(self.socket, member, receiver)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.socket.connect(f"tcp://{HOST}:{port}")

    def open(self, step: Callable[[], object] = lambda: None) -> "Speaker":
        """The handshake."""
        if self._member.curve:
            offered = self._member.initiate(self._receiver)
            self.socket.send(offered.offer)
            until(lambda: self.socket.poll(0), step)
            self._sealer = offered.finish(self.socket.recv())
        return self

    def sealed(self, data: bytes) -> bytes:
        """The next message, for the wire."""
        return self._sealer.seal(data) if self._sealer else data

    def send(self, *parts: bytes) -> None:
        """A message as a node sends it, in one piece."""
        self.socket.send(self.sealed(join(parts)))

    def gone(self) -> bool:
        """Whether the other side has ended the connection."""
        return bool(self.monitor.poll(0))

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


@contextmanager
def endpoints(
    nodes: int, curve: bool = True, longest_part: int = 1 << 20, ready: Any = None
) -> Iterator[list[Endpoint]]:
    """Nodes that all know each other on free ports."""
    addresses = [(HOST, port) for port in free_ports(nodes)]
    made = [Endpoint(mine, addresses, longest_part, ready) for mine in credentials(nodes, curve)]
    try:
        yield made
    finally:
        for endpoint in made:
            endpoint.close()


def connect_all(made: Sequence[Endpoint]) -> None:
    """Wait until everybody is connected to everybody."""
    until(
        lambda: all(e.up(peer) for i, e in enumerate(made) for peer in range(len(made)) if peer != i),
        *(e.serve for e in made),
    )


class Proxy:
    """Forwards TCP to `target` on its own port; `cut` breaks all connections and loses what they carried."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pairs: list[tuple[Any, Any]] = []
        self.connections = 0
        self._server = StreamServer((HOST, 0), self._serve)
        self._server.start()
        self.port: int = self._server.server_port

    def alter(self, data: bytes) -> bytes:
        """What becomes of bytes on their way to the target."""
        return data

    def cut(self) -> None:
        """Break every connection now; new ones may come."""
        for pair in self._pairs:
            for s in pair:
                s.close()
        self._pairs.clear()

    def close(self) -> None:
        """Stop for good."""
        self._server.stop()
        self.cut()

    def _serve(self, near: Any, _address: object) -> None:
        try:
            far = gsocket.create_connection((HOST, self._target))
        except OSError:
            near.close()
            return
        self.connections += 1
        self._pairs.append((near, far))
        gevent.joinall([gevent.spawn(_copy, near, far, self.alter), gevent.spawn(_copy, far, near)])


def _copy(source: Any, sink: Any, alter: Callable[[bytes], bytes] = bytes) -> None:
    try:
        while data := source.recv(16384):
            sink.sendall(alter(data))
            gevent.sleep(0)
    except OSError:
        return
    finally:
        source.close()
        sink.close()
