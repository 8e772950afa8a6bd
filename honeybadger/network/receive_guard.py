"""Cuts connections that send a message without end.

ZeroMQ bounds the parts of a message (`maxmsgsize`). It does not bound an unfinished message: it keeps all its parts
until the last one comes. The messages that wait to be read it could bound, but then anybody could abort the process
(`NO_MARK`). The guard compares what each connection of
a listening socket has received, as the kernel counts it, with what was read from the socket.

When the socket is empty, bytes that were received but not delivered can only belong to an unfinished message. A socket
that is never empty serves its connections in turn, so the same holds after a few messages of each. While nobody reads
the socket at all, only `Limits.waiting` applies.

The kernel's count is `tcpi_bytes_received` of TCP_INFO (RFC 4898, tcpEStatsAppHCThruOctetsReceived), Linux 4.1 and
later. Without it the guard does nothing, as for connections other than TCP.
"""

import contextlib
import fcntl
import math
import os
import socket as sockets
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
import zmq
from zmq.utils.monitor import parse_monitor_message

#: high-water mark of what arrives, on every socket of a node: none, the guard bounds it instead. At a mark libzmq 4.3.5
#: stops reading the connection. If that breaks meanwhile, the next heartbeat to be sent or answered aborts the process
#: (`!_io_error` in stream_engine_base.cpp). So with a mark any peer or client could end a node.
NO_MARK = 0
#: bytes of a connection that are not messages: frames, CURVE's boxes, the handshake, heartbeats, and what ZeroMQ reads
#: ahead. Heartbeats of a silent connection take more than a day for 1 MiB.
OVERHEAD_BYTES = 4 * 1024 * 1024
#: most bytes that a part or a message adds on the wire: 9 for the frame, 33 for CURVE's box (clients), and the rest for
#: heartbeats
PART_OVERHEAD_BYTES = 64
#: least seconds between two looks, and the largest share of time that they may cost
LOOK_S = 0.01
COST_SHARE = 0.01
#: seconds after which the guard looks by itself, because an unfinished message wakes nobody
TIMER_S = 0.1
#: twice ZeroMQ's `inbound_poll_rate`: within half as many messages it looks at all connections
_READ_AHEAD = 200

