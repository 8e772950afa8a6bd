"""The ZeroMQ sockets of a node: one ROUTER socket for all messages from peers, one DEALER socket to each peer.

Nothing here blocks. gevent watches the descriptors of the sockets and calls `ready` for the reactor. A ZeroMQ
descriptor is edge-triggered, so after a callback the socket must be read until it is empty.

Messages between nodes go one way on a connection, from DEALER to ROUTER; back goes the answer in its handshake
(`channel`), which says who the sender is. `peer_socket` is the side that speaks, `arrivals` the side that listens.
DEALER with IMMEDIATE queues only to live connections. Its high-water mark is off, because the links bound what is in
flight and send again what a broken connection loses. A message is one ZeroMQ part or two.
"""

import errno
import socket as lookup
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import gevent
import zmq

from honeybadger.network.addresses import endpoint, is_ipv6, place
from honeybadger.network.arrivals import Arrivals
from honeybadger.network.channel import SEAL_BYTES
from honeybadger.network.codec import HEADER_BYTES, JOIN_BYTES
from honeybadger.network.names import NameWatch, is_name
from honeybadger.network.outgoing import IN_FLIGHT_BYTES
from honeybadger.network.peer_socket import PeerSocket
from honeybadger.network.receive_guard import NO_MARK, Limits, ReceiveGuard
from honeybadger.network.security import NODES_DOMAIN, Credentials, secure_server
from honeybadger.network.watcher import Watcher

#: bytes that a message of one entry is longer than the entry
MESSAGE_OVERHEAD_BYTES = HEADER_BYTES + JOIN_BYTES + SEAL_BYTES
#: after this time without authentication a connection is closed: strangers must not use up descriptors
HANDSHAKE_MS = 5_000
#: bytes that a connection may bring before it has proven whose it is: an offer, with room to spare
PROOF_BYTES = 4096
#: how often to read all sockets to peers, seconds: while this node sends, it may miss that one has something to say
ASKED_S = 0.25
#: messages without anything for the node that are taken at once: strangers must not keep it reading
IDLE_MESSAGES = 16


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
        """The next (sender, parts), or None. Parts are bytes or views of them."""

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """Hand over a message; False if there is no connection to the peer now."""

    def events(self) -> list[PeerEvent]:
        """Connections that opened, closed or failed since the last call."""

    def reset(self, peer: int) -> None:
        """Close the connection to the peer and open it again."""

    def close(self, linger_ms: int = 0) -> None:
        """Close everything."""


def listen(
    socket: Any, address: tuple[str, int], purpose: str, limits: Limits, ready: Callable[[], None]
) -> ReceiveGuard:
    """Bind the socket and guard it. If that fails, close it; AddressInUse or OSError names the port in one line."""
    host, port = address
    socket.rcvhwm = NO_MARK
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
        #: bytes of the messages handed to ZeroMQ, and taken from it
        self.sent_bytes = self.received_bytes = 0
        longest = longest_part + MESSAGE_OVERHEAD_BYTES
        self._router = context.socket(zmq.ROUTER)
        self._router.linger = 0
        self._router.maxmsgsize = longest
        self._router.handshake_ivl = HANDSHAKE_MS
        secure_server(self._router, credentials, NODES_DOMAIN)
        # A sender has this much in flight. While this node does not read, several connections of one sender may add up,
        # because `FaultyTransport` breaks connections that stay open here.
        most = max(IN_FLIGHT_BYTES, longest)
        limits = Limits(most, most, 4 * most)
        if credentials.curve:
            limits = replace(limits, proof_s=HANDSHAKE_MS / 1000, proof_bytes=PROOF_BYTES)
        self._guard = listen(self._router, addresses[me], f"node {me}, for its peers", limits, ready)
        self._watcher = Watcher(self._router, ready)
        self._arrivals = Arrivals(self._router, credentials)
        self._ready = ready
        self._peers: dict[int, PeerSocket] = {}
        self._connected: set[int] = set()
        self._noted: list[PeerEvent] = []
        #: peers whose socket may have something to tell
        self._changed: set[int] = set()
        self._next_asked = 0.0

        def connect(peer: int, host: str) -> None:
            """Connect to this address, and no longer to the former one."""
            address, former = (host, addresses[peer][1]), self._peers.get(peer)
            if former and former.address != address:
                former.end()
                former.close()
            if not former or former.address != address:
                self._peers[peer] = PeerSocket(context, credentials, peer, address, partial(changed, peer))
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
        """The next (sender, parts), or None if there is none."""
        for _ in range(IDLE_MESSAGES):
            try:
                name = self._router.recv(zmq.NOBLOCK)
            except zmq.Again:
                self._guard.look(empty=True)
                return None
            # ZeroMQ hands over whole messages, so the rest is there.
            frames = [self._router.recv(copy=False)]
            while frames[-1].more:
                frames.append(self._router.recv(copy=False))
            arrived = self._arrivals.take(name, frames)
            self._guard.delivered(frames, sum(map(len, frames)), None if arrived is None else arrived[0])
            if arrived is not None:
                self.received_bytes += sum(map(len, arrived[1]))
                return arrived
        # There may be more, and the watcher will not say so.
        self._ready()
        return None

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        """Hand a message to ZeroMQ; False if there is no connection to the peer now."""
        socket = self._peers.get(peer)
        if socket is None or not socket.send(parts):
            return False
        self.sent_bytes += sum(map(len, parts))
        return True

    def events(self) -> list[PeerEvent]:
        """Connections that opened, closed or failed since the last call."""
        news, self._noted = self._noted, []
        if (now := time.monotonic()) >= self._next_asked:
            self._next_asked = now + ASKED_S
            self._changed.update(self._peers)
        # Else only what fired: reading all of them would cost more than the rest of a tick.
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
        self._router.close(0)
