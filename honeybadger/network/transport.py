"""ZeroMQ sockets of a node: one PULL socket for everything that peers send, one PUSH socket to each peer.

Nothing here blocks or waits. The reactor is told through `ready` callbacks, driven by gevent's watchers on the sockets'
descriptors. A ZeroMQ descriptor is edge-triggered, so after a callback the socket must be read until it is empty.

PUSH with IMMEDIATE queues only to live connections, and its high-water mark is off because the links bound what is
in flight; what a broken connection loses, the links send again. The sender of a message is the User-Id that ZAP
attached to it.
"""

from __future__ import annotations

import errno
import socket as lookup
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
import zmq
from zmq.utils.monitor import parse_monitor_message

from honeybadger.network.addresses import endpoint, is_ipv6, place
from honeybadger.network.links import IN_FLIGHT_BYTES
from honeybadger.network.names import NameWatch, is_name
from honeybadger.network.receive_guard import Limits, ReceiveGuard
from honeybadger.network.security import NODES_DOMAIN, Credentials, secure_peer, secure_server

#: bytes that ZeroMQ may buffer per incoming connection, roughly
RECEIVE_BUFFER_BYTES = 64 * 1024 * 1024

#: a connection that has not authenticated by then is closed: strangers must not use up descriptors
HANDSHAKE_MS = 5_000

_FAILED_HANDSHAKES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it refused this node's key",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "it does not speak the expected protocol",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "its key is not the one in the manifest, or it closed the connection",
}
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | sum(_FAILED_HANDSHAKES)


class AddressInUse(OSError):
    """A port is taken by another process."""


@dataclass(frozen=True)
class PeerEvent:
    """A connection to `peer` opened, closed, or could not be set up (`failure` says why)."""

    peer: int
    opened: bool
    failure: str = ""


class Watcher:
    """Calls `ready` when a ZeroMQ socket may have something to read."""

    def __init__(self, socket: Any, ready: Callable[[], None]) -> None:
        self._io = gevent.get_hub().loop.io(socket.fd, 1)
        self._io.start(ready)

    def close(self) -> None:
        """Stop watching; must come before the socket is closed."""
        self._io.stop()
        self._io.close()


