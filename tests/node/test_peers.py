"""Links, codec and greeting put together, without sockets: what is taken, acknowledged, refused and sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import zmq
from msgspec.structs import replace

from honeybadger.network.codec import DATA, HELLO, Codec, Header, Hello
from honeybadger.network.transport import PeerEvent
from honeybadger.node.peers import Peers
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import MESSAGE_TYPES, BVal, Message, Term

CODEC = Codec(MESSAGE_TYPES, 1000)
OURS = Hello(bytes(32), {"batch_size": "7"})
THEIRS = Hello(b"\1" * 32, {"batch_size": "8"})


class FakeTransport:
    """Two queues and a record."""

    def __init__(self) -> None:
        self.inbox: deque[tuple[int, list[Any]]] = deque()
        self.changes: list[PeerEvent] = []
        self.sent: list[tuple[int, list[bytes]]] = []
        self.works = True
        self.resets: list[int] = []

    def reset(self, peer: int) -> None:
        self.resets.append(peer)

    def receive(self) -> tuple[int, list[Any]] | None:
        return self.inbox.popleft() if self.inbox else None

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        if self.works:
            self.sent.append((peer, list(parts)))
        return self.works

    def events(self) -> list[PeerEvent]:
        found, self.changes = self.changes, []
        return found


def difference(hello: Hello) -> str:
    """Why a peer is refused."""
    if hello.chain_id == OURS.chain_id:
        return ""
    return f"batch_size is 7 here and {hello.settings['batch_size']} there"


class Bench:
    """Node 0 of three, all connected, none greeted."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.refused: list[tuple[int, str]] = []
        self.connections: list[tuple[int, bool, str]] = []
        self.faults: list[tuple[int, FaultKind]] = []
        self.peers = Peers(
            0,
            3,
            77,
            1 << 20,
            CODEC,
            self.transport,  # type: ignore[arg-type]
            OURS,
            lambda hello: (
                ""
                if hello.chain_id == OURS.chain_id
                else f"batch_size is 7 here and {hello.settings['batch_size']} there"
            ),
            lambda peer, why: self.refused.append((peer, why)),
            lambda *change: self.connections.append(change),
            lambda node, kind, detail: self.faults.append((node, kind)),
        )
        self.transport.changes = [PeerEvent(1, True), PeerEvent(2, True)]
        self.peers.connections_changed()

    def arrives(self, sender: int, kind: int, *parts: bytes, first: int = 1, session: int = 5, ours: int = 77) -> None:
        head = Header(kind, session, first, 1, ours, 0, 9, 0).encode()
        self.transport.inbox.append((sender, [zmq.Frame(part) for part in (head, *parts)]))

    def greets(self, *senders: int) -> None:
        for sender in senders:
            self.arrives(sender, HELLO, CODEC.encode_hello(OURS))
        self.take()

    def answers(self, sender: int, session: int) -> None:
        """Whoever sits at the sender's address greets, having heard the latest greeting to there."""
        heard = (77, self.peers.links[sender].outgoing.base - 1)
        self.arrives(sender, HELLO, CODEC.encode_hello(replace(OURS, heard=heard)), session=session)
        self.take()

    def take(self) -> list[tuple[int, Message]]:
        taken = []
        while (entries := self.peers.receive()) is not None:
            taken += [(sender, message) for sender, messages in entries for message in messages]
        return taken


def entry(*rounds: int) -> bytes:
    return CODEC.encode([BVal(1, 0, r, True) for r in rounds])


def test_another_chain_is_refused_with_the_difference() -> None:
    bench = Bench()
    bench.arrives(1, HELLO, CODEC.encode_hello(THEIRS))
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == []
    assert bench.refused == [(1, "batch_size is 7 here and 8 there")]
    assert bench.peers.links[1].incoming.processed == 0


def test_data_before_a_greeting_is_ignored_and_taken_after_it() -> None:
    bench = Bench()
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == []
    assert bench.peers.links[1].incoming.processed == 0
    bench.greets(1)
    bench.arrives(1, DATA, entry(1), session=6)
    assert bench.take() == [], "another session than the greeted one"
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == [(1, BVal(1, 0, 1, True))]
    assert bench.faults == []


def test_another_incarnation_gets_a_fresh_connection() -> None:
    """What ZeroMQ queued for the old one is dropped: greeting again and again must not fill our memory."""
    bench = Bench()
    for session in (5, 5, 6, 7):
        bench.answers(1, session)
    assert bench.transport.resets == [1, 1]
    assert bench.faults == []


def test_a_late_greeting_of_a_dead_incarnation_does_not_mute_the_present_one() -> None:
    bench = Bench()
    bench.answers(1, 5)
    late = CODEC.encode_hello(replace(OURS, heard=(77, bench.peers.links[1].outgoing.base - 1)))
    bench.answers(1, 6)
    for _ in range(5):
        bench.arrives(1, HELLO, late, session=5)
        bench.arrives(1, DATA, entry(1), session=5)
    assert bench.take() == []
    bench.arrives(1, DATA, entry(1), session=6)
    assert bench.take() == [(1, BVal(1, 0, 1, True))]
    assert bench.transport.resets == [1]
    assert bench.faults == [], "nothing shows that the dead one is alive"