_BYTES_RECEIVED = struct.Struct("=128xQ")
_INT = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes that may be received and not delivered; `OVERHEAD_BYTES` are added to each.

    `message`: of a connection, when all finished messages were delivered: the longest message that anybody may send.
    `sender`: the same for all connections of a sender together; those that have delivered nothing yet count as one
    sender. `waiting`: of a connection at any time, including finished messages that the node has not read yet.
    `proof_s`, `proof_bytes`: a connection has so many seconds, and so many bytes, to deliver a message of a known
    sender; else it is cut.
    """

    message: int
    sender: int
    waiting: int
    proof_s: float = math.inf
    proof_bytes: float = math.inf


@dataclass(slots=True, eq=False)
class _Connection:
    """`taken`: bytes that ZeroMQ had read from it at the last look; `marked`: the same when the round began; `start`:
    where the undelivered bytes begin, or a little later; `since`: when it was first seen."""

    identity: tuple[int, int]
    sender: object = None
    start: int = 0
    taken: int = 0
    marked: int = 0
    since: float = field(default_factory=time.monotonic)


class ReceiveGuard:
    """Watches the TCP connections of `socket`, which binds to one address after this was built.

    The owner of the socket calls `delivered` for each message and `look` when the socket is empty. `ready()` asks it to
    read soon. Nothing here raises after construction.
    """

    def __init__(self, socket: Any, limits: Limits, ready: Callable[[], None]) -> None:
        self._socket = socket
        self._limits = limits
        self._ready = ready
        self._connections: dict[int, _Connection] = {}
        #: since the last look, by descriptor: bytes that were delivered, and their sender
        self._heard: dict[int, int] = {}
        self._senders: dict[int, object] = {}
        self._messages = 0
        self._next = 0.0
        self._port = 0
        #: connections that were cut
        self.cut = 0
        self._watching = _counts_bytes()
        if not self._watching:
            return
        address = f"inproc://receive-guard-{id(self)}"
        socket.monitor(address, zmq.EVENT_ACCEPTED)
        self._accepted = socket.context.socket(zmq.PAIR)
        self._accepted.linger = 0
        # Otherwise ZeroMQ's own thread would wait for a reader of its events.
        self._accepted.rcvhwm = 0
        self._accepted.connect(address)
        # The probe looks at connections through a descriptor of its own, so that a client that uses up all descriptors
        # does not blind the guard. After a look it becomes `_idle` again, so that it keeps no connection open.
        self._idle = sockets.socket()
        self._probe = self._idle.dup()
        self._timer = gevent.get_hub().loop.timer(TIMER_S, TIMER_S)
        self._timer.start(self.look)

    def delivered(self, frames: Sequence[Any], size: int, sender: object = None) -> None:
        """A message was read, `size` bytes in `frames`. `sender`: whose it is; None if that is not known.

        Nobody knows the sender of what cannot be read. A connection that had one before is cut for it.
        """
        if not self._watching:
            return
        try:
            fd = frames[0].get(zmq.SRCFD)
        except zmq.ZMQError:
            # No descriptor: not TCP.
            return
        self._heard[fd] = self._heard.get(fd, 0) + size + PART_OVERHEAD_BYTES * (1 + len(frames))
        self._senders[fd] = sender
        self._messages += 1

    def look(self, *, empty: bool = False) -> None:
        """If it is time to look, cut connections over the limits. `empty`: the socket was just read until it was
        empty."""
        began = time.monotonic()
        if not self._watching or began < self._next:
            return
        suspicious = False
        with contextlib.suppress(OSError, zmq.ZMQError):
            suspicious = self._look(empty)
        with contextlib.suppress(OSError):
            os.dup2(self._idle.fileno(), self._probe.fileno(), inheritable=False)
        ended = time.monotonic()
        if suspicious:
            # Look again soon: only an empty socket shows whether somebody is to blame.
            self._next = 0.0
            self._ready()
        else:
            self._next = ended + min(1.0, max(LOOK_S, (ended - began) / COST_SHARE))

    def close(self) -> None:
        """Stop; must come before the socket is closed."""
        if self._watching:
            self._watching = False
            self._timer.stop()
            self._timer.close()
            with contextlib.suppress(zmq.ZMQError):
                self._socket.disable_monitor()
            self._accepted.close(0)
            self._probe.close()
            self._idle.close()

    # -- a look --------------------------------------------------------------------------------------------

    def _look(self, empty: bool) -> bool:
        """Whether somebody seems to be over a limit, but it is too early to tell."""
        self._take_note_of_new()
        self._measure()
        late = time.monotonic() - self._limits.proof_s
        for fd, connection in list(self._connections.items()):
            silent = connection.sender is None and connection.since < late
            if silent or connection.taken - connection.start > self._limits.waiting + OVERHEAD_BYTES:
                self._cut(fd)
        if empty or self._messages > _READ_AHEAD + 2 * len(self._connections):
            # Each was read in its turn since the round began.
            for fd in self._over({fd: c.marked - c.start for fd, c in self._connections.items()}):
                self._cut(fd)
            for connection in self._connections.values():
                connection.marked = connection.taken
            self._messages = 0
        return bool(list(self._over({fd: c.taken - c.start for fd, c in self._connections.items()})))

    def _take_note_of_new(self) -> None:
        while True:
            try:
                event = parse_monitor_message(self._accepted.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            fd = int(event["value"])
            identity = self._aim(fd)
            present = self._connections.get(fd)
            if identity is None or (present is not None and present.identity == identity) or not self._is_ours():
                continue
            # At the end of the order: `_over` begins with the oldest.
            self._connections.pop(fd, None)
            self._connections[fd] = _Connection(identity)

    def _measure(self) -> None:
        heard, self._heard = self._heard, {}
        senders, self._senders = self._senders, {}
        for fd, connection in list(self._connections.items()):
            received = self._received() if self._aim(fd) == connection.identity else None
            if received is None:
                # It is closed, and its number may already stand for something else.
                del self._connections[fd]
                continue
            connection.taken = max(connection.taken, received)
            if fd in heard:
                unproven = connection.sender is None and connection.start + heard[fd] <= self._limits.proof_bytes
                if senders[fd] is None and not unproven:
                    self._cut(fd)
                    continue
                connection.sender = senders[fd]
                # Never beyond what has arrived: overhead that small messages did not use must not add up.
                connection.start = min(connection.start + heard[fd], connection.taken)

    def _over(self, held: dict[int, int]) -> Iterable[int]:
        """The connections to cut, given the bytes that each holds."""
        senders: dict[object, list[int]] = {}
        for fd, size in held.items():
            if size > self._limits.message + OVERHEAD_BYTES:
                yield fd
            elif size > 0:
                senders.setdefault(self._connections[fd].sender, []).append(fd)
        for mine in senders.values():
            allowed = self._limits.sender + OVERHEAD_BYTES
            together = sum(held[fd] for fd in mine)
            if together <= allowed:
                continue
            # Begin with the oldest, which may be dead; spare those that hold less than their share.
            for fd in mine:
                if together > allowed and held[fd] > allowed // len(mine):
                    together -= held[fd]
                    yield fd

    def _cut(self, fd: int) -> None:
        """End a connection; ZeroMQ then frees what it holds of it."""
        if self._aim(fd) == self._connections.pop(fd).identity:
            self.cut += 1
            with contextlib.suppress(OSError):
                self._probe.shutdown(sockets.SHUT_RDWR)

    # -- the probe -----------------------------------------------------------------------------------------

    def _aim(self, fd: int) -> tuple[int, int] | None:
        """Point the probe at the file of `fd`; returns the identity of that file, None if there is none."""
        try:
            os.dup2(fd, self._probe.fileno(), inheritable=False)
            status = os.fstat(self._probe.fileno())
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _is_ours(self) -> bool:
        """Whether the probe points at a connection to the port of our socket."""
        try:
            if not self._port:
                self._port = int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0").rsplit(":", 1)[1])
            self._probe.getpeername()
            return bool(self._probe.getsockname()[1] == self._port)
        except (OSError, ValueError, IndexError):
            return False

    def _received(self) -> int | None:
        """Bytes that ZeroMQ has read from the connection, without those that the kernel still holds."""
        try:
            info = self._probe.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _BYTES_RECEIVED.size)
            unread = fcntl.ioctl(self._probe.fileno(), termios.FIONREAD, bytes(_INT.size))
        except OSError:
            return None
        return int(_BYTES_RECEIVED.unpack(info)[0]) - int(_INT.unpack(unread)[0])


def _counts_bytes() -> bool:
    """Whether TCP_INFO of this system counts received bytes."""
    if not sys.platform.startswith("linux"):
        return False
    with sockets.socket() as probe, contextlib.suppress(OSError):
        return len(probe.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _BYTES_RECEIVED.size)) == (
            _BYTES_RECEIVED.size
        )
    return False
