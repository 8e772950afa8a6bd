"""Block queries on the client port: bounded, only for what is durable, and harmless whoever asks or answers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.client import scripted
from support.client_port import ClientPort
from support.clock import CLOCK
from support.network import HOST, until

from honeybadger.client.blocks import BUSY_PAUSE_S, BlockSource
from honeybadger.client.connections import Connections
from honeybadger.ledger import Block, Chain, SQLiteStore
from honeybadger.ledger.block import MAX_BODY_BYTES
from honeybadger.ledger.fetch import SLOWEST, Garbage
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import (
    BLOCK_PART_BYTES,
    BUSY,
    LONGEST_BLOCK_REPLY,
    NO_SUCH_BLOCK,
    BlockPart,
    BlockQuery,
    Locate,
    Located,
    NoBlock,
    Reply,
    Status,
    StatusRequest,
)
from honeybadger.node.block_service import BYTES_PER_S, MOST_CLIENTS, BlockService

CHAIN_ID = bytes(range(32))
BIG = 1_200_000
NO_ANSWER = "no answer for 0.3 s"
MALFORMED = "it sends what no node sends"


def filled() -> tuple[SQLiteStore, Chain, list[Block]]:
    """Two durable blocks, the second big, the first certified, and a third that is not durable yet."""
    store = SQLiteStore(Path("unused"), "memory", chain_id=CHAIN_ID)
    chain = Chain(store, CHAIN_ID)
    chain.extend(1, [(0, [b"a"])])
    chain.extend(2, [(0, [b"x" * BIG])])
    chain.flush()
    store.append([], {1: b"c" * 48})
    chain.extend(3, [(0, [b"later"])])
    return store, chain, list(store.iter_blocks())


def part(service: BlockService, client: bytes, height: int, offset: int, ticket: int) -> BlockPart:
    reply = service.answer(client, BlockQuery(1, height, offset, ticket))
    assert isinstance(reply, BlockPart), reply
    return reply


def test_a_block_in_parts() -> None:
    store, chain, blocks = filled()
    service = BlockService(store, chain.committed)
    first = part(service, b"c", 1, 0, 0)
    assert (first.request, first.height, first.offset) == (1, 1, 0)
    assert (first.header, first.certificate) == (blocks[0].header.encode(), b"c" * 48)
    assert (first.body_bytes, first.part) == (len(blocks[0].body), blocks[0].body)
    body, ticket = b"", first.ticket
    while len(body) < len(blocks[1].body):
        reply = part(service, b"c", 2, len(body), ticket)
        assert (reply.certificate, reply.body_bytes) == (b"", len(blocks[1].body))
        assert 0 < len(reply.part) <= BLOCK_PART_BYTES
        body, ticket = body + reply.part, reply.ticket
    assert body == blocks[1].body
    assert part(service, b"c", 2, 2**40, ticket).part == b""


def test_blocks_that_are_not_durable_or_damaged_are_not_there() -> None:
    store, chain, _ = filled()
    service = BlockService(store, chain.committed)
    for height in (3, 4, 2**32 - 1):
        assert service.answer(b"c", BlockQuery(7, height, 0, 0)) == NoBlock(7, NO_SUCH_BLOCK)
    chain.flush()
    ticket = part(service, b"c", 3, 0, 0).ticket
    assert store._writer is not None
    store._writer.execute("UPDATE blocks SET header = x'00' WHERE height = 3")
    store._writer.execute("UPDATE blocks SET body_at = -1 WHERE height = 2")
    store._writer.execute("UPDATE blocks SET certificate = 'text' WHERE height = 1")
    for height in (3, 2):
        assert service.answer(b"c", BlockQuery(7, height, 0, ticket)) == NoBlock(7, NO_SUCH_BLOCK)
    assert part(service, b"c", 1, 0, ticket).certificate == b""


def test_a_client_that_does_not_read_gets_one_part(clock: Any) -> None:
    service = BlockService(filled()[0], lambda transactions: [0] * len(transactions), CLOCK)
    ticket = part(service, b"c", 2, 0, 0).ticket
    for wrong in (0, 1, ticket + 1, ticket - 1):
        assert service.answer(b"c", BlockQuery(1, 2, 0, wrong)) == NoBlock(1, BUSY)
    again = part(service, b"c", 2, 0, ticket)
    assert again.ticket != ticket
    assert service.answer(b"c", BlockQuery(1, 2, 0, ticket)) == NoBlock(1, BUSY)
    assert part(service, b"another", 2, 0, 0).part == again.part
    for number in range(2 * MOST_CLIENTS):
        clock.now += 1.1
        part(service, b"%d" % number, 1, 0, 0)
    assert len(service._tickets) == MOST_CLIENTS
    assert service.answer(b"%d" % number, BlockQuery(1, 1, 0, 0)) == NoBlock(1, BUSY)


@pytest.mark.parametrize(("height", "offset"), [(2, 0), (1, 0), (9, 0), (2, BIG)])
def test_all_clients_together_have_a_budget(clock: Any, height: int, offset: int) -> None:
    service = BlockService(filled()[0], lambda transactions: [0] * len(transactions), CLOCK)
    served = answered = 0
    for number in range(100_000):
        reply = service.answer(b"%d" % number, BlockQuery(1, height, offset, 0))
        if reply == NoBlock(1, BUSY):
            break
        answered += 1
        served += len(reply.part) if isinstance(reply, BlockPart) else 0
    assert 0 < answered <= 1024
    assert served <= BYTES_PER_S + BLOCK_PART_BYTES
    assert service.answer(b"one more", BlockQuery(1, 1, 0, 0)) == NoBlock(1, BUSY)
    clock.now += 1.1
    assert isinstance(service.answer(b"one more", BlockQuery(1, 1, 0, 0)), BlockPart)


@pytest.mark.parametrize("curve", [True, False])
def test_over_sockets(curve: bool) -> None:
    """A node's client socket with a ledger behind it."""
    store, chain, blocks = filled()
    stand = ClientPort(curve, blocks=BlockService(store, chain.committed), longest_reply=LONGEST_BLOCK_REPLY)
    stand.client.send(BlockQuery(1, 2, 0, 0))
    stand.client.send(BlockQuery(2, 2, 0, 0))
    stand.client.send(StatusRequest(3))
    until(lambda: len(stand.replies) >= 3, stand.step)
    first = stand.replies[0]
    assert isinstance(first, BlockPart)
    assert first.part == blocks[1].body[:BLOCK_PART_BYTES]
    assert stand.replies[1:] == [NoBlock(2, BUSY), Status(3, {"height": 3})]
    stand.close()


