"""Reliable links: every entry reaches every connected peer once and in order, whatever ZeroMQ loses on reconnect.

A state machine without sockets or clock. Per peer the sender keeps the entries that are not yet acknowledged (the
bytes are shared between peers) and a cursor; a reconnected peer is resent from its first unacknowledged entry. The
receiver takes entries in sequence, drops duplicates, and acknowledges cumulatively what the protocol has processed.

Windows. Entries for an epoch beyond the peer's announced horizon wait at the sender, sorted by epoch, without
holding back others: a late message of an old epoch (a BVAL relay that a slow node waits for) overtakes them. That
is why sequence numbers are given per peer when an entry enters the peer's window, and not once in a node-wide log.

Restarts. What a peer has acknowledged is still retained until the peer has the epoch's block on disk: a crash loses
what it had processed, and its new incarnation (another session) is sent everything again from there. Messages that
are not addressed to the present incarnation are ignored.

Sessions. Who is listened to if several processes greet with the peer's keys is told in `sessions`; each has a sequence
of its own. Who is not listened to keeps its entries, since they would be ignored, and greets again.

Bounds. At most `IN_FLIGHT_BYTES` per peer are handed to ZeroMQ unacknowledged. At most `held_bytes_cap` are held
per peer; beyond that the peer's oldest entries are dropped and it is marked as having lost messages: it must catch
up from the ledger, and `cluster.sizes` sees to it that the cap is large enough for what is in no ledger yet. One slow
or dead peer costs its own cap and never holds up the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from honeybadger.network.codec import DATA, HELLO, Header, Hello
from honeybadger.network.sessions import Greeting, Sessions

#: bytes handed to ZeroMQ and not yet acknowledged, per peer (one entry may exceed it alone)
IN_FLIGHT_BYTES = 64 * 1024 * 1024
#: entries handed to ZeroMQ and not yet acknowledged, per peer: keeps finding the next one cheap
ENTRIES_IN_FLIGHT = 4096
#: entries in one ZeroMQ message, at the most
ENTRIES_PER_MESSAGE = 64


#: memory that an entry costs beside its bytes, roughly; it counts against the cap, or empty entries would be free
ENTRY_BYTES = 128

#: what a peer was last told: its session, the acknowledgement, our horizon, our durable epoch
Announcement = tuple[int, int, int, int]
NOTHING: Announcement = (0, 0, -1, -1)


@dataclass(frozen=True, slots=True)
class Entry:
    """Encoded messages that belong to one epoch (or to earlier ones)."""

    epoch: int
    data: bytes


def _cost(entry: Entry) -> int:
    return len(entry.data) + ENTRY_BYTES


class Outgoing:
    """What is still owed to one peer."""

    def __init__(self, held_bytes_cap: int) -> None:
        self._cap = held_bytes_cap
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._base = 1
        self._sent = 0
        self._in_flight = 0
        self._waiting: dict[int, list[Entry]] = {}
        self._horizon = 0
        self._highest = 0
        self._durable = 0
        #: acknowledged, but of epochs that the peer has not made durable
        self._retained: dict[int, list[Entry]] = {}
        self.held_bytes = 0
        #: entries dropped because the peer is too far behind
        self.dropped = 0

    @property
    def base(self) -> int:
        """Lowest sequence number still held."""
        return self._base

    @property
    def highest(self) -> int:
        """Highest sequence number that can have been acknowledged."""
        return max(self._highest, self._base - 1)

    @property
    def in_flight(self) -> bool:
        """Whether entries were sent on this connection that are not acknowledged."""
        return self._sent > 0

    @property
    def backlog(self) -> int:
        """Entries that the peer has not acknowledged."""
        return len(self._queue) + sum(map(len, self._waiting.values()))

    def offer(self, entry: Entry) -> None:
        """Queue an entry; it waits if its epoch is beyond the peer's horizon."""
        self.held_bytes += _cost(entry)
        self._place(entry)
        if self.held_bytes > self._cap:
            self._shrink()

    def make_room(self, size: int) -> bool:
        """Whether `size` bytes can be offered without loss of anything that the peer can use now, nor of what it will
        be told soon: half of the cap is for that.

        What it cannot use now makes way, if there is too much: as it would when the entries are offered.
        """
        if self._queued_bytes + size > self._cap // 2:
            return False
        if self.held_bytes + size > self._cap:
            self._drop_unusable(min(self._cap // 2, self._cap - size))
        return True

    def acknowledge(self, ack: int) -> bool:
        """The peer has processed everything up to `ack`; False if it never was sent that much.

        After a rewind that may be more than was sent again: the acknowledgement was lost with the connection.
        """
        if ack > self.highest:
            return False
        while self._base <= ack:
            entry = self._take_oldest()
            if entry.epoch > self._durable:
                self._retained.setdefault(entry.epoch, []).append(entry)
            else:
                self.held_bytes -= _cost(entry)
        return True

    def set_durable(self, durable: int) -> None:
        """The peer will never again need epochs up to `durable`."""
        if durable > self._durable:
            self._durable = durable
            for epoch in [epoch for epoch in self._retained if epoch <= durable]:
                self.held_bytes -= sum(map(_cost, self._retained.pop(epoch)))

    def skip_number(self) -> None:
        """If nothing is owed, move on by a number: the peer acknowledges it, which shows that it hears this node."""
        if not self._queue:
            self._base += 1

    def peer_restarted(self, horizon: int) -> None:
        """A new incarnation of the peer, which knows nothing of what the old one acknowledged: send it all again.

        Under new sequence numbers, and only what is within its horizon, which may be lower than the old one's; so may
        be what it has on disk.
        """
        self._durable = 0
        entries = [entry for epoch in sorted(self._retained) for entry in self._retained[epoch]]
        entries += self._queue
        for epoch in sorted(self._waiting):
            entries += self._waiting[epoch]
        # One more than there were: nobody can have heard of it before this.
        self._base += len(self._queue) + 1
        self._retained.clear()
        self._queue.clear()
        self._queued_bytes = 0
        self._waiting.clear()
        self._horizon = horizon
        self._highest = self._base - 1
        self.rewind()
        for entry in entries:
            self._place(entry)

    def set_horizon(self, horizon: int) -> None:
        """The peer now accepts epochs up to `horizon`."""
        if horizon <= self._horizon:
            return
        self._horizon = horizon
        for epoch in sorted(epoch for epoch in self._waiting if epoch <= horizon):
            entries = self._waiting.pop(epoch)
            self._queue.extend(entries)
            self._queued_bytes += sum(map(_cost, entries))

    def rewind(self) -> None:
        """A new connection: send again from the first unacknowledged entry."""
        self._sent = 0
        self._in_flight = 0

    def next_entries(self) -> tuple[int, list[bytes]]:
        """(sequence number of the first, entries to send now); they count as in flight."""
        first = self._base + self._sent
        chosen: list[bytes] = []
        last = min(self._sent + ENTRIES_PER_MESSAGE, ENTRIES_IN_FLIGHT)
        for entry in islice(self._queue, self._sent, max(self._sent, last)):
            if self._in_flight and self._in_flight + len(entry.data) > IN_FLIGHT_BYTES:
                break
            self._in_flight += len(entry.data)
            chosen.append(entry.data)
        self._sent += len(chosen)
        self._highest = max(self._highest, first + len(chosen) - 1)
        return first, chosen

    def _place(self, entry: Entry) -> None:
        if entry.epoch <= self._horizon:
            self._queue.append(entry)
            self._queued_bytes += _cost(entry)
        else:
            self._waiting.setdefault(entry.epoch, []).append(entry)

    def _take_oldest(self) -> Entry:
        entry = self._queue.popleft()
        self._queued_bytes -= _cost(entry)
        self._base += 1
        if self._sent:
            self._sent -= 1
            self._in_flight -= len(entry.data)
        return entry

    def _shrink(self) -> None:
        """Drop oldest entries down to half the cap, so that this is rare; those that the peer can use now only if they
        alone are over the cap."""
        self._drop_unusable(self._cap // 2)
        if self.held_bytes <= self._cap:
            return
        while self._queue and self.held_bytes > self._cap // 2:
            self.held_bytes -= _cost(self._take_oldest())
            self.dropped += 1

    def _drop_unusable(self, target: int) -> None:
        """Drop oldest entries, down to `target` bytes if there are so many, but nothing that the peer can use now: its
        own window, and the blocks it asked for."""
        for epoch in sorted(self._retained):
            if self.held_bytes <= target:
                return
            dropped = self._retained.pop(epoch)
            self.held_bytes -= sum(map(_cost, dropped))
            self.dropped += len(dropped)
        for epoch in sorted(self._waiting):
            if self.held_bytes <= target:
                return
            entries = self._waiting.pop(epoch)
            self.held_bytes -= sum(map(_cost, entries))
            self.dropped += len(entries)
            if not self._queue:
                # They take sequence numbers too, so that the peer learns of its loss.
                self._base += len(entries)


class Incoming:
    """What has arrived from one peer."""

    def __init__(self) -> None:
        self.session = 0
        self.processed = 0
        #: entries the peer had already dropped when it could have sent them
        self.lost = 0

    def accept(self, header: Header, count: int) -> slice:
        """Which of the message's `count` entries are new and in sequence."""
        if header.session != self.session:
            # A new incarnation of the peer: its sequence begins anew.
            self.session = header.session
            self.processed = header.base - 1
        elif header.base > self.processed + 1:
            self.lost += header.base - 1 - self.processed
            self.processed = header.base - 1
        first_new = self.processed + 1 - header.first
        if first_new < 0:
            # Something before this message was lost on a reconnect; the sender comes back to it when it notices.
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
        #: whether the peer, by its last word, listens to this session
        self.heeded = False
        self._greeted = False
        self._announced: Announcement = NOTHING

    def connection_opened(self) -> None:
        """The path to the peer is (again) there: greet, then resend what is unacknowledged."""
        self.connected = True
        self.outgoing.rewind()
        self.greet_again()

    def connection_closed(self) -> None:
        """The path to the peer is gone; what was in flight may be lost."""
        self.connected = False

    def greet_again(self) -> None:
        """The peer may not know that this node is here, or whom it listens to."""
        self._greeted = False
        self._announced = NOTHING

    def greeted(self, header: Header, hello: Hello) -> Greeting:
        """What a greeting asks for. `receive` is to follow if it is taken; if not, it must be answered first."""
        greeting = self.sessions.greeted(header, hello, self.incoming.session, self.outgoing.highest)
        if not greeting.taken:
            # If the present session is alive, it will acknowledge this.
            self.outgoing.skip_number()
        return greeting

    def receive(self, header: Header, count: int) -> slice:
        """Take the acknowledgement and horizon of a message; returns the slice of its entries to process.

        A message of another session than the present one is its greeting, and from then on it is the present one.
        """
        present = self.incoming.session
        if header.session != present and present:
            self.outgoing.peer_restarted(header.horizon)
            self.sessions.changed(present, self.outgoing.base - 1)
        elif header.ack_session == self._session and self.outgoing.acknowledge(header.ack):
            self.sessions.acknowledged = max(self.sessions.acknowledged, header.ack)
        self.heeded = header.ack_session == self._session
        if header.kind == HELLO:
            # It may not know that it is listened to.
            self._announced = NOTHING
        self.outgoing.set_horizon(header.horizon)
        self.outgoing.set_durable(header.durable)
        self.peer_durable = header.durable
        return self.incoming.accept(header, count)

    def owes_announcement(self, horizon: int, durable: int) -> bool:
        """Whether the peer has not been told the latest acknowledgement, horizon or durable epoch."""
        return self._announced != (self.incoming.session, self.incoming.processed, horizon, durable)

    def next_message(
        self, horizon: int, durable: int, hello: Callable[[tuple[int, int], bool], bytes], *, announce: bool
    ) -> list[bytes] | None:
        """The next ZeroMQ message for the peer as parts, or None if there is nothing to say now.

        `hello(heard, twice)` encodes the second part of a greeting, see `Hello`. `announce`: whether an acknowledgement
        alone is worth a message.
        """
        if not self._greeted:
            told = hello(self.sessions.heard, self.sessions.twice)
            self._greeted, self.sessions.twice = True, False
            return [self._header(HELLO, self.outgoing.base, horizon, durable), told]
        if not self.incoming.session:
            # The peer ignores what is not addressed to its present incarnation, which is not known yet.
            return None
        # It ignores entries of a session that it does not listen to, too: they would have to be sent again.
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
