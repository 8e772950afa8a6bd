"""The network of simulated nodes, as their transports see it: connections that open and close, and frames on links.

As between real nodes, a connection carries frames one way, from a node to a peer, in order. It opens a round trip after
both are up, and closes when the peer dies, of which the node hears after the link's latency, or when the node resets
it. A frame that is on its way then is lost; one of a node that has died meanwhile arrives.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from honeybadger.network.transport import PeerEvent
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.schedulers.frames import FrameDelays
from honeybadger.simulation.virtual_time.codec import ChargedCodec
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.links import Links
from honeybadger.simulation.virtual_time.table import Node
from honeybadger.simulation.virtual_time.thread import Thread


class Connection:
    """From one life of a node to one of a peer."""

    def __init__(self, sender: "VirtualTransport", receiver: "VirtualTransport") -> None:
        self.sender = sender
        self.receiver = receiver
        self.reset = False

    def deliver(self, parts: Sequence[bytes], size: int) -> None:
        """A frame has passed the link."""
        if self.receiver.is_open and not self.reset:
            self.receiver.arrived(self.sender.me, parts, size)


class Wires:
    """All connections of a cluster. `met`: of how many nodes and peers the connection was open at least once; `delays`:
    what a scheduler adds to the time that frames take."""

    delays: FrameDelays | None = None

    def __init__(self, clock: Clock, links: Links) -> None:
        self._clock = clock
        self.links = links
        self._up: dict[int, VirtualTransport] = {}
        self._met: set[tuple[int, int]] = set()

    @property
    def met(self) -> int:
        return len(self._met)

    def join(self, new: "VirtualTransport") -> None:
        """A node is up."""
        for other in self._up.values():
            self._connect(new, other)
            self._connect(other, new)
        self._up[new.me] = new

    def leave(self, gone: "VirtualTransport") -> None:
        """A node is down."""
        del self._up[gone.me]
        for other in self._up.values():
            self._clock.after(self.links.latency(gone.me, other.me), partial(other.lost, gone))

    def connect_again(self, sender: "VirtualTransport", peer: int) -> None:
        """The sender has closed its connection to the peer."""
        if peer in self._up:
            self._connect(sender, self._up[peer])

    def _connect(self, sender: "VirtualTransport", receiver: "VirtualTransport") -> None:
        there, back = sender.me, receiver.me
        round_trip_s = self.links.latency(there, back) + self.links.latency(back, there)
        self._clock.after(round_trip_s, partial(self._opened, Connection(sender, receiver)))

    def _opened(self, connection: Connection) -> None:
        if connection.sender.is_open and connection.receiver.is_open:
            self._met.add((connection.sender.me, connection.receiver.me))
            connection.sender.opened(connection)


class VirtualTransport:
    """Implements `PeerTransport` for one life of node `me`. What is sent waits for `leave`: the end of the tick.

    `ready()` asks for a tick; `thread`: that of ZeroMQ. `received_bytes`, `sent_bytes`: on the wire, as far as they are
    charged.
    """

    def __init__(
        self,
        me: int,
        wires: Wires,
        codec: ChargedCodec,
        meter: Meter,
        table: Node,
        thread: Thread,
        ready: Callable[[], None],
    ) -> None:
        self.me = me
        self.is_open = True
        self._wires = wires
        self._codec = codec
        self._meter = meter
        self._table = table
        self._thread = thread
        self._ready = ready
        self._connections: dict[int, Connection] = {}
        self._events: list[PeerEvent] = []
        self._inbox: deque[tuple[int, Sequence[bytes], int]] = deque()
        self._leaving: list[tuple[Connection, Sequence[bytes], int]] = []
        self.received_bytes = self.sent_bytes = 0
        wires.join(self)

    def receive(self) -> tuple[int, list[Any]] | None:
        if not self._inbox:
            return None
        sender, parts, size = self._inbox.popleft()
        self._meter.outside(self._table.receive.of(size))
        return sender, list(parts)

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        connection = self._connections.get(peer)
        if connection is None:
            return False
        size = self._codec.frame_size(parts)
        self._meter.outside(self._table.send.of(size))
        self.sent_bytes += size
        self._leaving.append((connection, parts, size))
        return True

    def events(self) -> list[PeerEvent]:
        news, self._events = self._events, []
        return news

    def reset(self, peer: int) -> None:
        connection = self._connections.pop(peer, None)
        if connection is not None:
            connection.reset = True
            self._tell(PeerEvent(peer, False))
            self._wires.connect_again(self, peer)

    def close(self, linger_ms: int = 0) -> None:
        """The node ends, or dies: what is in its memory is gone."""
        if self.is_open:
            self.is_open = False
            self._inbox.clear()
            self._leaving.clear()
            self._wires.leave(self)

    def leave(self) -> None:
        """What was sent leaves now."""
        leaving, self._leaving = self._leaving, []
        if leaving:
            cost_s = sum(self._table.send_io.of(size) for *_, size in leaving)
            self._thread.run(cost_s, partial(self._send_all, leaving))

    def _send_all(self, leaving: list[tuple[Connection, Sequence[bytes], int]]) -> None:
        """ZeroMQ's thread hands them to the network, unless the node has died."""
        if self.is_open:
            send, me, delays = self._wires.links.send, self.me, self._wires.delays
            for connection, parts, size in leaving:
                if not connection.reset:
                    peer = connection.receiver.me
                    late_s = delays.delay_s(me, peer, self._codec.messages(parts)) if delays else 0.0
                    send(me, peer, size, partial(connection.deliver, parts, size), late_s)

    def arrived(self, sender: int, parts: Sequence[bytes], size: int) -> None:
        self.received_bytes += size
        self._thread.run(self._table.receive_io.of(size), partial(self._received, sender, parts, size))

    def _received(self, sender: int, parts: Sequence[bytes], size: int) -> None:
        if self.is_open:
            self._inbox.append((sender, parts, size))
            self._ready()

    def opened(self, connection: Connection) -> None:
        self._connections[connection.receiver.me] = connection
        self._tell(PeerEvent(connection.receiver.me, True))

    def lost(self, peer: "VirtualTransport") -> None:
        """The peer's life has ended."""
        connection = self._connections.get(peer.me)
        if connection is not None and connection.receiver is peer and self.is_open:
            del self._connections[peer.me]
            self._tell(PeerEvent(peer.me, False))

    def _tell(self, event: PeerEvent) -> None:
        self._events.append(event)
        self._ready()
