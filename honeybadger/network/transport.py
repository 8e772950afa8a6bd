"""The ZeroMQ sockets of a node: one PULL socket for all messages from peers, one PUSH socket to each peer.

Nothing here blocks. gevent watches the descriptors of the sockets and calls `ready` for the reactor. A ZeroMQ
descriptor is edge-triggered, so after a callback the socket must be read until it is empty.

PUSH with IMMEDIATE queues only to live connections. Its high-water mark is off, because the links bound what is in
flight and send again what a broken connection loses. The sender of a message is the User-Id that ZAP attached to it.
"""

import errno
import socket as lookup
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import gevent
import zmq
from zmq.utils.monitor import parse_monitor_message

from honeybadger.network.addresses import endpoint, is_ipv6, place
from honeybadger.network.names import NameWatch, is_name
from honeybadger.network.outgoing import IN_FLIGHT_BYTES
from honeybadger.network.receive_guard import Limits, ReceiveGuard
from honeybadger.network.security import NODES_DOMAIN, Credentials, secure_peer, secure_server

#: bytes that ZeroMQ may buffer for each incoming connection, roughly
RECEIVE_BUFFER_BYTES = 64 * 1024 * 1024

#: after this time without authentication a connection is closed: strangers must not use up descriptors
HANDSHAKE_MS = 5_000
#: bytes, with room to spare
LONGEST_HANDSHAKE_COMMAND = 1024
#: most that a closed socket waits for the end of its TCP connection, which normally has come already
END_MS = 1_000

_FAILED_HANDSHAKES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it refused this node's key",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "it does not speak the expected protocol",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "its key is not the one in the manifest, or it closed the connection",
}
_EVENTS = (
    *(zmq.EVENT_CONNECTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED),
    *_FAILED_HANDSHAKES,
)


class AddressInUse(OSError):
    """A port is taken by another process."""


@dataclass(frozen=True)
class PeerEvent:
    """A connection to `peer` opened, closed, or could not be set up (`failure` says why)."""

    peer: int
    opened: bool
    failure: str = ""


class PeerTransport(Protocol):
    """What a node needs from a transport: `Transport`, or one that wraps it."""

    def receive(self) -> tuple[int, list[Any]] | None:
        """The next (sender, frames), or None."""

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """Hand over a message; False if there is no connection to the peer now."""

    def events(self) -> list[PeerEvent]:
        """Connections that opened, closed or failed since the last call."""

    def reset(self, peer: int) -> None:
        """Close the connection to the peer and open it again."""

    def close(self, linger_ms: int = 0) -> None:
        """Close everything."""


class Watcher:
    """Calls `ready` when a ZeroMQ socket may have something to read."""

    def __init__(self, socket: Any, ready: Callable[[], None]) -> None:
        self._io = gevent.get_hub().loop.io(socket.fd, 1)
        self._io.start(ready)

    def close(self) -> None:
        """Stop watching; call it before the socket is closed."""
        self._io.stop()
        self._io.close()


def listen(
    socket: Any, address: tuple[str, int], purpose: str, limits: Limits, ready: Callable[[], None]
) -> ReceiveGuard:
    """Bind the socket and guard it. If that fails, close it; AddressInUse or OSError names the port in one line."""
    host, port = address
    guard = ReceiveGuard(socket, limits, ready)
    with ExitStack() as undo:
        undo.callback(socket.close)
        undo.callback(guard.close)
        try:
            # ZeroMQ binds only to addresses, so look a name up here.
            socket.bind(endpoint(socket, host if is_ipv6(host) else lookup.gethostbyname(host), port))
        except (lookup.gaierror, UnicodeError) as error:
            raise OSError(f"cannot listen on {place(host, port)} ({purpose}): {error}") from None
        except zmq.ZMQError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(f"port {port} on {host} ({purpose}) is already in use") from None
            raise OSError(f"cannot listen on {place(host, port)} ({purpose}): {error.strerror}") from None
        undo.pop_all()
    return guard


