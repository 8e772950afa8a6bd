"""Block queries on the client port: bounded, only for what is durable, and harmless whoever asks or answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from network_helpers import HOST, Endpoint, credentials, free_ports, until

from honeybadger.ledger import Block, Chain, SQLiteStore
from honeybadger.ledger.block import MAX_BODY_BYTES
from honeybadger.ledger.repair import SLOWEST
from honeybadger.network.client import BUSY_PAUSE_S, BlockSource, NodeClient
from honeybadger.network.client_protocol import (
    BLOCK_PART_BYTES,
    BUSY,
    LONGEST_BLOCK_REPLY,
    NO_SUCH_BLOCK,
    BlockPart,
    BlockQuery,
    NoBlock,
    Reply,
    Status,
    StatusRequest,
    encoder,
    request_decoder,
)
from honeybadger.node import rate
from honeybadger.node.block_service import BYTES_PER_S, MOST_CLIENTS, BlockService
from honeybadger.node.client_api import ClientApi

CHAIN_ID = bytes(range(32))
BIG = 1_200_000
NO_ANSWER = "no answer for 0.3 s"


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


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(rate.time, "monotonic", lambda: self.now)


def part(service: BlockService, client: bytes, height: int, offset: int, ticket: int) -> BlockPart:
    reply = service.answer(client, BlockQuery(1, height, offset, ticket))
    assert isinstance(reply, BlockPart), reply
    return reply


def test_a_block_in_parts() -> None:
    store, _, blocks = filled()
    service = BlockService(store)
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
    service = BlockService(store)
    for height in (3, 4, 2**32 - 1):
        assert service.answer(b"c", BlockQuery(7, height, 0, 0)) == NoBlock(7, NO_SUCH_BLOCK)
    chain.flush()
    ticket = part(service, b"c", 3, 0, 0).ticket
    assert store._writer is not None
    store._writer.execute("UPDATE blocks SET header = x'00' WHERE height = 3")
    store._writer.execute("DELETE FROM bodies WHERE height = 2")
    store._writer.execute("UPDATE blocks SET certificate = 'text' WHERE height = 1")
    for height in (3, 2):
        assert service.answer(b"c", BlockQuery(7, height, 0, ticket)) == NoBlock(7, NO_SUCH_BLOCK)
    assert part(service, b"c", 1, 0, ticket).certificate == b""


def test_a_client_that_does_not_read_gets_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    service = BlockService(filled()[0])
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
def test_all_clients_together_have_a_budget(monkeypatch: pytest.MonkeyPatch, height: int, offset: int) -> None:
    clock = Clock(monkeypatch)
    service = BlockService(filled()[0])
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


class Stand:
    """A node's client socket with a ledger behind it."""

    def __init__(self, curve: bool, store: SQLiteStore | None) -> None:
        members, ports = credentials(2, curve), free_ports(3)
        self.port, self.key, self.curve = ports[2], members[0].public_key, curve
        self.endpoint = Endpoint(members[0], [(HOST, port) for port in ports[:2]])
        self.api = ClientApi(
            self.endpoint.context,
            members[0],
            (HOST, self.port),
            lambda request, transactions: pytest.fail("nothing was submitted"),
            lambda: {"height": 3},
            lambda: None,
            **({} if store is None else {"blocks": store}),
        )
        self.client = NodeClient(
            self.endpoint.context, HOST, self.port, self.key, curve, longest_reply=LONGEST_BLOCK_REPLY
        )
        self.replies: list[Reply] = []

    def step(self) -> None:
        self.endpoint.serve()
        self.api.serve()
        while (reply := self.client.receive_now()) is not None:
            self.replies.append(reply)

    def close(self) -> None:
        self.client.close()
        self.api.close(0)
        self.endpoint.close()


@pytest.mark.parametrize("curve", [True, False])
def test_over_sockets(curve: bool) -> None:
    store, _, blocks = filled()
    stand = Stand(curve, store)
    stand.client.send(BlockQuery(1, 2, 0, 0))
    stand.client.send(BlockQuery(2, 2, 0, 0))
    stand.client.send(StatusRequest(3))
    until(lambda: len(stand.replies) >= 3, stand.step)
    first = stand.replies[0]
    assert isinstance(first, BlockPart)
    assert first.part == blocks[1].body[:BLOCK_PART_BYTES]
    assert stand.replies[1:] == [NoBlock(2, BUSY), Status(3, {"height": 3})]
    stand.close()