def test_greetings_are_answered_and_sessions_changed_a_few_times_a_second() -> None:
    """Each answer may wait in ZeroMQ, and each change queues again what the peer may need."""
    bench = Bench()
    bench.answers(1, 5)
    bench.peers.flush(9, 0)
    bench.transport.sent.clear()
    for session in range(1000, 1100):
        bench.arrives(1, HELLO, CODEC.encode_hello(OURS), session=session)
        bench.take()
        bench.peers.flush(9, 0)
    assert len([parts for peer, parts in bench.transport.sent if peer == 1 and parts[0][1] == HELLO]) <= 6
    for session in range(2000, 2100):
        bench.answers(1, session)
    assert len(bench.transport.resets) <= 4


def test_data_for_an_earlier_incarnation_is_ignored() -> None:
    bench = Bench()
    bench.greets(1)
    for ours in (0, 76):
        bench.arrives(1, DATA, entry(1), ours=ours)
        assert bench.take() == []
    assert bench.peers.links[1].incoming.processed == 0
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == [(1, BVal(1, 0, 1, True))]
    assert bench.faults == []


class FakeJournal:
    """Notes what was asked, and how much had been sent by then."""

    def __init__(self, transport: FakeTransport, silent_through: int) -> None:
        self.silent_through = silent_through
        self._transport = transport
        self.calls: list[tuple[str, int, int]] = []

    def reserve(self, epoch: int) -> None:
        self.calls.append(("reserve", epoch, len(self._transport.sent)))

    def sync(self) -> None:
        self.calls.append(("sync", 0, len(self._transport.sent)))


def test_the_journal_is_asked_before_anything_leaves_and_silence_is_kept() -> None:
    bench = Bench()
    bench.greets(1, 2)
    journal = bench.peers._journal = FakeJournal(bench.transport, 3)
    bench.peers.flush(9, 0)
    assert journal.calls == [("sync", 0, 0)], "a greeting says nothing about an epoch, but a block may be waiting"
    journal.calls.clear()
    bench.transport.sent.clear()
    for epoch in (0, 3, 4):
        bench.peers.broadcast(BVal(epoch, 0, 0, True))
    bench.peers.send(2, Term(2, 0, True))
    bench.peers.send(2, Term(5, 0, True))
    bench.peers.flush(9, 0)
    assert journal.calls == [("reserve", 5, 0), ("sync", 0, 0)]
    for peer, private in ((1, []), (2, [Term(5, 0, True)])):
        said = [m for to, parts in bench.transport.sent if to == peer for p in parts[1:] for m in CODEC.decode(p)]
        assert said == [BVal(0, 0, 0, True), BVal(4, 0, 0, True), *private]
    assert len(bench.peers.loopback) == 3


def test_a_second_process_of_another_chain_does_not_end_what_was_accepted() -> None:
    """A node was mute for good when another one with its keys, but other settings, had greeted."""
    bench = Bench()
    bench.greets(1)
    bench.arrives(1, HELLO, CODEC.encode_hello(THEIRS), session=6)
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == [(1, BVal(1, 0, 1, True))]
    assert bench.refused == [(1, "batch_size is 7 here and 8 there")]


def test_an_entry_is_acknowledged_only_after_it_was_processed() -> None:
    bench = Bench()
    bench.greets(1)
    bench.arrives(1, DATA, entry(1), entry(2))
    entries = bench.peers.receive()
    assert entries is not None
    processed = []
    for _ in entries:
        processed.append(bench.peers.links[1].incoming.processed)
    assert processed == [0, 1]
    assert bench.peers.links[1].incoming.processed == 2
    bench.arrives(1, DATA, entry(2), entry(3), first=2)
    assert bench.take() == [(1, BVal(1, 0, 3, True))]


def test_malformed_entries_are_faults_and_the_link_goes_on() -> None:
    bench = Bench()
    bench.greets(1)
    bench.arrives(1, DATA, entry(1), b"\xff", b"\x91" * 5000, entry(2))
    assert [message.round for _, message in bench.take() if isinstance(message, BVal)] == [1, 2]
    assert bench.faults == [(1, FaultKind.BAD_FRAME)] * 2
    assert bench.peers.links[1].incoming.processed == 4
    for frames in ([b""], [b"garbage"], [b"\1\3" + bytes(56)], [Header(HELLO, 5, 1, 1, 0, 0, 0, 0).encode()]):
        bench.transport.inbox.append((1, [zmq.Frame(frame) for frame in frames]))
    bench.arrives(1, HELLO, b"\xff")
    bench.arrives(1, HELLO, CODEC.encode_hello(OURS), b"more")
    bench.arrives(1, DATA, entry(3), first=5)
    assert len(bench.take()) == 1
    assert bench.faults == [(1, FaultKind.BAD_FRAME)] * 8