@contextmanager
def _borrowed(descriptor: int) -> Iterator[lookup.socket]:
    """The socket behind a descriptor that ZeroMQ owns, and will close."""
    connection = lookup.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()


def is_connected(descriptor: int, peer_port: int) -> bool:
    """Whether the descriptor, which ZeroMQ may have closed, still stands for a TCP connection to this port."""
    with suppress(OSError), _borrowed(descriptor) as connection:
        # By now it may be of another kind of socket, whose peer has no port.
        return bool(connection.getpeername()[1:2] == (peer_port,))
    return False


def end_connection(descriptor: int, peer_port: int) -> None:
    """End the TCP connection to this port, if the descriptor still stands for it."""
    if is_connected(descriptor, peer_port):
        with suppress(OSError), _borrowed(descriptor) as connection:
            connection.shutdown(lookup.SHUT_RDWR)


class _PeerSocket:
    """The socket to one peer at one address, and what its monitor tells. `changed`: it has something to tell.

    libzmq 4.3.5 aborts the process (`clean_pipes` in session_base.cpp) if a connection breaks in the middle of a
    message whose rest was dropped: by `disconnect`, which must not be used, or by the end of a socket's linger time.
    So only the end of the TCP connection may drop messages.
    """

    def __init__(
        self, context: Any, credentials: Credentials, peer: int, address: tuple[str, int], changed: Callable[[], None]
    ) -> None:
        self.address = address
        self.socket = context.socket(zmq.PUSH)
        self.socket.linger = END_MS
        self.socket.immediate = True
        self.socket.sndhwm = 0
        # A peer has nothing to say here. ZeroMQ would hold whatever it sends, and nobody would read it.
        self.socket.maxmsgsize = LONGEST_HANDSHAKE_COMMAND
        self.socket.reconnect_ivl = 50
        self.socket.reconnect_ivl_max = 1000
        self.socket.heartbeat_ivl = 5000
        self.socket.heartbeat_timeout = 20000
        secure_peer(self.socket, credentials, peer)
        self._monitor = self.socket.get_monitor_socket(sum(_EVENTS))
        self._watcher = Watcher(self._monitor, changed)
        #: of the TCP connection; and whether this node has ended it
        self._descriptor: int | None = None
        self._ended = False
        try:
            self.socket.connect(endpoint(self.socket, *address))
        except zmq.ZMQError as error:
            self.close()
            raise OSError(f"cannot connect to node {peer} at {place(*address)}: {error.strerror}") from None

    def events(self) -> Iterator[tuple[bool, str]]:
        """Whether the connection is open now, or why it cannot be; read until there is no more."""
        while True:
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            kind = int(event["event"])
            if kind == zmq.EVENT_CONNECTED:
                self._descriptor = int(event["value"])
                self._ended = False
                continue
            if kind == zmq.EVENT_DISCONNECTED:
                self._descriptor = None
            if not self._ended:
                yield kind == zmq.EVENT_HANDSHAKE_SUCCEEDED, _FAILED_HANDSHAKES.get(kind, "")

    def is_connected(self) -> bool:
        """Whether there is a TCP connection."""
        return self._descriptor is not None and is_connected(self._descriptor, self.address[1])

    def end(self) -> None:
        """End the TCP connection, with what is queued for it, and report nothing more of it. ZeroMQ opens another."""
        if self._descriptor is not None:
            self._ended = True
            end_connection(self._descriptor, self.address[1])
            self._descriptor = None

    def close(self) -> None:
        """What is queued still leaves until the connection ends: end it."""
        self._watcher.close()
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close()


