"""Links, codec and greeting put together, without sockets: what is taken, acknowledged, refused and sent."""

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from support.peers import HELLO as OURS
from support.peers import Listener, QueueTransport, peers_of

from honeybadger.network.codec import DATA, HELLO, Codec, Header, Hello
from honeybadger.network.transport import PeerEvent
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES, BVal, Term
from honeybadger.protocols.wire import Message

CODEC = Codec(MESSAGE_TYPES, 1000)
THEIRS = Hello(b"\1" * 32, {"batch_size": "8"})


class Bench:
    """Node 0 of three, all connected, none greeted."""

    def __init__(self) -> None:
        self.transport = QueueTransport(0, 3)
        self.told = Listener()
        self.peers = peers_of(0, 3, 77, CODEC, self.transport, self.told)
        self.peers.connections_changed()

    def arrives(self, sender: int, kind: int, *parts: bytes, first: int = 1, session: int = 5, ours: int = 77) -> None:
        head = Header(kind, session, first, 1, ours, 0, 9, 0).encode()
        self.transport.arrives(sender, head, *parts)

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


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_another_chain_is_refused_with_the_difference_and_ends_nothing_that_was_accepted(bench: Bench) -> None:
    """A node was mute for good when another one with its keys, but other settings, had greeted."""
    bench.arrives(1, HELLO, CODEC.encode_hello(THEIRS))
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == []
    assert bench.peers.links[1].incoming.processed == 0
    bench.greets(1)
    bench.arrives(1, HELLO, CODEC.encode_hello(THEIRS), session=6)
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == [(1, BVal(1, 0, 1, True))]
    assert bench.told.refusals == [(1, "not {'batch_size': '8'}")] * 2


def test_data_is_taken_after_a_greeting_and_from_one_incarnation_to_another_only(bench: Bench) -> None:
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == []
    bench.greets(1)
    bench.arrives(1, DATA, entry(1), session=6)
    bench.arrives(1, DATA, entry(1), ours=0)
    bench.arrives(1, DATA, entry(1), ours=76)
    assert bench.take() == []
    assert bench.peers.links[1].incoming.processed == 0
    bench.arrives(1, DATA, entry(1))
    assert bench.take() == [(1, BVal(1, 0, 1, True))]
    assert not bench.told.faults


def test_another_incarnation_gets_a_fresh_connection(bench: Bench) -> None:
    """What ZeroMQ queued for the old one is dropped: greeting again and again must not fill our memory."""
    for session in (5, 5, 6, 7):
        bench.answers(1, session)
    assert bench.transport.resets == [1, 1]
    assert not bench.told.faults


def test_a_late_greeting_of_a_dead_incarnation_does_not_mute_the_present_one(bench: Bench) -> None:
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
    assert not bench.told.faults, "nothing shows that the dead one is alive"


def test_greetings_are_answered_and_sessions_changed_a_few_times_a_second(bench: Bench) -> None:
    """Each answer may wait in ZeroMQ, and each change queues again what the peer may need."""
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


def test_the_journal_is_asked_before_anything_leaves_and_silence_is_kept(bench: Bench) -> None:
    bench.greets(1, 2)
    calls: list[tuple[Any, int]] = []
    bench.peers._journal = SimpleNamespace(
        silent_through=3,
        reserve=lambda epoch: calls.append((epoch, len(bench.transport.sent))),
        sync=lambda: calls.append(("sync", len(bench.transport.sent))),
    )
    bench.peers.flush(9, 0)
    assert calls == [("sync", 0)], "a greeting says nothing about an epoch, but a block may be waiting"
    calls.clear()
    bench.transport.sent.clear()
    for epoch in (0, 3, 4):
        bench.peers.broadcast(BVal(epoch, 0, 0, True))
    bench.peers.send(2, Term(2, 0, True))
    bench.peers.send(2, Term(5, 0, True))
    bench.peers.flush(9, 0)
    assert calls == [(5, 0), ("sync", 0)]
    for peer, private in ((1, []), (2, [Term(5, 0, True)])):
        said = [m for to, parts in bench.transport.sent if to == peer for p in parts[1:] for m in CODEC.decode(p)]
        assert said == [BVal(0, 0, 0, True), BVal(4, 0, 0, True), *private]
    assert len(bench.peers.loopback) == 3


def test_an_entry_is_acknowledged_only_after_it_was_processed(bench: Bench) -> None:
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


