"""One peer's link, step by step: windows, bounds, and what a lying peer can and cannot do."""

from collections import deque
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.work import no_more_lines_than

from honeybadger.network import outgoing as outgoing_module
from honeybadger.network.codec import DATA, HEADER_BYTES, HELLO, Header, WireError
from honeybadger.network.links import Link
from honeybadger.network.outgoing import ENTRIES_IN_FLIGHT, ENTRIES_PER_MESSAGE, Entry, Outgoing

HUGE = 2**63
CAP = 1 << 20


@pytest.fixture(autouse=True)
def entries_cost_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the numbers below can be added up by hand."""
    monkeypatch.setattr(outgoing_module, "ENTRY_BYTES", 0)


def outgoing(*epochs: int, horizon: int = 0, cap: int = CAP, size: int = 10) -> Outgoing:
    """Holds an entry for each of `epochs`, numbered in its first bytes."""
    made = Outgoing(cap)
    made.set_horizon(horizon)
    for i, epoch in enumerate(epochs):
        made.offer(Entry(epoch, b"%d" % i + b"." * (size - len(b"%d" % i))))
    return made


def sent(out: Outgoing) -> list[int]:
    """Numbers of all entries that may be sent now."""
    numbers: list[int] = []
    while entries := out.next_entries()[1]:
        numbers += [int(data.split(b".")[0]) for data in entries]
    return numbers


def greeted(session: int = 7, cap: int = CAP) -> Link:
    link = Link(session, cap)
    link.connection_opened()
    return link


def header(
    first: int = 1,
    base: int = 1,
    ack: int = 0,
    ack_session: int = 7,
    horizon: int = 9,
    session: int = 5,
    durable: int = 0,
) -> Header:
    """Through bytes, as a peer's would come."""
    return Header.decode(Header(DATA, session, first, base, ack_session, ack, horizon, durable).encode())


def hello(heard: tuple[int, int], twice: bool) -> bytes:
    """Second part of a greeting, shorter than a real one."""
    return b"hello"


def drain(link: Link, horizon: int = 9, durable: int = 0) -> list[list[bytes]]:
    """Everything the link has to say now."""
    said = []
    while message := link.next_message(horizon, durable, hello, announce=True):
        said.append(message)
    return said


@pytest.mark.parametrize("ack", [6, 7, HUGE, 2**64 - 1])
def test_an_acknowledgement_of_what_was_never_sent_is_ignored(ack: int) -> None:
    out = outgoing(*[1] * 5, horizon=1)
    sent(out)
    out.offer(Entry(1, b"5."))
    assert not out.acknowledge(ack)
    assert (out.base, out.backlog) == (1, 6)


def test_an_acknowledgement_that_was_lost_with_the_connection_counts_after_the_rewind() -> None:
    out = Outgoing(CAP)
    out.set_horizon(1)
    for _ in range(3):
        out.offer(Entry(1, b"x"))
    out.next_entries()
    out.rewind()
    assert out.acknowledge(2), "it was sent once, though not on this connection"
    assert (out.backlog, out.next_entries()) == (1, (3, [b"x"]))
    assert not out.acknowledge(4)


def test_in_flight_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing_module, "IN_FLIGHT_BYTES", 35)
    out = outgoing(*[1] * 10, horizon=1)
    assert sent(out) == [0, 1, 2]
    assert sent(out) == []
    out.acknowledge(2)
    assert sent(out) == [3, 4]
    out.rewind()
    assert sent(out) == [2, 3, 4]
    alone = outgoing(1, 1, horizon=1, size=100)
    assert sent(alone) == [0], "an entry beyond the bound travels alone"
    alone.acknowledge(1)
    assert sent(alone) == [1]


def test_a_message_carries_a_bounded_number_of_entries() -> None:
    out = outgoing(*[1] * 200, horizon=1)
    counts = []
    while entries := out.next_entries()[1]:
        counts.append(len(entries))
    assert counts == [64, 64, 64, 8]
    assert max(counts) == ENTRIES_PER_MESSAGE


def take(link: Link, message: list[bytes]) -> list[bytes]:
    """Receive and process one message."""
    head = Header.decode(message[0])
    entries = message[1:] if head.kind == DATA else []
    new = entries[link.receive(head, len(entries))]
    link.incoming.done(len(new))
    return new