def bind(socket: Any, host: str, port: int, purpose: str) -> None:
    """Bind, or raise AddressInUse / OSError in one line that names the port."""
    try:
        # ZeroMQ binds to addresses only, so a name is looked up here.
        socket.bind(endpoint(socket, host if is_ipv6(host) else lookup.gethostbyname(host), port))
    except (lookup.gaierror, UnicodeError) as error:
        raise OSError(f"cannot listen on {place(host, port)} ({purpose}): {error}") from None
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"port {port} on {host} ({purpose}) is already in use") from None
        raise OSError(f"cannot listen on {place(host, port)} ({purpose}): {error.strerror}") from None


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
        self.sent_bytes = 0
        self.received_bytes = 0
        self._pull = context.socket(zmq.PULL)
        self._pull.linger = 0
        self._pull.maxmsgsize = longest_part
        self._pull.handshake_ivl = HANDSHAKE_MS
        self._pull.rcvhwm = max(16, min(1000, RECEIVE_BUFFER_BYTES // longest_part))
        secure_server(self._pull, credentials, NODES_DOMAIN)
        # A message is a part of what its sender has in flight. While this node does not read, broken connections
        # that the sender does not see as one (`FaultyTransport`) may add up.
        longest = max(IN_FLIGHT_BYTES, longest_part)
        self._guard = ReceiveGuard(self._pull, Limits(longest, longest, 4 * longest), ready)
        try:
            bind(self._pull, addresses[me][0], addresses[me][1], f"node {me}, for its peers")
        except OSError:
            self._guard.close()
            self._pull.close()
            raise
        self._watchers = [Watcher(self._pull, ready)]
        self._push: dict[int, Any] = {}
        self._monitors: dict[int, Any] = {}
        self._endpoints: dict[int, str] = {}
        self._connected: set[int] = set()
        self._noted: list[PeerEvent] = []
        # A descriptor tells of nothing before its socket was first read until empty, so look at all of them once.
        self._changed = set(range(len(addresses))) - {me}
        for peer, (host, port) in enumerate(addresses):
            if peer != me:
                self._open(context, credentials, peer, ready)
                if not is_name(host):
                    self._connect(peer, host, port)
        names = {peer: host for peer, (host, _) in enumerate(addresses) if peer != me and is_name(host)}
        self._names = (
            NameWatch(
                names,
                lambda peer: peer not in self._connected,
                lambda peer, address: self._connect(peer, address, addresses[peer][1]),
            )
            if names
            else None
        )

    @property
    def connections_cut(self) -> int:
        """Connections that sent a message without end, or too much that nobody came to read."""
        return self._guard.cut

    def receive(self) -> tuple[int, list[Any]] | None:
        """The next (sender, frames), or None if nothing has arrived. Frames have a `buffer`."""
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
            self._push[peer].send_multipart(parts, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        self.sent_bytes += sum(map(len, parts))
        return True

    def events(self) -> list[PeerEvent]:
        """Connections that opened, closed or failed since the last call."""
        found, self._noted = self._noted, []
        # Only monitors whose descriptor fired: looking at all of them in every tick costs more than the tick.
        while self._changed:
            peer = self._changed.pop()
            while True:
                try:
                    event = parse_monitor_message(self._monitors[peer].recv_multipart(zmq.NOBLOCK))
                except zmq.Again:
                    break
                kind = int(event["event"])
                if kind in _FAILED_HANDSHAKES:
                    found.append(PeerEvent(peer, False, _FAILED_HANDSHAKES[kind]))
                else:
                    found.append(PeerEvent(peer, kind == zmq.EVENT_HANDSHAKE_SUCCEEDED))
        for seen in found:
            (self._connected.add if seen.opened else self._connected.discard)(seen.peer)
        return found

    def reset(self, peer: int) -> None:
        """Close the TCP connection to the peer and open a new one; what is queued for it is lost."""
        # ZeroMQ reports no connection that was closed on purpose, so this is noted here, after what came before it.
        self._noted = [*self.events(), PeerEvent(peer, False)]
        if known := self._endpoints.get(peer):
            self._push[peer].disconnect(known)
            self._push[peer].connect(known)

    def close(self, linger_ms: int = 0) -> None:
        """Close everything; what is queued may still leave for `linger_ms`."""
        if self._names is not None:
            self._names.close()
        for watcher in self._watchers:
            watcher.close()
        for peer, socket in self._push.items():
            socket.disable_monitor()
            self._monitors[peer].close(0)
            socket.close(linger_ms)
        self._guard.close()
        self._pull.close(0)

    def _open(self, context: Any, credentials: Credentials, peer: int, ready: Callable[[], None]) -> None:
        socket = context.socket(zmq.PUSH)
        socket.linger = 0
        socket.immediate = True
        socket.sndhwm = 0
        socket.reconnect_ivl = 50
        socket.reconnect_ivl_max = 1000
        socket.heartbeat_ivl = 5000
        socket.heartbeat_timeout = 20000
        secure_peer(socket, credentials, peer)
        monitor = socket.get_monitor_socket(_EVENTS)
        self._push[peer] = socket
        self._monitors[peer] = monitor

        def changed() -> None:
            self._changed.add(peer)
            ready()

        self._watchers.append(Watcher(monitor, changed))

    def _connect(self, peer: int, address: str, port: int) -> None:
        """To this address, and no longer to the one before."""
        wanted, before = endpoint(self._push[peer], address, port), self._endpoints.get(peer)
        if wanted == before:
            return
        if before is not None:
            self._push[peer].disconnect(before)
        self._endpoints[peer] = wanted
        try:
            self._push[peer].connect(wanted)
        except zmq.ZMQError as error:
            raise OSError(f"cannot connect to node {peer} at {place(address, port)}: {error.strerror}") from None