class Transport:
    """The sockets between this node and its peers; `addresses` are (host, port) by node index."""

    def __init__(
        self,
        context: Any,
        credentials: Credentials,
        addresses: Sequence[tuple[str, int]],
        longest_part: int,
        ready: Callable[[], None],
    ) -> None:
        me = credentials.me
        #: bytes handed to ZeroMQ, and taken from it
        self.sent_bytes = self.received_bytes = 0
        self._pull = context.socket(zmq.PULL)
        self._pull.linger = 0
        self._pull.maxmsgsize = longest_part
        self._pull.handshake_ivl = HANDSHAKE_MS
        self._pull.rcvhwm = max(16, min(1000, RECEIVE_BUFFER_BYTES // longest_part))
        secure_server(self._pull, credentials, NODES_DOMAIN)
        # A sender has this much in flight. While this node does not read, several connections of one sender may add up,
        # because `FaultyTransport` breaks connections that stay open here.
        longest = max(IN_FLIGHT_BYTES, longest_part)
        limits = Limits(longest, longest, 4 * longest)
        self._guard = listen(self._pull, addresses[me], f"node {me}, for its peers", limits, ready)
        self._watcher = Watcher(self._pull, ready)
        self._peers: dict[int, _PeerSocket] = {}
        self._connected: set[int] = set()
        self._noted: list[PeerEvent] = []
        #: peers whose socket may have something to tell
        self._changed: set[int] = set()

        def connect(peer: int, host: str) -> None:
            """Connect to this address, and no longer to the former one."""
            address, former = (host, addresses[peer][1]), self._peers.get(peer)
            if former and former.address != address:
                former.end()
                former.close()
            if not former or former.address != address:
                self._peers[peer] = _PeerSocket(context, credentials, peer, address, partial(changed, peer))
                # Its descriptor signals nothing before it was once read until empty.
                changed(peer)

        def changed(peer: int) -> None:
            self._changed.add(peer)
            ready()

        names = {}
        for peer, (host, _) in enumerate(addresses):
            if peer != me:
                if is_name(host):
                    names[peer] = host
                else:
                    connect(peer, host)
        self._names = NameWatch(names, lambda peer: peer not in self._connected, connect)

    @property
    def connections_cut(self) -> int:
        """Connections that sent a message without end, or more than this node could read."""
        return self._guard.cut

    def receive(self) -> tuple[int, list[Any]] | None:
        """The next (sender, frames), or None if there is none. Frames have a `buffer`."""
        try:
            frames = self._pull.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            self._guard.look(empty=True)
            return None
        size = sum(map(len, frames))
        self.received_bytes += size
        sender = int(frames[0].get("User-Id"))
        self._guard.delivered(frames, size, sender)
        return sender, frames

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """Hand a message to ZeroMQ; False if there is no connection to the peer now."""
        try:
            self._peers[peer].socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
        except (KeyError, zmq.Again):
            return False
        self.sent_bytes += sum(map(len, parts))
        return True

    def events(self) -> list[PeerEvent]:
        """Connections that opened, closed or failed since the last call."""
        news, self._noted = self._noted, []
        # Only monitors whose descriptor fired: reading all of them would cost more than the rest of a tick.
        while self._changed:
            peer = self._changed.pop()
            news += [PeerEvent(peer, *event) for event in self._peers[peer].events()]
        for seen in news:
            (self._connected.add if seen.opened else self._connected.discard)(seen.peer)
        return news

    def reset(self, peer: int) -> None:
        """Close the TCP connection to the peer and open a new one; what is queued for it is lost."""
        self._noted = [*self.events(), PeerEvent(peer, False)]
        if peer in self._peers:
            self._peers[peer].end()

    def close(self, linger_ms: int = 0) -> None:
        """Close everything; queued messages may still leave for `linger_ms`."""
        self._names.close()
        self._watcher.close()
        # Learn of all connections, to end them.
        self._changed.update(self._peers)
        self.events()
        peers = self._peers.values()
        for peer in peers:
            peer.close()
        limit = time.monotonic() + linger_ms / 1000
        while time.monotonic() < limit and any(peer.is_connected() for peer in peers):
            gevent.sleep(0.005)
        for peer in peers:
            peer.end()
        self._guard.close()
        self._pull.close(0)