def test_numbers_at_their_ends_do_not_stop_us() -> None:
    """base = 0 and base = 2**64 - 1 each made the next header to that peer unpackable."""
    for number in (0, 2**63, 2**64 - 1):
        for kind in (HELLO, DATA):
            bench = Bench()
            bench.greets(1)
            session = 6 if kind == HELLO else 5
            head = Header(kind, session, number, number, 77, number, number, number).encode()
            body = CODEC.encode_hello(OURS) if kind == HELLO else entry(1)
            bench.transport.inbox.append((1, [zmq.Frame(head), zmq.Frame(body)]))
            bench.take()
            bench.peers.flush(9, 0)


def test_a_broadcast_is_encoded_once() -> None:
    bench = Bench()
    bench.greets(1, 2)
    for r in range(3):
        bench.peers.broadcast(BVal(1, 0, r, True))
    bench.peers.send(2, Term(1, 0, True))
    bench.peers.flush(9, 0)
    data = {peer: parts for peer, parts in bench.transport.sent if len(parts) > 1 and parts[0][1] == DATA}
    assert data[1][1] is data[2][1]
    assert CODEC.decode(data[1][1]) == [BVal(1, 0, r, True) for r in range(3)]
    assert [CODEC.decode(part) for part in data[2][2:]] == [[Term(1, 0, True)]]
    assert list(bench.peers.loopback) == [BVal(1, 0, r, True) for r in range(3)]
    assert bench.peers.messages_sent == {"BVal": 3, "Term": 1}


def test_what_is_for_oneself_goes_through_the_queue() -> None:
    bench = Bench()
    bench.peers.send(0, Term(1, 0, True))
    assert list(bench.peers.loopback) == [Term(1, 0, True)]
    bench.peers.flush(9, 0)
    assert all(parts[0][1] == HELLO for _, parts in bench.transport.sent)


def test_nothing_goes_to_an_ungreeted_peer_but_a_greeting() -> None:
    bench = Bench()
    bench.peers.broadcast(BVal(1, 0, 0, True))
    bench.peers.flush(9, 0)
    assert [(peer, parts[0][1]) for peer, parts in bench.transport.sent] == [(1, HELLO), (2, HELLO)]
    assert bench.peers.links[1].outgoing.backlog == 1


def test_a_send_that_fails_right_after_a_connection_opened_is_tried_again() -> None:
    """ZeroMQ may report a connection before its socket can send: the link then stayed dead for ever."""
    bench = Bench()
    bench.greets(1, 2)
    bench.peers.broadcast(BVal(1, 0, 0, True))
    bench.transport.works = False
    bench.peers.flush(9, 0)
    assert bench.peers.owes_announcements(9, 0), "so that the main loop comes back soon"
    bench.transport.works = True
    bench.peers.flush(9, 0)
    for peer in (1, 2):
        mine = [parts for receiver, parts in bench.transport.sent if receiver == peer]
        assert [parts[0][1] for parts in mine] == [HELLO, DATA]
    bench.transport.changes = [PeerEvent(1, False), PeerEvent(1, False), PeerEvent(2, False, "it refused this key")]
    bench.peers.connections_changed()
    assert bench.connections[2:] == [(1, False, ""), (2, False, "it refused this key")]


def test_acknowledgements_travel_alone_but_not_at_once() -> None:
    bench = Bench()
    bench.greets(1)
    bench.peers.flush(9, 0)
    bench.transport.sent.clear()
    bench.arrives(1, DATA, entry(1))
    bench.take()
    assert bench.peers.owes_announcements(9, 0)
    bench.peers._next_ack = 0.0
    bench.peers.flush(9, 0)
    assert [Header.decode(parts[0]).ack for peer, parts in bench.transport.sent if peer == 1] == [1]
    assert not bench.peers.links[1].owes_announcement(9, 0)


def test_messages_and_bytes_are_counted_by_type_for_every_receiver() -> None:
    bench = Bench()
    bench.greets(1, 2)
    bench.peers.flush(9, 0)
    before = sum(len(part) for _, parts in bench.transport.sent for part in parts[1:])
    for number in range(3):
        bench.peers.broadcast(BVal(1, 0, number, True))
    bench.peers.send(2, Term(1, 0, True))
    bench.peers.flush(9, 0)
    assert bench.peers.messages_sent == {"BVal": 3, "Term": 1}
    sent = sum(len(part) for _, parts in bench.transport.sent for part in parts[1:]) - before
    # The array headers of two entries that hold several messages each are nobody's.
    assert sent - 4 <= sum(bench.peers.bytes_sent.values()) <= sent and bench.peers.bytes_sent["Term"] < 12