@contextmanager
def asking(answer: Callable[[BlockQuery], Iterable[Reply | bytes]], timeout: float = 30.0) -> Iterator[tuple[Any, ...]]:
    """A source whose node answers each query as the script says, and the queries."""
    with scripted(answer) as (nodes, members), Connections(members, False, longest_reply=LONGEST_BLOCK_REPLY) as all_:
        yield BlockSource(all_, 0, timeout), nodes.seen[0]


def good(query: BlockQuery, **changes: Any) -> BlockPart:
    fields: dict[str, Any] = {
        "request": query.request,
        "height": query.height,
        "offset": query.offset,
        "ticket": 10 + query.request,
        "header": b"h",
        "certificate": b"",
        "body_bytes": 3,
        "part": b"abc",
    }
    return BlockPart(**{**fields, **changes})


def test_the_source_returns_tickets_and_asks_again_when_the_node_is_busy() -> None:
    def answer(query: BlockQuery) -> list[Reply]:
        return [NoBlock(query.request, BUSY) if query.request in (2, 3) else good(query)]

    with asking(answer) as (source, seen):
        for offset in (0, 5):
            reply = source.piece(4, offset)
            assert isinstance(reply, BlockPart)
            assert reply.offset == offset
        assert [(q.request, q.height, q.offset, q.ticket) for q in seen] == [
            (1, 4, 0, 0),
            (2, 4, 5, 11),
            (3, 4, 5, 11),
            (4, 4, 5, 11),
        ]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda q: [], NO_ANSWER),
        (lambda q: [NoBlock(q.request, NO_SUCH_BLOCK)], "it does not have the block"),
        (lambda q: [NoBlock(q.request, "\x1b[2J")], "it does not have the block"),
        (lambda q: [NoBlock(q.request, BUSY)], "it is busy"),
        (lambda q: [NoBlock(q.request, BUSY)] if q.request == 1 else [], "it is busy"),
        (lambda q: [good(q, request=q.request + 1)], NO_ANSWER),
        # ZeroMQ refuses what is too long before it is in memory, and closes the connection: nothing follows.
        (lambda q: [bytes(LONGEST_BLOCK_REPLY + 1), good(q)], NO_ANSWER),
        (lambda q: [good(q, height=q.height + 1)], "it answers for block 5 from byte 0, not 4 from 0"),
        (lambda q: [good(q, offset=q.offset + 1)], "it answers for block 4 from byte 1, not 4 from 0"),
        (lambda q: [good(q, part=bytes(BLOCK_PART_BYTES + 1))], MALFORMED),
        (lambda q: [good(q, body_bytes=-1)], MALFORMED),
        (lambda q: [b""], MALFORMED),
        (lambda q: [b"\x91" * 5000], MALFORMED),
        (lambda q: [b"\x98\x07", good(q)], MALFORMED),
        (lambda q: [Status(q.request + 1, {})] * 2000, "it sends more answers than it was asked questions"),
    ],
)
def test_whatever_the_node_says_the_source_answers(answer: Callable[[BlockQuery], list[Any]], says: str) -> None:
    """A text where an honest node might say the same, `Garbage` where none would."""
    with asking(answer, {NO_ANSWER: 0.3, MALFORMED: 0.3, "it is busy": 3.0}.get(says, 30.0)) as (source, _):
        if says.startswith(("it answers", "it sends")):
            with pytest.raises(Garbage) as caught:
                source.piece(4, 0)
            assert str(caught.value) == says
        else:
            assert source.piece(4, 0) == says


