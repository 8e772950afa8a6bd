"""Catching up: what honest peers serve is adopted in order, what others serve is not and costs them our trust."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.clock import CLOCK
from support.ledger import CHAIN_ID, chain_of_blocks
from support.peers import Said

from crypto.dealer import deal
from honeybadger.ledger.block import Block, build_block
from honeybadger.ledger.certificates import block_statement, certificate_of, signed_certificate, verify_certificate
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec
from honeybadger.network.outgoing import Entry, Outgoing
from honeybadger.node import block_server
from honeybadger.node import catch_up as catch_up_module
from honeybadger.node.block_messages import BLOCK_MESSAGES, BLOCKS_PER_REQUEST, BlockRequest, BodyPart, CertifiedHeader
from honeybadger.node.block_server import BlockServer
from honeybadger.node.catch_up import DISTRUST_S, FAR_BEHIND, SILENCE_S, STALLED_S, CatchUp
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.wire import Message

PUBLIC, SECRET = deal(4, 1, random.Random(6).randbytes)
PART = 64


def sign(block: Block, purpose: str = "certificate") -> bytes:
    """f+1 nodes sign a block's statement with one of their keys."""
    statement = block_statement(block.header.hash)
    shares = {i: getattr(SECRET[i], purpose).sign_share(statement) for i in (1, 2)}
    signature, bad = getattr(PUBLIC, purpose).combine(statement, shares)
    assert signature is not None
    assert not bad
    return signed_certificate(signature)


def chain_of(length: int, chain_id: bytes = CHAIN_ID, tag: bytes = b"") -> list[Block]:
    """Blocks of two parts and a bit; epochs are heights."""
    contents = [[b"%d-%d" % (height, i) + tag + bytes(40) for i in range(3)] for height in range(1, length + 1)]
    return chain_of_blocks(contents, chain_id)


BLOCKS = chain_of(16)
_HEADER = BLOCKS[2].header.encode()
#: one element more than a header has, nested deeply
DEEP_HEADER = bytes([_HEADER[0] + 1]) + _HEADER[1:] + b"\x91" * 5000 + b"\x90"
CERTIFICATES = {block.header.height: sign(block) for block in BLOCKS}


