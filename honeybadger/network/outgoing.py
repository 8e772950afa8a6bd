"""The sending half of a reliable link (`links`): the entries that are owed to one peer."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

from honeybadger.network.codec import ENTRIES_PER_MESSAGE, MESSAGE_BYTES

#: bytes handed to ZeroMQ and not yet acknowledged, per peer (one entry may exceed it alone): enough for 600 Mbit/s at
#: 200 ms; and four times as much is what a peer can make this node hold unread
IN_FLIGHT_BYTES = 16 * 1024 * 1024
#: entries handed to ZeroMQ and not yet acknowledged, per peer; with more, the next one would take long to reach
ENTRIES_IN_FLIGHT = 4096
#: rough memory of an entry in addition to its bytes; it counts against the cap, or empty entries would be free
ENTRY_BYTES = 128


@dataclass(frozen=True, slots=True)
class Entry:
    """Encoded messages that belong to one epoch (or to earlier ones)."""

    epoch: int
    data: bytes


def _cost(entry: Entry) -> int:
    return len(entry.data) + ENTRY_BYTES


class Outgoing:
    """The entries that are still owed to one peer."""

    def __init__(self, held_bytes_cap: int) -> None:
        self._cap = held_bytes_cap
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        #: lowest sequence number still held
        self.base = 1
        self._sent = 0
        self._in_flight = 0
        self._waiting: dict[int, list[Entry]] = {}
        self._horizon = 0
        self._highest = 0
        self._durable = 0
        #: acknowledged entries of epochs that the peer does not have on disk yet
        self._retained: dict[int, list[Entry]] = {}
        self.held_bytes = 0
        #: entries dropped because the peer is too far behind
        self.dropped = 0

    @property
    def highest(self) -> int:
        """Highest sequence number that can have been acknowledged."""
        return max(self._highest, self.base - 1)

    @property
    def in_flight(self) -> bool:
        """Whether entries were sent on this connection that are not acknowledged."""
        return self._sent > 0

    @property
    def unsent(self) -> bool:
        """Whether entries that the peer can use were not sent on this connection yet."""
        return self._sent < len(self._queue)

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
        """Whether `size` bytes can be offered without loss of what the peer can use now, or will need soon: half of the
        cap is for that.

        Entries that the peer cannot use now make way if there are too many, as in `offer`.
        """
        if self._queued_bytes + size > self._cap // 2:
            return False
        if self.held_bytes + size > self._cap:
            self._drop_unusable(min(self._cap // 2, self._cap - size))
        return True

    def acknowledge(self, ack: int) -> bool:
        """The peer has processed everything up to `ack`; False if it was never sent that much.

        After a rewind `ack` may be ahead of what was resent: an earlier acknowledgement was lost with its connection.
        """
        if ack > self.highest:
            return False
        while self.base <= ack:
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
        """If nothing is owed, skip a number: the peer will acknowledge it, which shows that it hears this node."""
        if not self._queue:
            self.base += 1

    def peer_restarted(self, horizon: int) -> None:
        """A new incarnation of the peer knows nothing of what the old one acknowledged: queue everything again.

        It gets new sequence numbers. Its horizon, and what it has on disk, may be lower than before.
        """
        self._durable = 0
        entries = [entry for epoch in sorted(self._retained) for entry in self._retained[epoch]]
        entries += self._queue
        for epoch in sorted(self._waiting):
            entries += self._waiting[epoch]
        # One more than there were, so that this number was never used before.
        self.base += len(self._queue) + 1
        self._retained.clear()
        self._queue.clear()
        self._queued_bytes = 0
        self._waiting.clear()
        self._horizon = horizon
        self._highest = self.base - 1
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
        first = self.base + self._sent
        chosen: list[bytes] = []
        size = 0
        last = min(self._sent + ENTRIES_PER_MESSAGE, ENTRIES_IN_FLIGHT)
        for entry in islice(self._queue, self._sent, max(self._sent, last)):
            size += len(entry.data)
            if chosen and size > MESSAGE_BYTES:
                break
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
        self.base += 1
        if self._sent:
            self._sent -= 1
            self._in_flight -= len(entry.data)
        return entry

    def _shrink(self) -> None:
        """Drop oldest entries down to half the cap, so that this is rare. Those that the peer can use now go only if
        they alone exceed the cap."""
        self._drop_unusable(self._cap // 2)
        if self.held_bytes <= self._cap:
            return
        while self._queue and self.held_bytes > self._cap // 2:
            self.held_bytes -= _cost(self._take_oldest())
            self.dropped += 1

    def _drop_unusable(self, target: int) -> None:
        """Drop oldest entries down to `target` bytes, but none that the peer can use now: its window, and the blocks
        that it asked for."""
        for held in (self._retained, self._waiting):
            for epoch in sorted(held):
                if self.held_bytes <= target:
                    return
                entries = held.pop(epoch)
                self.held_bytes -= sum(map(_cost, entries))
                self.dropped += len(entries)
                if held is self._waiting and not self._queue:
                    # They take sequence numbers all the same, so that the peer learns of its loss.
                    self.base += len(entries)