def test_without_a_ledger_there_are_no_blocks() -> None:
    stand = Stand(True, None)
    stand.client.send(BlockQuery(1, 2, 0, 0))
    until(lambda: stand.replies, stand.step)
    assert stand.replies == [NoBlock(1, NO_SUCH_BLOCK)]
    stand.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x95\x06\x01\x00\x00\x00",  # height 0
        b"\x95\x06\x01\xce\xff\xff\xff\xff\xff\x00",  # negative offset
        b"\x95\x06\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00",  # height 2^64 - 1
        b"\x95\x06\x01\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00",  # offset 2^64 - 1
        b"\x95\x06\x01\xa1a\x00\x00",
        b"\x94\x06\x01\x01\x00",
        b"\x95\x06\x01\x01\xca\x00\x00\x00\x00\x00",
    ],
)
def test_malformed_queries_are_counted_and_nothing_else(data: bytes) -> None:
    stand = Stand(False, filled()[0])
    stand.client.socket.send(data)
    until(lambda: stand.api.refused_requests, stand.step)
    stand.client.send(StatusRequest(2))
    until(lambda: stand.replies, stand.step)
    assert stand.replies == [Status(2, {"height": 3})]
    assert stand.api.refused_requests == 1
    stand.close()


@contextmanager
def scripted(
    answer: Callable[[BlockQuery], Iterable[bytes]], timeout: float = 30.0
) -> Iterator[tuple[BlockSource, list[BlockQuery]]]:
    """A source whose node answers each query as the script says."""
    context: Any = zmq.Context()
    server = context.socket(zmq.ROUTER)
    server.linger = 0
    port = server.bind_to_random_port(f"tcp://{HOST}")
    seen: list[BlockQuery] = []
    running = threading.Event()
    running.set()

    def serve() -> None:
        while running.is_set():
            if server.poll(20):
                client, data = server.recv_multipart()
                query = request_decoder.decode(data)
                assert isinstance(query, BlockQuery)
                seen.append(query)
                for frame in answer(query):
                    server.send_multipart([client, frame])

    thread = threading.Thread(target=serve)
    thread.start()
    source = BlockSource(
        "node 1", lambda: NodeClient(context, HOST, port, "", False, longest_reply=LONGEST_BLOCK_REPLY), timeout
    )
    try:
        yield source, seen
    finally:
        source.close()
        running.clear()
        thread.join()
        server.close(0)
        context.term()


def good(query: BlockQuery, **changes: Any) -> bytes:
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
    return encoder.encode(BlockPart(**{**fields, **changes}))


def test_the_source_returns_tickets_and_asks_again_when_the_node_is_busy() -> None:
    def answer(query: BlockQuery) -> list[bytes]:
        return [encoder.encode(NoBlock(query.request, BUSY)) if query.request in (2, 3) else good(query)]

    with scripted(answer) as (source, seen):
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
        (lambda q: [encoder.encode(NoBlock(q.request, NO_SUCH_BLOCK))], "it does not have the block"),
        (lambda q: [encoder.encode(NoBlock(q.request, "\x1b[2J"))], "it does not have the block"),
        (lambda q: [encoder.encode(NoBlock(q.request, BUSY))], "it is busy"),
        (lambda q: [good(q, height=q.height + 1)], NO_ANSWER),
        (lambda q: [good(q, offset=q.offset + 1)], NO_ANSWER),
        (lambda q: [good(q, request=q.request + 1)], NO_ANSWER),
        (lambda q: [good(q, part=bytes(BLOCK_PART_BYTES + 1))], NO_ANSWER),
        (lambda q: [good(q, body_bytes=-1)], NO_ANSWER),
        # ZeroMQ refuses what is too long before it is in memory, and closes the connection: nothing follows.
        (lambda q: [bytes(LONGEST_BLOCK_REPLY + 1), good(q)], NO_ANSWER),
        (lambda q: [b"", b"\xff", b"\x91" * 5000, b"\x98\x07", b"x" * 100_000], NO_ANSWER),
        (lambda q: [encoder.encode(Status(q.request, {}))] * 2000, NO_ANSWER),
    ],
)
def test_whatever_the_node_says_the_source_answers(answer: Callable[[BlockQuery], list[bytes]], says: str) -> None:
    with scripted(answer, {NO_ANSWER: 0.3, "it is busy": 3.0}.get(says, 30.0)) as (source, _):
        assert source.piece(4, 0) == says


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


def test_the_longest_body_comes_in_the_time_that_repair_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further on in a body a part costs more, so from some 250 MB on every member was given up, however honest."""
    clock = Clock(monkeypatch)
    store, _, _ = filled()

    class Long:
        header = staticmethod(store.header)
        certificate = staticmethod(store.certificate)

        @staticmethod
        def body_part(height: int, offset: int, longest: int) -> tuple[int, bytes]:
            return MAX_BODY_BYTES, bytes(min(longest, MAX_BODY_BYTES - offset))

    service = BlockService(Long())  # type: ignore[arg-type]
    offset = ticket = 0
    while offset < MAX_BODY_BYTES:
        reply = service.answer(b"c", BlockQuery(1, 2, offset, ticket))
        if isinstance(reply, NoBlock):
            clock.now += BUSY_PAUSE_S
        else:
            offset, ticket = offset + len(reply.part), reply.ticket
    assert clock.now - 1000 < MAX_BODY_BYTES / SLOWEST