@pytest.mark.parametrize("epochs", [[1] * 500, range(1, 200)], ids=["queued", "waiting"])
def test_a_dead_peer_costs_its_cap_and_is_told_of_its_loss(epochs: Sequence[int]) -> None:
    link = Link(7, 1000)
    link.outgoing.set_horizon(int(len(set(epochs)) == 1))
    for number, epoch in enumerate(epochs):
        link.outgoing.offer(Entry(epoch, b"%09d" % number))
        assert link.outgoing.held_bytes <= 1000
    assert link.outgoing.dropped + link.outgoing.backlog == len(epochs)
    assert link.outgoing.base == link.outgoing.dropped + 1
    peer = Link(5, 1000)
    peer.receive(Header(HELLO, 7, 1, 1, 0, 0, 1, 0), 0)
    link.connection_opened()
    link.receive(header(horizon=500), 0)
    got = [entry for message in drain(link) for entry in take(peer, message)]
    assert peer.incoming.lost == link.outgoing.dropped > 0
    assert [int(entry) for entry in got] == list(range(link.outgoing.dropped, len(epochs)))


def test_dropping_while_in_flight_keeps_numbers_and_bytes_right() -> None:
    out = outgoing(*[1] * 8, horizon=1, cap=100)
    assert sent(out) == list(range(8))
    for i in range(8, 12):
        out.offer(Entry(1, b"%d" % i + b"." * (10 - len(b"%d" % i))))
    assert out.dropped == 6
    assert out.base == 7
    assert out.held_bytes == 60
    assert sent(out) == [8, 9, 10, 11]
    assert out.acknowledge(12)
    assert (out.held_bytes, out.backlog) == (60, 0)
    out.set_durable(1)
    assert (out.held_bytes, out.backlog) == (0, 0)


# -- retention and restarts ----------------------------------------------------------------------------------


def test_what_is_retained_counts_toward_the_cap_and_goes_first_by_whole_epochs() -> None:
    """A part of an epoch is of no use to a peer that has lost the rest."""
    out = outgoing(*[1] * 3, *[2] * 4, *[3] * 2, horizon=3, cap=100)
    sent(out)
    out.acknowledge(9)
    assert (out.held_bytes, out.backlog, out.dropped) == (90, 0, 0)
    for i in range(9, 11):
        out.offer(Entry(3, b"%d" % i + b"." * (10 - len(b"%d" % i))))
    assert (out.held_bytes, out.backlog, out.dropped) == (40, 2, 7)
    out.peer_restarted(3)
    assert sent(out) == [7, 8, 9, 10], "nothing that is still owed was dropped"
    assert out.held_bytes == 40


def test_a_link_sends_everything_again_when_the_session_changes() -> None:
    link = greeted()
    for epoch in (1, 2, 3):
        link.outgoing.offer(Entry(epoch, b"%d" % epoch))
    assert [Header.decode(message[0]).kind for message in drain(link)] == [HELLO], "no entry before its greeting"
    link.receive(header(horizon=3), 0)
    assert drain(link)[0][1:] == [b"1", b"2", b"3"]
    link.receive(header(ack=3, horizon=3, durable=1), 0)
    assert (link.outgoing.backlog, link.peer_durable) == (0, 1)
    link.receive(header(session=6, ack=3, horizon=2, durable=1), 0)
    message = drain(link)[0]
    assert message[1:] == [b"2"]
    head = Header.decode(message[0])
    assert (head.ack_session, head.first, head.base) == (6, 5, 5)
    assert link.outgoing.backlog == 2


# -- lying peers ---------------------------------------------------------------------------------------------

LIES = st.sampled_from([1, 2, 3, 64, 65, 1000, 2**32, 2**53, HUGE - 1, HUGE])


@settings(max_examples=200)
@given(st.lists(st.tuples(LIES, LIES, LIES, LIES, st.sampled_from([5, 6]), st.integers(0, 100), LIES), max_size=12))
def test_no_header_breaks_a_link_or_takes_long(lies: list[tuple[int, int, int, int, int, int, int]]) -> None:
    link = greeted()
    for _ in range(50):
        link.outgoing.offer(Entry(3, b"entry"))
    for first, base, ack, horizon, session, count, durable in lies:
        with no_more_lines_than(3000):
            new = link.receive(header(first, base, ack, 7, horizon, session, durable), count)
            taken = len(range(*new.indices(count)))
            link.incoming.done(taken)
            messages = drain(link)
        assert taken <= count
        assert all(len(message[0]) == HEADER_BYTES for message in messages)
    assert link.outgoing.base <= 1 + 51 * (1 + len(lies)), "each restart gives every entry a new number, and skips one"
    assert link.outgoing.backlog <= 50


@pytest.mark.parametrize(("first", "base"), [(1, 0), (0, 1), (0, 0), (2**64 - 1, 2**64 - 1), (1, 2**64 - 1)])
def test_sequence_numbers_that_would_leave_64_bits_never_get_in(first: int, base: int) -> None:
    """These once made the victim's own next header unpackable, and so stopped the node."""
    with pytest.raises(WireError):
        header(first, base)