@pytest.fixture
def clock(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """And bodies travel in small parts."""
    for module in (catch_up_module, block_server):
        monkeypatch.setattr(module, "PART_BYTES", PART)
    return clock


class Bench(Said):
    """A node with its store, of which the first `blocks` of BLOCKS are there; the peers are at `peer_epochs`."""

    def __init__(
        self, me: int, blocks: int, peer_epochs: int, uncertified: frozenset[int] = frozenset(), cap: int = 1 << 20
    ) -> None:
        super().__init__()
        self.store = SQLiteStore(catch_up_module.__file__, "memory", chain_id=CHAIN_ID)  # type: ignore[arg-type]
        self.store.append(BLOCKS[:blocks], {h: c for h, c in CERTIFICATES.items() if h not in uncertified})
        self.chain = Chain(self.store, CHAIN_ID)
        self.peer_epochs = dict.fromkeys([peer for peer in range(4) if peer != me], peer_epochs)
        self.may_fetch = True
        #: heights that somebody wanted and that have no certificate here
        self.wanted: list[int] = []
        self.links = {peer: Outgoing(cap) for peer in range(4)}
        self.adopt, self.may_go_on = self.chain.adopt, lambda: self.may_fetch
        self.peer_epoch = self.peer_epochs.__getitem__
        manifest: Any = SimpleNamespace(quorums=Quorums(4, 1), chain_id=CHAIN_ID, public_keys=PUBLIC)
        self.catch_up = CatchUp(manifest, self, self.chain, self, sorted(self.peer_epochs), CLOCK)
        self.server = BlockServer(
            self.store,
            self,
            lambda header: self.wanted.append(header.height),
            lambda peer, size: self.links[peer].make_room(size),
            CLOCK,
        )

    def poll(self) -> list[tuple[Any, BlockRequest]]:
        """The requests that this makes."""
        self.catch_up.poll(self.chain.height + 1)
        return [(peer, message) for peer, message in self.said() if isinstance(message, BlockRequest)]

    def take(self, sender: int, *messages: Message) -> None:
        for message in messages:
            if isinstance(message, CertifiedHeader):
                self.catch_up.handle_header(sender, message)
            else:
                assert isinstance(message, BodyPart)
                self.catch_up.handle_part(sender, message)

    def serve(self, first: int, count: int, asker: int = 0) -> list[Message]:
        self.server.serve(asker, BlockRequest(0, first, count))
        return [message for _, message in self.said()]


def answer(block: Block, certificate: bytes | None = None, body: bytes | None = None) -> list[Message]:
    """What an honest peer sends for a block, or a variation of it."""
    body = block.body if body is None else body
    certificate = CERTIFICATES[block.header.height] if certificate is None else certificate
    parts = [BodyPart(0, block.header.height, at, body[at : at + PART]) for at in range(0, len(body), PART)]
    return [CertifiedHeader(0, block.header.encode(), certificate, len(body)), *parts]


def test_a_node_behind_fetches_from_several_peers_and_adopts_in_order(clock: Any) -> None:
    bench, server = Bench(0, 2, 16), Bench(1, 16, 0)
    asked_of = set()
    for _ in range(10):
        asked = bench.poll()
        taken = list(bench.chain._pending)
        asked_of |= {peer for peer, _ in asked}
        heights = [h for _, request in asked for h in range(request.first, request.first + request.count)]
        assert len(set(heights)) == len(heights), "no block is asked for twice"
        for peer, request in reversed(asked):
            assert list(bench.chain._pending) == taken, "later ranges wait for the first one"
            bench.take(peer, *server.serve(request.first, request.count))
        clock.now += STALLED_S + 0.1
        if bench.chain.height == 16:
            break
    assert asked_of == {1, 2, 3}
    assert (bench.chain.height, bench.chain.tip_hash) == (16, BLOCKS[-1].header.hash)
    bench.chain.flush()
    assert [bench.store.certificate(h) for h in range(1, 17)] == [CERTIFICATES[h] for h in range(1, 17)]
    assert bench.faults == []


def test_blocks_are_asked_for_when_far_behind_or_stalled_only(clock: Any) -> None:
    bench = Bench(0, 2, 2)
    clock.now += 10 * STALLED_S
    assert bench.poll() == [], "nobody is ahead"
    bench = Bench(0, 2, 4)
    assert bench.poll() == [], "two epochs behind: the messages will come"
    clock.now += STALLED_S / 2
    assert bench.poll() == []
    clock.now += STALLED_S
    assert [(request.first, request.count) for _, request in bench.poll()] == [(3, 2)], "what they have, and no more"
    bench = Bench(0, 2, 2)
    bench.poll()
    bench.peer_epochs[2] = 3 + FAR_BEHIND
    assert bench.poll() == [], "one peer may lie about its epoch"
    bench.peer_epochs[3] = 3 + FAR_BEHIND
    bench.may_fetch = False
    assert bench.poll() == [], "the own disk lags behind"
    bench.may_fetch = True
    assert [peer for peer, _ in bench.poll()] == [2, 3]


OTHER_CHAIN = chain_of(3, bytes(32))[2]
FORK = chain_of(3, tag=b"fork")[2]
LONG = BLOCKS[2].body + bytes(100)
LIES: dict[str, Callable[[], list[Message]]] = {
    "attested by f nodes": lambda: answer(
        FORK, signed_certificate(SECRET[1].certificate.sign_share(block_statement(FORK.header.hash)))
    ),
    "forged certificate": lambda: answer(BLOCKS[2], signed_certificate(bytes(48))),
    "coin signature": lambda: answer(BLOCKS[2], sign(BLOCKS[2], "coin")),
    "certificate of another height": lambda: answer(BLOCKS[2], CERTIFICATES[4]),
    "certificate of another block": lambda: answer(FORK, CERTIFICATES[3]),
    "other chain": lambda: answer(OTHER_CHAIN, sign(OTHER_CHAIN)),
    "other epoch": lambda: answer(
        build_block(CHAIN_ID, BLOCKS[1].header.hash, 3, 9, (0, 1, 2), BLOCKS[2].transactions()), CERTIFICATES[3]
    ),
    "garbage header": lambda: [CertifiedHeader(0, b"\xff", CERTIFICATES[3], 10)],
    "header that nests deeply": lambda: [CertifiedHeader(0, DEEP_HEADER, CERTIFICATES[3], 10)],
    "wrong body": lambda: answer(BLOCKS[2], body=FORK.body[: len(BLOCKS[2].body)]),
    "no body": lambda: answer(BLOCKS[2], body=b""),
    "too long body announced": lambda: answer(BLOCKS[2], body=LONG),
    "too long part": lambda: [answer(BLOCKS[2])[0], BodyPart(0, 3, 0, LONG)],
    "dripping": lambda: [answer(BLOCKS[2])[0], BodyPart(0, 3, 0, BLOCKS[2].body[:1])],
}


@pytest.mark.parametrize("name", LIES)
def test_what_does_not_verify_is_not_adopted_and_its_sender_not_asked_for_a_while(name: str, clock: Any) -> None:
    bench = Bench(0, 2, 16)
    first, request = bench.poll()[0]
    assert request.first == 3
    bench.take(first, *LIES[name]())
    assert (bench.chain.height, bench.chain.tip_hash) == (2, BLOCKS[1].header.hash)
    assert bench.faults == [(first, FaultKind.BAD_CERTIFICATE)]
    bench.take(first, *answer(BLOCKS[2]))
    assert bench.chain.height == 2, "its requests went with our trust"
    while clock.now < 1000 + DISTRUST_S - 1:
        clock.now += SILENCE_S + 0.5
        if clock.now < 1000 + DISTRUST_S:
            assert first not in [peer for peer, _ in bench.poll()]
    helper = next(peer for peer, request in bench.catch_up._requests.items() if 3 in request.wanted)
    bench.take(helper, *answer(BLOCKS[2]))
    assert bench.chain.height == 3, "one honest peer is enough"
    clock.now = 1000 + DISTRUST_S + SILENCE_S + 1
    bench.poll()
    clock.now += SILENCE_S + 1
    asked = [*bench.poll(), *bench.poll()]
    assert first in [peer for peer, _ in asked], "later it gets another chance"


def test_what_was_not_asked_for_is_ignored(clock: Any) -> None:
    """It may be a late answer, so it is no fault."""
    bench = Bench(0, 2, 16)
    bench.take(1, *answer(BLOCKS[2]))
    asked = bench.poll()
    (first, _), (second, _) = asked[:2]
    bench.take(second, *answer(BLOCKS[2]))
    bench.take(first, *answer(BLOCKS[15]))
    bench.take(first, *answer(BLOCKS[2])[1:])
    assert (bench.chain.height, bench.faults, bench.catch_up._ready) == (2, [], {})
    header, *parts = answer(BLOCKS[2])
    bench.take(first, header, header, *parts[:1])
    bench.take(second, *parts[1:])
    bench.take(first, parts[0], *parts[2:])
    assert bench.chain.height == 2, "a part out of place may belong to an earlier answer"
    bench.take(first, *parts[1:])
    assert (bench.chain.height, bench.faults) == (3, [])


def test_serving_stops_at_the_first_block_without_certificate(clock: Any) -> None:
    server = Bench(1, 8, 0, frozenset(range(3, 8)))
    expected = [message for block in BLOCKS[:2] for message in answer(block)]
    assert server.serve(1, BLOCKS_PER_REQUEST) == expected
    assert server.serve(3, 1) == []
    assert server.serve(9, 4) == server.serve(2**32 - 1, 4) == []
    assert server.serve(8, 4) == answer(BLOCKS[7])
    assert server.wanted == [3, 3], "made known, that it may be certified"


def test_blocks_below_a_certified_one_are_served_and_adopted_with_its_certificate(clock: Any) -> None:
    server, asker = Bench(1, 8, 0, frozenset(range(9)) - {4, 8}), Bench(0, 0, 8)
    for peer, request in asker.poll():
        assert isinstance(request, BlockRequest)
        asker.take(peer, *server.serve(request.first, request.count))
    assert (asker.chain.height, asker.faults) == (8, [])
    asker.chain.flush()
    for block in BLOCKS[:8]:
        height = block.header.height
        certificate = asker.store.certificate(height)
        assert certificate is not None and verify_certificate(PUBLIC.certificate, block.header.hash, certificate)
        assert certificate == certificate_of(server.store, height)
    assert asker.chain.certified_epoch == 8


def test_a_certificate_that_leads_elsewhere_is_refused(clock: Any) -> None:
    server, asker = Bench(1, 4, 0, frozenset({1, 2, 3})), Bench(0, 0, 8)
    ((peer, _), *_) = asker.poll()
    header, *parts = server.serve(1, 1)
    other = certificate_of(server.store, 2)
    assert isinstance(header, CertifiedHeader) and other is not None
    asker.take(peer, msgspec.structs.replace(header, certificate=other), *parts)
    assert asker.chain.height == 0 and set(asker.faults) == {(peer, FaultKind.BAD_CERTIFICATE)}


@pytest.mark.parametrize(
    ("limit", "most"), [("SERVED_BYTES_PER_S", 5 * len(BLOCKS[0].body)), ("SERVED_BLOCKS_PER_S", 5)]
)
def test_serving_is_bounded_per_peer_and_second(
    limit: str, most: int, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_server, limit, most)
    server = Bench(1, 16, 0)

    def headers(asker: int) -> int:
        return sum(isinstance(message, CertifiedHeader) for _ in range(5) for message in server.serve(1, 4, asker))

    assert 0 < headers(2) <= 6
    assert headers(2) == 0
    assert headers(3) > 0, "each peer has its own allowance"
    clock.now += 1.1
    assert 0 < headers(2) <= 6


class Flushed(Bench):
    """Serves peer 2 through its link, as `Peers` does: encoded, and at the end of a tick."""

    CODEC = Codec(BLOCK_MESSAGES, 1 << 20)

    def tick(self, *requests: tuple[int, int]) -> list[Message]:
        """Answer the requests; what the link has to send then."""
        link = self.links[2]
        for first, count in requests:
            self.server.serve(2, BlockRequest(0, first, count))
        for data, _ in self.CODEC.entries(message for _, message in self.said()):
            link.offer(Entry(0, data))
        self.server.sent()
        leaving: list[Message] = []
        while entries := link.next_entries()[1]:
            for entry in entries:
                leaving += self.CODEC.decode(memoryview(entry))
        return leaving


def whole(*heights: int) -> list[Message]:
    return [message for height in heights for message in answer(BLOCKS[height - 1])]


#: half of it holds two of the blocks above, by the reckoning of `serve`, and not three
CAP = 10_000


def test_no_more_is_served_than_the_link_can_hold(clock: Any) -> None:
    for requests in ([(1, 4)], [(1, 1), (2, 1), (3, 1), (4, 1)]):
        server = Flushed(1, 16, 0, cap=CAP)
        assert server.tick(*requests) == whole(1, 2), "requests of one tick share the room"
    link = server.links[2]
    for height in range(3, 20):
        server.tick((height, 1))
        assert link.dropped == 0 and link.held_bytes <= CAP
    assert link.acknowledge(link.next_entries()[0] - 1)
    assert server.tick((3, 4)) == whole(3, 4), "there is room again when it has been read"
    assert Flushed(1, 16, 0, cap=500).tick((1, 4)) == [], "a block that it cannot hold is not begun"


def test_what_a_peer_cannot_use_makes_room_for_its_blocks(clock: Any) -> None:
    """Otherwise one whose link is full of later epochs could never be helped."""
    server = Flushed(1, 16, 0, cap=CAP)
    link = server.links[2]
    while link.held_bytes < CAP - 500:
        link.offer(Entry(99, bytes(300)))
    assert server.tick((1, 4)) == whole(1, 2)
    assert link.dropped > 0 and link.held_bytes <= CAP
