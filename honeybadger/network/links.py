"""Reliable links: every entry reaches every connected peer once and in order, whatever ZeroMQ loses on reconnect.

A state machine without sockets or clock. For each peer the sender keeps a cursor and the entries that are not yet
acknowledged (peers share the bytes); after a reconnect it resends from the first unacknowledged entry. The receiver
takes entries in sequence, drops duplicates, and acknowledges cumulatively what the protocol has processed.

Windows. Entries for an epoch beyond the peer's announced horizon wait at the sender, sorted by epoch. They do not hold
back others: a late message of an old epoch (a BVAL that a slow node waits for) overtakes them. So an entry gets its
sequence number, one for each peer, when it enters the peer's window, and not once in a log of the node.

Restarts. Even an acknowledged entry is kept until the peer has the epoch's block on disk. A crash of the peer loses
what it had processed, so its new incarnation (another session) is sent everything again from there. A receiver ignores
messages for another incarnation.

Sessions. `sessions` decides which process a node listens to if several have the peer's keys; each has its own sequence.
A node that the peer does not listen to keeps its entries, since the peer would ignore them, and greets again.

Bounds. At most `IN_FLIGHT_BYTES` for each peer are handed to ZeroMQ without acknowledgement. At most `held_bytes_cap`
are held for each peer; beyond that its oldest entries are dropped, and it must catch up from the ledger.
`cluster.sizes` ensures that the cap is large enough for what is in no ledger yet. A slow or dead peer costs its own cap
and never holds up the others.
"""

from collections.abc import Callable

from honeybadger.network.codec import DATA, HELLO, Header, Hello
from honeybadger.network.outgoing import Outgoing
from honeybadger.network.sessions import Greeting, Sessions

#: what a peer was last told: its session, the acknowledgement, our horizon, our durable epoch
Announcement = tuple[int, int, int, int]
NOTHING: Announcement = (0, 0, -1, -1)


class Incoming:
    """The receiving half of a link."""

    def __init__(self) -> None:
        self.session = 0
        self.processed = 0
        #: entries that the peer dropped before it could send them
        self.lost = 0

    def accept(self, header: Header, count: int) -> slice:
        """Which of the `count` entries of a message are new and in sequence."""
        if header.session != self.session:
            # A new incarnation of the peer has a new sequence.
            self.session = header.session
            self.processed = header.base - 1
        elif header.base > self.processed + 1:
            self.lost += header.base - 1 - self.processed
            self.processed = header.base - 1
        first_new = self.processed + 1 - header.first
        if first_new < 0:
            # A reconnect lost something before this message; the sender will resend it.
            return slice(0, 0)
        return slice(min(first_new, count), count)

    def done(self, count: int) -> None:
        """`count` entries were processed."""
        self.processed += count


class Link:
    """Both directions between this node and one peer."""

    def __init__(self, session: int, held_bytes_cap: int) -> None:
        self._session = session
        self.outgoing = Outgoing(held_bytes_cap)
        self.incoming = Incoming()
        self.sessions = Sessions(session)
        self.connected = False
        #: the highest epoch that the peer says it has on disk
        self.peer_durable = 0
        #: whether the peer, by its last message, listens to this session
        self.heeded = False
        self._greeted = False
        self._announced: Announcement = NOTHING

    def connection_opened(self) -> None:
        """The path to the peer is open (again): greet, then resend what is unacknowledged."""
        self.connected = True
        self.outgoing.rewind()
        self.greet_again()

    def connection_closed(self) -> None:
        """The path to the peer is gone; what was in flight may be lost."""
        self.connected = False

    def greet_again(self) -> None:
        """Greet again: the peer may not know that this node is here, or whom it listens to."""
        self._greeted = False
        self._announced = NOTHING

    def greeted(self, header: Header, hello: Hello) -> Greeting:
        """Judge a greeting. If it is taken, call `receive` next; if not, answer it first."""
        greeting = self.sessions.greeted(header, hello, self.incoming.session, self.outgoing.highest)
        if not greeting.taken:
            # If the present session is alive, it will acknowledge this.
            self.outgoing.skip_number()
        return greeting

    def receive(self, header: Header, count: int) -> slice:
        """Take the acknowledgement and horizon of a message; returns the slice of its entries to process.

        A message of another session is a greeting that was taken; from then on that session is the present one.
        """
        present = self.incoming.session
        if header.session != present and present:
            self.outgoing.peer_restarted(header.horizon)
            self.sessions.changed(present, self.outgoing.base - 1)
        elif header.ack_session == self._session and self.outgoing.acknowledge(header.ack):
            self.sessions.acknowledged = max(self.sessions.acknowledged, header.ack)
        self.heeded = header.ack_session == self._session
        if header.kind == HELLO:
            # It may not know that this node listens to it.
            self._announced = NOTHING
        self.outgoing.set_horizon(header.horizon)
        self.outgoing.set_durable(header.durable)
        self.peer_durable = header.durable
        return self.incoming.accept(header, count)

    def owes_announcement(self, horizon: int, durable: int) -> bool:
        """Whether the peer has not been told the latest acknowledgement, horizon or durable epoch."""
        return self._announced != (self.incoming.session, self.incoming.processed, horizon, durable)

    @property
    def wants_to_speak(self) -> bool:
        """Whether there may be a message for the peer besides an acknowledgement alone."""
        return not self._greeted or self.outgoing.unsent

    def next_message(
        self, horizon: int, durable: int, hello: Callable[[tuple[int, int], bool], bytes], *, announce: bool
    ) -> list[bytes] | None:
        """The parts of the next ZeroMQ message for the peer, or None if there is nothing to send now.

        `hello(heard, twice)` encodes the second part of a greeting, a `Hello`. `announce`: whether to send a message
        for an acknowledgement alone.
        """
        if not self._greeted:
            told = hello(self.sessions.heard, self.sessions.twice)
            self._greeted, self.sessions.twice = True, False
            return [self._header(HELLO, self.outgoing.base, horizon, durable), told]
        if not self.incoming.session:
            # The peer ignores messages for another incarnation, and we do not know the present one yet.
            return None
        # It would also ignore entries of a session that it does not listen to.
        first, entries = self.outgoing.next_entries() if self.heeded else (self.outgoing.base, [])
        if not entries and not (announce and self.owes_announcement(horizon, durable)):
            return None
        return [self._header(DATA, first, horizon, durable), *entries]

    def _header(self, kind: int, first: int, horizon: int, durable: int) -> bytes:
        incoming = self.incoming
        self._announced = (incoming.session, incoming.processed, horizon, durable)
        return Header(
            kind, self._session, first, self.outgoing.base, incoming.session, incoming.processed, horizon, durable
        ).encode()
