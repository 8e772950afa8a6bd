"""The socket to one peer, from its connection through the handshake to the messages."""

import socket as lookup
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from honeybadger.network.addresses import endpoint, place
from honeybadger.network.channel import HEAD, TAIL, WHOLE, ChannelError, Initiator, Sealer
from honeybadger.network.codec import join
from honeybadger.network.receive_guard import NO_MARK
from honeybadger.network.security import Credentials, secure_peer
from honeybadger.network.watcher import Watcher

#: the last part of a message is not joined with the others if it has this many bytes
ALONE_BYTES = 64 * 1024
#: a frame is not copied if it has this many bytes; a thread of Python must then hear from ZeroMQ when it has left
ZERO_COPY_BYTES = 256 * 1024
#: bytes, with room to spare
LONGEST_HANDSHAKE_COMMAND = 1024
#: most that a closed socket waits for the end of its TCP connection, which normally has come already
END_MS = 1_000
#: most that the first message waits for the socket to know of its own connection
OFFER_MS = 20

_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_OTHER_KEY = "its key is not the one in the manifest, or it closed the connection"
_FAILED_HANDSHAKES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it refused this node's key",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "it does not speak the expected protocol",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: _OTHER_KEY,
}
_EVENTS = (
    *(zmq.EVENT_CONNECTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED),
    *_FAILED_HANDSHAKES,
)


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


class PeerSocket:
    """The DEALER socket to one peer at one address, and what its monitor tells. `changed`: it has something to tell.

    After ZeroMQ's own handshake this node sends an offer (`channel`). The connection is open when the peer has answered
    it. Without CURVE it is open at once.

    libzmq 4.3.5 aborts the process (`clean_pipes` in session_base.cpp) if a connection breaks in the middle of a
    message whose rest was dropped: by `disconnect`, which must not be used, or by the end of a socket's linger time.
    So only the end of the TCP connection may drop messages.
    """

    def __init__(
        self, context: Any, credentials: Credentials, peer: int, address: tuple[str, int], changed: Callable[[], None]
    ) -> None:
        self.address = address
        self._credentials, self._peer = credentials, peer
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = END_MS
        self._socket.immediate = True
        self._socket.sndhwm = 0
        self._socket.sndtimeo = OFFER_MS
        self._socket.maxmsgsize = LONGEST_HANDSHAKE_COMMAND
        self._socket.rcvhwm = NO_MARK
        self._socket.reconnect_ivl = 50
        self._socket.reconnect_ivl_max = 1000
        self._socket.heartbeat_ivl = 5000
        self._socket.heartbeat_timeout = 20000
        secure_peer(self._socket, credentials, peer)
        self._monitor = self._socket.get_monitor_socket(sum(_EVENTS))
        self._watchers = [Watcher(self._monitor, changed), Watcher(self._socket, changed)]
        #: of the TCP connection; and whether this node has ended it
        self._descriptor: int | None = None
        self._ended = False
        #: whether messages may be sent; with CURVE by this sealer, which the offer will bring
        self._open = False
        self._offered: Initiator | None = None
        self._sealer: Sealer | None = None
        try:
            self._socket.connect(endpoint(self._socket, *address))
        except zmq.ZMQError as error:
            self.close()
            raise OSError(f"cannot connect to node {peer} at {place(*address)}: {error.strerror}") from None

    def send(self, parts: Sequence[bytes]) -> bool:
        """Hand a message to ZeroMQ; False if there is no open connection."""
        if not self._open:
            return False
        try:
            for frame, flags in self._frames(parts):
                self._socket.send(frame, flags, copy=len(frame) < ZERO_COPY_BYTES)
        except zmq.Again:
            # The connection is gone, and a number of it is used up.
            self._open = False
            return False
        return True

    def _frames(self, parts: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
        """What goes over the wire for a message, with ZeroMQ's flags."""
        seal = self._sealer.seal if self._sealer is not None else _as_it_is
        if len(parts) > 1 and len(parts[-1]) >= ALONE_BYTES:
            yield seal(join(parts[:-1]), HEAD), _MORE
            yield seal(parts[-1], TAIL), _LAST
        else:
            yield seal(join(parts), WHOLE), _LAST

    def events(self) -> Iterator[tuple[bool, str]]:
        """Whether the connection is open now, or why it cannot be; read until there is no more."""
        while True:
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
            kind = int(event["event"])
            if kind == zmq.EVENT_CONNECTED:
                self._descriptor = int(event["value"])
                self._ended = False
                continue
            if kind == zmq.EVENT_DISCONNECTED:
                self._descriptor = None
            if self._ended:
                continue
            self._open, self._offered = False, None
            if kind != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                yield False, _FAILED_HANDSHAKES.get(kind, "")
            elif self._credentials.curve:
                self._offer()
            else:
                self._open = True
                yield True, ""
        while True:
            try:
                answer = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if not self._ended:
                yield self._answered(answer)

    def is_connected(self) -> bool:
        """Whether there is a TCP connection."""
        return self._descriptor is not None and is_connected(self._descriptor, self.address[1])

    def end(self) -> None:
        """End the TCP connection, with what is queued for it, and report nothing more of it. ZeroMQ opens another."""
        self._open, self._offered = False, None
        if self._descriptor is not None:
            self._ended = True
            end_connection(self._descriptor, self.address[1])
            self._descriptor = None

    def close(self) -> None:
        """What is queued still leaves until the connection ends: end it."""
        for watcher in self._watchers:
            watcher.close()
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()

    def _offer(self) -> None:
        try:
            self._offered = self._credentials.initiate(self._peer)
            self._socket.send(self._offered.offer)
        except (ChannelError, zmq.Again):
            # The next connection may do better.
            self.end()

    def _answered(self, answer: list[bytes]) -> tuple[bool, str]:
        """The peer answers the offer, or asks for another connection because it cannot read this one."""
        offered, self._offered = self._offered, None
        why = ""
        # What was sealed for the former connection may have left on this one: then the peer asks; its key is right.
        if offered is not None and len(answer) == 1 and answer != [b""]:
            try:
                self._sealer = offered.finish(answer[0])
            except ChannelError:
                why = _OTHER_KEY
            else:
                self._open = True
                return True, ""
        self.end()
        return False, why


def _as_it_is(data: bytes, _place: bytes) -> bytes:
    return data
