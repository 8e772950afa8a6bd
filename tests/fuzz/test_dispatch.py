"""One node whose peers are silent but for node 3, which sends anything: no error, no growth, no false blame."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from forger import BLOCK_TALK, recorded_entries
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_nodes import CODEC, HELLO, PARAMETERS, Clock, MemoryNode, assert_bounded, stopped_time
from mutations import EDGES, hostile_entry, hostile_header

from honeybadger.ledger.block import Header as BlockHeader
from honeybadger.network.codec import DATA, Header, Hello
from honeybadger.network.codec import HELLO as GREETING
from honeybadger.network.links import ENTRIES_PER_MESSAGE
from honeybadger.node.block_messages import (
    BlockCertificate,
    BlockRequest,
    BlockShare,
    BodyPart,
    CertificateRequest,
    CertifiedHeader,
)
from honeybadger.node.certifier import WINDOW
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.binary_agreement import COIN_WINDOW
from honeybadger.protocols.messages import BVal, CoinShare, Message, Ready

#: whoever says this has heard node 0 just now
GOOD = CODEC.encode_hello(msgspec.structs.replace(HELLO, heard=(1000, 2**40)))


class Lonely:
    """Node 0, greeted by nodes 1, 2 and 3; what it sends goes nowhere."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent = 0
        self.node = MemoryNode(0, 1, self._count, clock)
        for peer in (1, 2, 3):
            self.arrives(peer, Header(GREETING, 5, 1, 1, 1000, 0, 9, 0).encode(), GOOD)
        self.node.step()

    def arrives(self, sender: int, *parts: bytes) -> None:
        self.node.transport.arrives(sender, parts)

    def says(self, *entries: bytes, durable: int = 0) -> None:
        """Node 3 sends entries that are in sequence."""
        processed = self.node.peers.links[3].incoming.processed
        self.arrives(3, Header(DATA, 5, processed + 1, 1, self.node.session, 0, 9, durable).encode(), *entries)
        self.clock.now += 0.01
        self.node.step()

    def check(self) -> None:
        assert {accused for accused, _ in self.node.faults} <= {3}
        assert set(self.node.refused) <= {3}
        assert_bounded(self.node)

    def _count(self, to: int, parts: list[bytes]) -> None:
        self.sent += 1


@pytest.fixture
def lonely() -> Iterator[Lonely]:
    with stopped_time() as clock:
        made = Lonely(clock)
        yield made
        made.check()
        made.node.close()


@pytest.fixture(scope="module")
def corpus() -> list[bytes]:
    with stopped_time() as clock:
        return [*BLOCK_TALK, *recorded_entries(2, clock)]


@pytest.mark.parametrize("parts", [1, 2, 64, 65, 66, 5000])
def test_any_number_of_parts(lonely: Lonely, parts: int) -> None:
    """65 is a full message; more is refused as a whole, before a part is looked at."""
    entry = CODEC.encode([CertificateRequest(0, 1)])
    for kind in (DATA, GREETING):
        lonely.arrives(3, Header(kind, 5, 1, 1, lonely.node.session, 0, 9, 0).encode(), *[entry] * (parts - 1))
    lonely.node.step()
    taken = lonely.node.peers.links[3].incoming.processed
    assert taken == (parts - 1 if parts <= 1 + ENTRIES_PER_MESSAGE else 0)
    assert lonely.node.faults[3, FaultKind.BAD_FRAME] == (1 if parts <= 1 + ENTRIES_PER_MESSAGE else 2)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.binary(max_size=80), min_size=1, max_size=4), max_size=20))
def test_frames_of_any_bytes(messages: list[list[bytes]]) -> None:
    with stopped_time() as clock:
        lonely = Lonely(clock)
        for parts in messages:
            lonely.arrives(3, *parts)
        lonely.node.step()
        lonely.check()
        assert sum(lonely.node.faults.values()) == len(messages)
        lonely.node.close()


@pytest.mark.parametrize("between", ["nothing", "a refused greeting", "data", "it does not listen"])
def test_greeting_storms_do_not_fill_the_queue_to_the_peer(lonely: Lonely, between: str) -> None:
    """Each new session is owed everything again; what the one before it did not read must be gone by then."""
    node = lonely.node
    for epoch in range(1, 4):
        for _ in range(100):
            node.peers.broadcast(CertificateRequest(epoch, 1))
            node.peers.flush(9, 0)
    held, owed = node.peers.links[3].outgoing.held_bytes, 0
    for session in range(100, 150):
        if between == "a refused greeting":
            other = CODEC.encode_hello(Hello(bytes(32), {}))
            lonely.arrives(3, Header(GREETING, 7, 1, 1, 0, 0, 9, 0).encode(), other)
        lonely.arrives(3, Header(GREETING, session, 1, 1, 1000, 0, 9, 0).encode(), GOOD)
        if between == "it does not listen":
            lonely.arrives(3, Header(GREETING, 5, 1, 1, session % 2, 0, 9, 0).encode(), GOOD)
            lonely.arrives(3, Header(GREETING, 5, 1, 1, 1000, 0, 9, 0).encode(), GOOD)
        if between == "data":
            lonely.arrives(3, Header(DATA, session, 1, 1, node.session, 0, 9, 0).encode())
        if not owed:
            node.transport.unread.clear()
        node.step()
        owed = owed or node.transport.unread[3]
    assert node.peers.links[3].outgoing.held_bytes >= held > 0, "the test is about what is owed"
    assert 0 < node.transport.unread[3] < 3 * owed