def test_acknowledgements_for_another_incarnation_are_ignored() -> None:
    link = greeted()
    link.receive(header(horizon=5), 0)
    for _ in range(3):
        link.outgoing.offer(Entry(1, b"entry"))
    drain(link)
    link.receive(header(ack=3, ack_session=8), 0)
    assert link.outgoing.backlog == 3
    link.receive(header(ack=3, ack_session=7), 0)
    assert link.outgoing.backlog == 0


class Counting(deque[Entry]):
    """Counts what is passed on the way to an entry."""

    passed = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry in super().__iter__():
            self.passed += 1
            yield entry


def test_a_peer_that_never_acknowledges_and_flaps_costs_little_time() -> None:
    """Finding the next entry was linear in what is in flight: seconds per reconnect at 64 MiB of small entries."""
    link = Link(7, 64 << 20)
    link.receive(header(horizon=HUGE), 0)
    entry = Entry(1, b"." * 20)
    for _ in range(200_000):
        link.outgoing.offer(entry)
    queue = link.outgoing._queue = Counting(link.outgoing._queue)
    for _ in range(5):
        link.connection_opened()
        total = sum(len(message) - 1 for message in drain(link)[1:])
        assert total == ENTRIES_IN_FLIGHT
    messages = ENTRIES_IN_FLIGHT // ENTRIES_PER_MESSAGE
    assert 0 < queue.passed <= 5 * (messages + 1) * ENTRIES_IN_FLIGHT


# -- receiving -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [(4, 3, [4, 5, 6]), (1, 3, []), (2, 4, [4, 5]), (5, 3, []), (4, 0, []), (9, 1, []), (3, 1, [])],
)
def test_what_is_new_and_in_sequence(first: int, count: int, expected: list[int]) -> None:
    link = greeted()
    link.receive(header(), 3)
    link.incoming.done(3)
    new = link.receive(header(first=first), count)
    assert list(range(first, first + count))[new] == expected


def test_the_first_message_on_a_connection_is_a_greeting() -> None:
    link = greeted()
    greeting = Header(HELLO, 7, 1, 1, 0, 0, 9, 3).encode()
    assert link.next_message(9, 3, hello, announce=False) == [greeting, b"hello"]
    assert link.next_message(9, 3, hello, announce=True) is None
    link.outgoing.offer(Entry(1, b"entry"))
    assert not link.owes_announcement(9, 3)
    assert link.owes_announcement(10, 3)
    assert link.owes_announcement(9, 4)
    assert link.next_message(10, 4, hello, announce=True) is None, "the peer's incarnation is not known yet"
    link.receive(Header(HELLO, 5, 1, 1, 0, 0, 0, 0), 0)
    assert link.next_message(10, 4, hello, announce=False) is None, "nothing is within its horizon"
    assert link.next_message(10, 4, hello, announce=True) == [Header(DATA, 7, 1, 1, 5, 0, 10, 4).encode()]
    link.connection_opened()
    assert link.owes_announcement(10, 4), "what was announced on the old connection may be lost"


def test_room_is_made_of_what_the_peer_cannot_use_and_of_nothing_else() -> None:
    out = outgoing(1, 1, 2, 5, 5, 6, horizon=2, cap=100)
    assert out.make_room(20) and out.dropped == 0, "it fits"
    assert not out.make_room(21) and out.dropped == 0, "half of the cap is not for blocks"
    out = outgoing(1, 1, 2, 5, 5, 5, 5, 6, 6, horizon=2, cap=100)
    assert out.make_room(20) and (out.dropped, out.held_bytes) == (4, 50), "all that waited in epoch 5 made way"
    assert sent(out) == [0, 1, 2]
    out = outgoing(1, 1, 5, 5, *[6] * 5, horizon=1, cap=100)
    assert sent(out) == [0, 1]
    assert out.acknowledge(2)
    assert out.make_room(50) and (out.dropped, out.held_bytes) == (4, 50), "acknowledged ones go first"
    out.set_horizon(6)
    assert not out.make_room(1), "entries that came into the window are of use"
    out.peer_restarted(0)
    assert out.make_room(50) and (out.dropped, out.held_bytes) == (4, 50), "of none to an incarnation far behind"


def test_what_the_peer_can_use_stays_if_the_rest_is_enough_to_drop() -> None:
    """Its window and blocks together are more than half of the cap, and others' epochs are beyond the window."""
    out = outgoing(*[1] * 7, 9, 9, 9, horizon=1, cap=100)
    assert (out.dropped, out.held_bytes) == (0, 100)
    out.offer(Entry(1, b"10........"))
    assert (out.dropped, out.backlog) == (3, 8)
    assert sent(out)[:7] == list(range(7))
