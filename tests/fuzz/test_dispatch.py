"""One node whose peers are silent but for node 3, which sends anything: no error, no growth, no false blame."""

import random
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import Clock
from support.fuzz.forger import real_entries
from support.fuzz.memory_nodes import CODEC, HELLO, MemoryNode
from support.fuzz.mutations import hostile_entry, hostile_header

from honeybadger.network.codec import DATA, Header, Hello
from honeybadger.network.codec import HELLO as GREETING
from honeybadger.network.outgoing import ENTRIES_PER_MESSAGE
from honeybadger.node.block_messages import CertificateRequest
from honeybadger.protocols.faults import FaultKind

#: whoever says this has heard node 0 just now
GOOD = CODEC.encode_hello(msgspec.structs.replace(HELLO, heard=(1000, 2**40)))


class Lonely:
    """Node 0, greeted by nodes 1, 2 and 3; what it sends goes nowhere."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.node = MemoryNode(0, 1, lambda to, parts: None, clock)
        for peer in (1, 2, 3):
            self.arrives(peer, Header(GREETING, 5, 1, 1, 1000, 0, 9, 0).encode(), GOOD)
        self.node.step()

    def arrives(self, sender: int, *parts: bytes) -> None:
        self.node.transport.arrives(sender, *parts)

    def check(self) -> None:
        assert {accused for accused, _ in self.node.faults} <= {3}
        assert {peer for peer, _ in self.node.told.refusals} <= {3}
        self.node.check_bounds()


@pytest.fixture
def lonely() -> Iterator[Lonely]:
    clock = Clock()
    made = Lonely(clock)
    yield made
    made.check()
    made.node.close()


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


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.binary(max_size=80), min_size=1, max_size=4), max_size=20))
def test_frames_of_any_bytes(messages: list[list[bytes]]) -> None:
    clock = Clock()
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


def test_memory_is_flat(lonely: Lonely, seed: int) -> None:
    """Once everything that may be stored is stored, three times as many inputs do not add to it."""
    rng, corpus = random.Random(seed), real_entries(2)

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
        full = feed(1000)
        stored = lonely.node.stored()
        later = feed(3000)
    finally:
        tracemalloc.stop()
    # Rounds and coin shares of the open epochs still fill up a little; 3000 messages of four entries do not stay.
    assert later - full < 300_000, (later - full, stored, lonely.node.stored())