numbers = st.sampled_from([n for n in EDGES if n <= 2**53]) | st.integers(0, 30)
heights = st.sampled_from([1, 2, 64, 65, 128, 2**31, 2**32 - 1]) | st.integers(1, 140)
digests = st.sampled_from([bytes(32), b"\xff" * 32])
points = st.sampled_from([bytes(48), b"\xc0" + bytes(47), b"\xff" * 48])
headers = st.builds(
    BlockHeader,
    st.just(1),
    st.sampled_from([HELLO.chain_id, bytes(32)]),
    heights,
    st.sampled_from([0, 1, 2**63 - 1]),
    digests,
    digests,
    st.sampled_from([0, 1, 2**62, 2**63 - 1]),
    st.sampled_from([0, 1, 2**62, 2**63 - 1]),
    st.sampled_from([(), (0, 1, 2), (3, 2**63 - 1)]),
).map(BlockHeader.encode)
talk: st.SearchStrategy[Message] = st.one_of(
    st.builds(BlockShare, numbers, heights, digests, points),
    st.builds(BlockRequest, numbers, heights, st.integers(1, 4)),
    st.builds(CertifiedHeader, numbers, headers | st.binary(max_size=99), points, numbers.filter(lambda n: n <= 2**40)),
    st.builds(BodyPart, numbers, heights, numbers.filter(lambda n: n <= 2**40), st.binary(min_size=1, max_size=9)),
    st.builds(CertificateRequest, numbers, heights),
    st.builds(BlockCertificate, numbers, heights, points),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.lists(talk, max_size=6), st.sampled_from([0, 1, 9, 2**61, 2**62 - 1, 2**62, 2**63])), max_size=12
    )
)
def test_talk_about_blocks(conversation: list[tuple[list[Message], int]]) -> None:
    """With a durable epoch that nobody can have, so that the node asks node 3 for blocks and gets such answers."""
    with stopped_time() as clock:
        lonely = Lonely(clock)
        for messages, durable in conversation:
            lonely.says(CODEC.encode(messages), durable=durable)
            clock.now += 2
        lonely.check()
        assert lonely.node.chain.height == 0
        lonely.node.close()


def test_every_number_is_bounded(lonely: Lonely) -> None:
    """Not only the numbers that a real run shows: all heights, epochs and rounds one after the other."""
    for start in range(0, 3000, 100):
        some = range(start, start + 100)
        lonely.says(
            CODEC.encode([BlockShare(1, 1 + n, bytes(32), bytes(48)) for n in some]),
            CODEC.encode([BVal(1, n % 4, n // 4, True) for n in some]),
            CODEC.encode([CoinShare(1, n % 4, n // 4, bytes(48)) for n in some]),
            CODEC.encode([Ready(n, 0, bytes(32)) for n in some]),
            CODEC.encode([Ready(1, n % 4, n.to_bytes(32, "big")) for n in some]),
        )
    stored = lonely.node.stored()
    window = PARAMETERS.epoch_window + 1
    assert stored["certificate shares"] <= WINDOW
    assert stored["rounds"] <= 4 * window
    assert stored["votes ahead"] <= 4 * 4 * (3 * COIN_WINDOW + 1)
    assert stored["shares ahead"] <= 4 * COIN_WINDOW
    assert stored["epochs"] <= window
    assert stored["roots"] <= 4 + window


def test_memory_is_flat(lonely: Lonely, corpus: list[bytes], seed: int) -> None:
    """Once everything that may be stored is stored, three times as many inputs do not add to it."""
    rng = random.Random(seed)

    def feed(count: int) -> int:
        for _ in range(count):
            link = lonely.node.peers.links[3]
            session = link.incoming.session
            good = Header(DATA, session, min(2**63, link.incoming.processed + 1), 1, lonely.node.session, 0, 9, 0)
            if rng.random() < 0.2:
                session = rng.randrange(1, 2**63)
                lonely.arrives(3, Header(GREETING, session, 1, 1, 1000, 0, 9, 0).encode(), GOOD)
            elif rng.random() < 0.2:
                lonely.arrives(3, hostile_header(good, rng), hostile_entry(corpus, rng))
            else:
                lonely.arrives(3, good.encode(), *[hostile_entry(corpus, rng) for _ in range(4)])
            lonely.clock.now += 0.01
            if rng.random() < 0.2:
                lonely.node.step()
        lonely.node.step()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        full = feed(2000)
        stored = lonely.node.stored()
        later = feed(6000)
    finally:
        tracemalloc.stop()
    # Rounds and coin shares of the open epochs still fill up a little; 6000 messages of four entries do not stay.
    assert later - full < 1_500_000, (later - full, stored, lonely.node.stored())