def test_malformed_entries_are_faults_and_the_link_goes_on(bench: Bench) -> None:
    bench.greets(1)
    bench.arrives(1, DATA, entry(1), b"\xff", b"\x91" * 5000, entry(2))
    assert [message.round for _, message in bench.take() if isinstance(message, BVal)] == [1, 2]
    assert bench.told.faults == {(1, FaultKind.BAD_FRAME): 2}
    assert bench.peers.links[1].incoming.processed == 4
    for frames in ([b""], [b"garbage"], [b"\1\3" + bytes(56)], [Header(HELLO, 5, 1, 1, 0, 0, 0, 0).encode()]):
        bench.transport.arrives(1, *frames)
    bench.arrives(1, HELLO, b"\xff")
    bench.arrives(1, HELLO, CODEC.encode_hello(OURS), b"more")
    bench.arrives(1, DATA, entry(3), first=5)
    assert len(bench.take()) == 1
    assert bench.told.faults == {(1, FaultKind.BAD_FRAME): 8}


def test_numbers_at_their_ends_do_not_stop_us() -> None:
    """base = 0 and base = 2**64 - 1 each made the next header to that peer unpackable."""
    for number in (0, 2**63, 2**64 - 1):
        for kind in (HELLO, DATA):
            bench = Bench()
            bench.greets(1)
            session = 6 if kind == HELLO else 5
            head = Header(kind, session, number, number, 77, number, number, number).encode()
            body = CODEC.encode_hello(OURS) if kind == HELLO else entry(1)
            bench.transport.arrives(1, head, body)
            bench.take()
            bench.peers.flush(9, 0)


def test_a_broadcast_is_encoded_once_and_counted_for_every_receiver(bench: Bench) -> None:
    bench.greets(1, 2)
    bench.peers.flush(9, 0)
    bench.transport.sent.clear()
    said = [BVal(1, 0, r, True) for r in range(3)]
    for message in said:
        bench.peers.broadcast(message)
    bench.peers.send(2, Term(1, 0, True))
    bench.peers.flush(9, 0)
    (_, (_, *to_1)), (_, (_, *to_2)) = bench.transport.sent
    assert to_1[0] is to_2[0]
    assert [CODEC.decode(part) for part in to_2] == [said, [Term(1, 0, True)]]
    assert bench.peers.messages_sent == {"BVal": 3, "Term": 1}
    sent = sum(map(len, [*to_1, *to_2]))
    # The array headers of two entries that hold several messages each are nobody's.
    assert sent - 4 <= sum(bench.peers.bytes_sent.values()) <= sent and bench.peers.bytes_sent["Term"] < 12
    bench.peers.send(0, Term(2, 0, True))
    assert list(bench.peers.loopback) == [*said, Term(2, 0, True)], "what is for oneself goes through the queue"
    bench.peers.flush(9, 0)
    assert len(bench.transport.sent) == 2


def test_nothing_goes_to_an_ungreeted_peer_but_a_greeting(bench: Bench) -> None:
    bench.peers.broadcast(BVal(1, 0, 0, True))
    bench.peers.flush(9, 0)
    assert [(peer, parts[0][1]) for peer, parts in bench.transport.sent] == [(1, HELLO), (2, HELLO)]
    assert bench.peers.links[1].outgoing.backlog == 1


def test_a_send_that_fails_right_after_a_connection_opened_is_tried_again(bench: Bench) -> None:
    """ZeroMQ may report a connection before its socket can send: the link then stayed dead for ever."""
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
    assert bench.told.connections[2:] == [(1, False, ""), (2, False, "it refused this key")]


def test_acknowledgements_travel_alone_but_not_at_once(bench: Bench) -> None:
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


@pytest.mark.parametrize("why", ["window", "reset", "for it alone"])
def test_a_flush_between_two_announcements_looks_at_the_links_that_have_something_to_say(
    bench: Bench, why: str
) -> None:
    """It passes over the others, so it must not pass over these."""
    bench.greets(1, 2)
    bench.peers.flush(9, 0)
    bench.peers.broadcast(BVal(10, 0, 0, True))
    bench.peers.flush(9, 0)
    bench.peers._next_ack = bench.peers._next_greeting = float("inf")
    bench.transport.sent.clear()
    bench.peers.flush(9, 0)
    assert bench.transport.sent == []
    if why == "window":
        bench.transport.arrives(1, Header(DATA, 5, 1, 1, 77, 0, 10, 0).encode())
        bench.take()
    elif why == "reset":
        bench.transport.changes = [PeerEvent(1, False), PeerEvent(1, True)]
        bench.peers.connections_changed()
    else:
        bench.peers.send(1, BVal(2, 0, 0, True))
    bench.peers.flush(9, 0)
    kinds = [HELLO] if why == "reset" else [DATA]
    assert [(peer, parts[0][1]) for peer, parts in bench.transport.sent] == [(1, kind) for kind in kinds]