def test_a_transaction_is_located_where_it_is_durable_within_the_budget_of_reading(clock: Any) -> None:
    store, chain, _ = filled()
    service = BlockService(store, chain.committed, CLOCK)
    for transaction, height in ((b"a", 1), (b"x" * BIG, 2), (b"later", 0), (b"nowhere", 0), (b"", 0)):
        assert service.locate(Locate(7, transaction)) == Located(7, height)
    chain.flush()
    assert service.locate(Locate(8, b"later")) == Located(8, 3)
    answers = [service.locate(Locate(1, b"y" * BIG)) for _ in range(100)]
    assert 0 < answers.count(Located(1, 0)) <= BYTES_PER_S // BIG + 1 and answers[-1] == NoBlock(1, BUSY)
    clock.now += 1.1
    assert service.locate(Locate(1, b"x")) == Located(1, 0)


class GarbageSocket:
    """Always has another malformed message."""

    def __init__(self) -> None:
        self.now = 0.0

    def poll(self, timeout: int) -> int:
        return 1

    def recv(self, flags: int) -> bytes:
        self.now += 0.1
        return b"\xff"


def test_a_flood_of_garbage_does_not_hold_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    context: Any = zmq.Context()
    client = NodeClient(context, HOST, 1, "", False)
    client.close()
    context.term()
    client.socket = flood = GarbageSocket()
    monkeypatch.setattr("honeybadger.network.client.time.monotonic", lambda: flood.now)
    assert client.receive(3.0) is None
    assert 3.0 <= flood.now < 3.2


def test_the_longest_body_comes_in_the_time_that_repair_allows(clock: Any) -> None:
    """Further on in a body a part costs more, so from some 250 MB on every member was given up, however honest."""
    store, _, _ = filled()

    class Long:
        header = staticmethod(store.header)
        certificate, headers = staticmethod(store.certificate), staticmethod(store.headers)

        @staticmethod
        def body_part(height: int, offset: int, longest: int) -> tuple[int, bytes]:
            return MAX_BODY_BYTES, bytes(min(longest, MAX_BODY_BYTES - offset))

    service = BlockService(Long(), lambda transactions: [0] * len(transactions), CLOCK)  # type: ignore[arg-type]
    offset = ticket = 0
    while offset < MAX_BODY_BYTES:
        reply = service.answer(b"c", BlockQuery(1, 2, offset, ticket))
        if isinstance(reply, NoBlock):
            clock.now += BUSY_PAUSE_S
        else:
            offset, ticket = offset + len(reply.part), reply.ticket
    assert clock.now - 1000 < MAX_BODY_BYTES / SLOWEST
