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
from honeybadger.network.security import Credentials, ZapHandler
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
        gevent.joinall([gevent.spawn(_copy, near, far), gevent.spawn(_copy, far, near)])


def _copy(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(16384):
            sink.sendall(data)
            gevent.sleep(0)
    except OSError:
        return
    finally:
        source.close()
        sink.close()
