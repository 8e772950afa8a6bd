"""The network side of a node: links to all peers over the transport, and the outbox that the protocol writes to.

All messages of a tick that go to everybody are encoded once, per epoch, and the same bytes are sent to every peer.
This bundling is the largest single gain in Python.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from honeybadger.network.codec import ENTRIES_PER_MESSAGE, HELLO, Codec, Header, Hello, WireError
from honeybadger.network.links import Link
from honeybadger.network.outgoing import Entry
from honeybadger.network.transport import PeerTransport
from honeybadger.node.journal import Journal
from honeybadger.node.rate import PerSecond
from honeybadger.node.standing import Standing
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.wire import Message

#: how long an acknowledgement may wait for a message to travel with, seconds
ACK_DELAY_S = 0.02
#: how often a peer is greeted again that does not listen, seconds
GREET_S = 1.0
#: sessions of a peer that take the place of another per second
RESTARTS_PER_S = 4
#: a message as the transport hands it over
Parts = Sequence[bytes | memoryview]
#: greetings of a peer that are answered by one per second
GREETINGS_PER_S = 4


class Peers:
    """Implements `Outbox`; delivers what peers send as decoded messages.

    `session`: a number that no other start of this node has; `hello`: what it greets with; `held_bytes_cap`: bytes
    kept for a peer that does not acknowledge; `count_messages`: by type, for measurement.
    """

    def __init__(
        self,
        me: int,
        nodes: int,
        session: int,
        codec: Codec,
        transport: PeerTransport,
        standing: Standing,
        hello: Hello,
        held_bytes_cap: int,
        journal: Journal | None = None,
        count_messages: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.me = me
        self._now = now
        self._session = session
        self._hello = hello
        self._count_messages = count_messages
        self._codec = codec
        self._transport = transport
        self._standing = standing
        self._journal = journal
        self.held_bytes_cap = held_bytes_cap
        self.links = {peer: Link(session, held_bytes_cap) for peer in range(nodes) if peer != me}
        #: see `Outbox`
        self.fault = standing.fault
        self._restarts = PerSecond(RESTARTS_PER_S, now)
        self._greetings = PerSecond(GREETINGS_PER_S, now)
        #: by epoch, what was written in this tick: for everybody, and for each peer alone
        self._common = defaultdict[int, list[Message]](list)
        self._private = {peer: defaultdict[int, list[Message]](list) for peer in self.links}
        #: peers to which there may be something to say since the last flush, whatever is said to everybody
        self._touched: set[int] = set()
        #: messages to oneself, handled by the reactor in order
        self.loopback: deque[Message] = deque()
        self._next_ack = 0.0
        self._next_greeting = 0.0
        #: by type: messages, those to everybody once, and their bytes, to all peers together
        self.messages_sent: Counter[str] = Counter()
        self.bytes_sent: Counter[str] = Counter()

    def broadcast(self, message: Message) -> None:
        self.loopback.append(message)
        self._common[message.epoch].append(message)

    def send(self, node: int, message: Message) -> None:
        if node == self.me:
            self.loopback.append(message)
        else:
            self._private[node][message.epoch].append(message)
            self._touched.add(node)

    def send_now(self, node: int, message: Message) -> None:
        """Whatever epochs the peer's window allows: a correct node never does that, a faulty one (`adversary`) may."""
        self._private[node][0].append(message)
        self._touched.add(node)

    def receive(self) -> Iterator[tuple[int, list[Message]]] | None:
        """The new entries of the next ZeroMQ message as (sender, messages), or None if nothing has arrived.

        An entry counts as processed, and is acknowledged, when the iterator moves past it.
        """
        arrived = self._transport.receive()
        if arrived is None:
            return None
        sender, parts = arrived
        # It may acknowledge, or have a wider window.
        self._touched.add(sender)
        try:
            if len(parts) > 1 + ENTRIES_PER_MESSAGE:
                raise WireError(f"message of {len(parts)} parts")
            header = Header.decode(parts[0])
            if header.kind == HELLO:
                self._greeted(sender, header, parts)
                return iter(())
        except WireError as error:
            self.fault(sender, FaultKind.BAD_FRAME, str(error))
            return iter(())
        link = self.links[sender]
        if header.session != link.incoming.session or header.ack_session != self._session:
            # Not greeted yet, or not the session that is listened to; or meant for an earlier incarnation of this
            # node, or another process with its keys: nothing is taken, nothing is acknowledged.
            return iter(())
        return self._entries(sender, header, parts)

    def _entries(
        self, sender: int, header: Header, parts: list[bytes | memoryview]
    ) -> Iterator[tuple[int, list[Message]]]:
        link = self.links[sender]
        for part in parts[1:][link.receive(header, len(parts) - 1)]:
            try:
                messages = self._codec.decode(part)
            except WireError as error:
                self.fault(sender, FaultKind.BAD_FRAME, str(error))
            else:
                yield sender, messages
            link.incoming.done(1)

    def _greeted(self, sender: int, header: Header, parts: Parts) -> None:
        if len(parts) != 2:
            raise WireError("greeting without settings")
        hello = self._codec.decode_hello(parts[1])
        why = self._standing.difference(hello)
        if why:
            # The present session stays: this may be another process with the same keys.
            self._standing.refused(sender, why)
            return
        link = self.links[sender]
        greeting = link.greeted(header, hello)
        if greeting.twin:
            self.fault(sender, FaultKind.KEYS_USED_TWICE, f"session {header.session:x} and another one")
        if not greeting.taken:
            # The process at the peer's address may answer.
            if self._greetings.take(sender):
                link.greet_again()
            return
        if greeting.takes_over:
            if not self._restarts.take(sender):
                # Each time, everything that it may need is queued again. It will greet again.
                return
            # What ZeroMQ still queues for the former session is dropped with its connection: a peer that greets again
            # and again without reading must not fill our memory.
            self._transport.reset(sender)
        link.receive(header, 0)
        if hello.twice:
            self._standing.twin_heard(sender)
        if not link.heeded and self._greetings.take(sender):
            self._greet_again(sender)

    def _greet_again(self, peer: int) -> None:
        """It does not listen to this node. What was sent to it meanwhile is lost, and sent again on a new connection:
        on this one it might wait in ZeroMQ twice."""
        link = self.links[peer]
        if link.connected and link.outgoing.in_flight:
            self._transport.reset(peer)
        link.greet_again()

    def connections_changed(self) -> None:
        for event in self._transport.events():
            link = self.links[event.peer]
            self._touched.add(event.peer)
            if event.failure:
                self._standing.connection(event.peer, False, event.failure)
            elif event.opened:
                link.connection_opened()
                self._standing.connection(event.peer, True, "")
            elif link.connected:
                link.connection_closed()
                self._standing.connection(event.peer, False, "")

    def flush(self, horizon: int, durable: int) -> None:
        """End of a tick: encode what was written since the last one, once, and send what the windows allow."""
        if self._journal is not None:
            self._write_ahead(self._journal)
        to_all = bool(self._common)
        for epoch in sorted(self._common):
            for entry in self._entries_of(epoch, self._common[epoch], len(self.links)):
                for link in self.links.values():
                    link.outgoing.offer(entry)
        self._common.clear()
        touched, self._touched = self._touched, set()
        for peer in sorted(touched):
            epochs = self._private[peer]
            for epoch in sorted(epochs):
                for entry in self._entries_of(epoch, epochs[epoch], 1):
                    self.links[peer].outgoing.offer(entry)
            epochs.clear()
        now = self._now()
        announce = now >= self._next_ack
        if announce:
            self._next_ack = now + ACK_DELAY_S
        unheard = now >= self._next_greeting
        if unheard:
            self._next_greeting = now + GREET_S
        # Most ticks have nothing for most peers.
        for peer in self.links if to_all or announce or unheard else sorted(touched):
            link = self.links[peer]
            if unheard and not link.heeded:
                self._greet_again(peer)
            while (
                (announce or link.wants_to_speak)
                and link.connected
                and (message := link.next_message(horizon, durable, self._encode_hello, announce=announce))
            ):
                if not self._transport.send(peer, message):
                    # A connection may be announced a moment before its socket can send: begin again next time.
                    # If it is really gone, its event closes the link.
                    link.connection_opened()
                    self._touched.add(peer)
                    break

    def _encode_hello(self, heard: tuple[int, int], twice: bool) -> bytes:
        return self._codec.encode_hello(msgspec.structs.replace(self._hello, heard=heard, twice=twice))

    def _entries_of(self, epoch: int, messages: list[Message], receivers: int) -> Iterator[Entry]:
        """The messages as entries for `receivers` peers, counted by type."""
        for data, held in self._codec.entries(messages):
            if self._count_messages:
                for message, size in held:
                    name = type(message).__name__
                    self.messages_sent[name] += 1
                    self.bytes_sent[name] += size * receivers
            yield Entry(epoch, data)

    def _write_ahead(self, journal: Journal) -> None:
        """Nothing leaves before it is remembered; and nothing at all of epochs in which this node must be silent."""
        written = [self._common, *(self._private[peer] for peer in self._touched)]
        newest = max((epoch for epochs in written for epoch in epochs), default=-1)
        if newest > 0:
            journal.reserve(newest)
        # Also if nothing leaves: a vote may have led to a block without being sent to anybody.
        journal.sync()
        if journal.silent_through:
            for epochs in written:
                for epoch in [epoch for epoch in epochs if 0 < epoch <= journal.silent_through]:
                    del epochs[epoch]

    def owes_announcements(self, horizon: int, durable: int) -> bool:
        """Whether some peer waits for an acknowledgement or our horizon, so `flush` must run again soon."""
        return any(link.connected and link.owes_announcement(horizon, durable) for link in self.links.values())
