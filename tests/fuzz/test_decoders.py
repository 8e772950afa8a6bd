"""Every decoder of bytes from the network: its own error or a value, nothing else, and no memory for mere claims."""

import random
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz.forger import real_entries
from support.fuzz.memory_nodes import CODEC, HELLO, PARAMETERS
from support.fuzz.mutations import TOKENS, begins_array, hostile_entry, hostile_header, mutated_bytes, one_element_more
from support.ledger import memory_store
from support.requests import committed, refused, submit

from honeybadger.ledger.block import Header as BlockHeader
from honeybadger.ledger.block import build_block, check_block
from honeybadger.ledger.errors import LedgerError
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import (
    BlockPart,
    BlockQuery,
    NoBlock,
    Status,
    StatusRequest,
    encoder,
    request_decoder,
)
from honeybadger.network.codec import DATA, Header, WireError
from honeybadger.node.block_service import BlockService
from honeybadger.node.client_api import ClientApi
from honeybadger.protocols.honey_badger.contribution import decode_contribution, encode_contribution

BLOCK = build_block(bytes(32), bytes(32), 1, 1, (0, 1, 2), [b"one", b"two"])
HEADER = Header(DATA, 5, 1, 1, 77, 0, 9, 0)
REQUESTS = (submit(1, [b"a", b"b"]), StatusRequest(2), BlockQuery(3, 1, 0, 0))
REPLIES = (
    committed(1, 2, 3, [0, 1]),
    refused(1, "full", [2]),
    Status(1, {"height": 1, "faults": [[1, "x", 2]]}),
    BlockPart(1, 1, 0, 5, BLOCK.header.encode(), bytes(48), 9, BLOCK.body),
    NoBlock(1, "busy"),
)
CORPUS = real_entries(1)


def client_api() -> ClientApi:
    """One without sockets and node."""
    api = ClientApi.__new__(ClientApi)
    api._socket, api.refused_requests = SimpleNamespace(send_multipart=lambda parts, flags: None), 0
    api._blocks = BlockService(memory_store(), lambda transactions: [0] * len(transactions))
    api._status = dict
    api._submit = lambda *request: None  # type: ignore[method-assign]
    return api


API = client_api()


def receive(data: bytes) -> None:
    """A reply is taken or counted as malformed."""
    client: Any = SimpleNamespace(socket=SimpleNamespace(recv=lambda flags: data), malformed=0)
    assert (NodeClient.receive_now(client) is None) == client.malformed


def ask(data: bytes) -> None:
    """A request is answered, taken or counted as refused."""
    before = API.refused_requests
    API._handle(b"client", data)
    if API.refused_requests == before:
        request_decoder.decode(data)


def or_nothing(decode: Callable[[Any], Any], *errors: type[Exception]) -> Callable[[bytes], None]:
    """`decode`, whose refusal is one of `errors`."""

    def run(data: bytes) -> None:
        try:
            decode(data)
        except errors:
            return

    return run


#: by name: what decodes (raising for anything but a proper refusal), and real bytes for it
DECODERS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "header": (or_nothing(Header.decode, WireError), [HEADER.encode()]),
    "entry": (or_nothing(CODEC.decode, WireError), CORPUS),
    "greeting": (or_nothing(CODEC.decode_hello, WireError), [CODEC.encode_hello(HELLO)]),
    "request": (ask, [encoder.encode(request) for request in REQUESTS]),
    "reply": (receive, [encoder.encode(reply) for reply in REPLIES]),
    "block header": (or_nothing(BlockHeader.decode, LedgerError), [BLOCK.header.encode()]),
    "block body": (or_nothing(lambda data: check_block(BLOCK.header, data), LedgerError), [BLOCK.body]),
    "contribution": (
        or_nothing(lambda data: decode_contribution(data, PARAMETERS, 4)),
        [encode_contribution([b"one", b"two"])],
    ),
}

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([0, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1, -1, -(2**63)])
    | st.floats()
    | st.binary(max_size=50)
    | st.text(max_size=10)
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=20)),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=300) | plain.map(msgspec.msgpack.encode))
def test_any_bytes_and_any_values(data: bytes) -> None:
    for decode, _ in DECODERS.values():
        decode(data)


@pytest.mark.parametrize("name", DECODERS)
def test_mutated_real_bytes(name: str, seed: int) -> None:
    decode, real = DECODERS[name]
    rng = random.Random(seed)
    for _ in range(2500):
        decode(mutated_bytes(rng.choice(real), rng.choice(real), rng))
    for token in TOKENS:
        for data in real[:20]:
            for at in range(min(len(data), 40)):
                decode(data[:at] + token)
                decode(data[:at] + token + data[at:])


def test_mutated_headers_and_fields(seed: int) -> None:
    """Whatever decodes can be encoded, and is itself again."""
    rng = random.Random(seed)
    decoded = 0
    for _ in range(3000):
        DECODERS["header"][0](hostile_header(HEADER, rng))
        try:
            messages = CODEC.decode(hostile_entry(CORPUS, rng))
        except WireError:
            continue
        decoded += bool(messages)
        assert CODEC.decode(CODEC.encode(messages)) == messages
    # The mutations are worth something only if many get past the decoder.
    assert 500 < decoded < 2700


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "deep", [b"\x91" * 500, b"\x91" * 100_000, b"\x81\xc0" * 100_000], ids=["500", "arrays", "maps"]
)
def test_a_field_more_than_there_should_be_which_nests_deeply(name: str, deep: bytes) -> None:
    """Fields that a type does not have are skipped over, to any depth."""
    decode, real = DECODERS[name]
    for data in real[:20]:
        for at in range(min(len(data), 40)):
            if begins_array(data, at):
                decode(one_element_more(data, at, deep))


@pytest.mark.parametrize("name", DECODERS)
def test_declared_lengths_cost_no_memory(name: str) -> None:
    """Five bytes can announce four billion elements."""
    decode, real = DECODERS[name]
    tracemalloc.start()
    try:
        for data in real[:12]:
            for at in range(min(len(data), 100)):
                for token in TOKENS:
                    decode(data[:at] + token)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
