"""Whose connection a message came on, and what was sealed in it.

The name in the first message of a connection says only who knocked. A connection belongs to a member when the first
message opens; only then does a message count as the member's. Each connection has one try: after a message that does
not open, nothing on it is read any more, and its owner is asked for another connection.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq

from honeybadger.network.channel import HEAD, TAIL, WHOLE, ChannelError, Opener
from honeybadger.network.codec import WireError, split
from honeybadger.network.security import Credentials

#: connections of one member that are remembered, the newest; it uses one, and former ones may hold messages
CONNECTIONS_OF_MEMBER = 8
#: connections that are remembered although nobody has proven to own them; a handshake takes one round trip
UNPROVEN_CONNECTIONS = 1024

Message = list[memoryview]
#: what stands for a message that is not made of parts: no header, so whoever sent it is to blame
NO_PARTS: Message = [memoryview(b"")]


@dataclass(slots=True)
class _Connection:
    """`opener`: None if nothing on it is read any more."""

    sender: int
    opener: Opener | None
    proven: bool = False


class Arrivals:
    """The connections of a ROUTER socket that nodes connect to."""

    def __init__(self, socket: Any, credentials: Credentials) -> None:
        self._socket = socket
        self._credentials = credentials
        #: by routing id, which ZeroMQ gives to each connection
        self._proven: dict[bytes, _Connection] = {}
        self._unproven = OrderedDict[bytes, _Connection]()
        self._newest: dict[int, deque[bytes]] = {}

    def take(self, name: bytes, frames: Sequence[Any]) -> tuple[int, Message] | None:
        """(sender, parts) of what came on the connection `name` as `frames`; None if it is no message of a member."""
        if not self._credentials.curve:
            return int(frames[0].get("User-Id")), _parts([frame.buffer for frame in frames])
        connection = self._proven.get(name) or self._unproven.get(name)
        if connection is None:
            self._begin(name, frames)
            return None
        if connection.opener is None:
            return None
        try:
            opened = _opened(connection.opener, frames)
        except ChannelError:
            connection.opener = None
            self._ask_for_another(name)
            return None
        if not connection.proven:
            self._prove(name, connection)
        return connection.sender, _parts(opened)

    def _begin(self, name: bytes, frames: Sequence[Any]) -> None:
        """The first message on a connection: it must be an offer."""
        sender = int(frames[0].get("User-Id"))
        connection = self._unproven[name] = _Connection(sender, None)
        if len(self._unproven) > UNPROVEN_CONNECTIONS:
            self._unproven.popitem(last=False)
        try:
            answer, connection.opener = self._credentials.respond(sender, _only(frames).bytes)
        except ChannelError:
            self._ask_for_another(name)
        else:
            self._send(name, answer)

    def _prove(self, name: bytes, connection: _Connection) -> None:
        connection.proven = True
        del self._unproven[name]
        self._proven[name] = connection
        mine = self._newest.setdefault(connection.sender, deque())
        mine.append(name)
        if len(mine) > CONNECTIONS_OF_MEMBER:
            del self._proven[mine.popleft()]

    def _ask_for_another(self, name: bytes) -> None:
        self._send(name, b"")

    def _send(self, name: bytes, answer: bytes) -> None:
        # A connection that takes no answer has asked for none.
        with suppress(zmq.ZMQError):
            self._socket.send_multipart([name, answer], zmq.NOBLOCK)


def _only(frames: Sequence[Any]) -> Any:
    if len(frames) != 1:
        raise ChannelError(f"{len(frames)} frames instead of one")
    return frames[0]


def _opened(opener: Opener, frames: Sequence[Any]) -> Sequence[bytes]:
    if len(frames) == 2:
        return opener.open(frames[0].buffer, HEAD), opener.open(frames[1].buffer, TAIL)
    return [opener.open(_only(frames).buffer, WHOLE)]


def _parts(frames: Sequence[bytes | memoryview]) -> Message:
    try:
        return [*split(frames[0]), *(memoryview(frame) for frame in frames[1:])]
    except WireError:
        return NO_PARTS
