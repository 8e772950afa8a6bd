"""What is on the wire: everything a correct node sends survives, everything else is a WireError and nothing else."""

import struct
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.suite import SHARE_BYTES
from honeybadger.network import codec as codec_module
from honeybadger.network.codec import (
    DATA,
    HEADER_BYTES,
    HELLO,
    LARGE_MESSAGE,
    MESSAGES_PER_ENTRY,
    Codec,
    Header,
    Hello,
    WireError,
)
from honeybadger.protocols.honey_badger.messages import (
    MESSAGE_TYPES,
    Aux,
    Aux2,
    BVal,
    BVal2,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    EchoHash,
    Ready,
    Term,
    Val,
    Want,
)
from honeybadger.protocols.wire import Message

CODEC = Codec(MESSAGE_TYPES, longest_message=4096)
EPOCH, NODE, ROUND = st.integers(0, 2**53), st.integers(0, 65535), st.integers(0, 2**31)
ROOT, POINT = st.binary(min_size=32, max_size=32), st.binary(min_size=48, max_size=48)
BRANCH, SHARD = st.binary(max_size=512), st.binary(max_size=300)
MESSAGES = st.one_of(
    st.builds(Val, EPOCH, NODE, ROOT, BRANCH, SHARD),
    st.builds(Echo, EPOCH, NODE, ROOT, BRANCH, SHARD),
    st.builds(Ready, EPOCH, NODE, ROOT),
    st.builds(EchoHash, EPOCH, NODE, ROOT),
    st.builds(Want, EPOCH, NODE, ROOT),
    st.builds(BVal, EPOCH, NODE, ROUND, st.booleans()),
    st.builds(Aux, EPOCH, NODE, ROUND, st.booleans()),
    st.builds(Conf, EPOCH, NODE, ROUND, st.integers(1, 3)),
    st.builds(CoinShare, EPOCH, NODE, ROUND, POINT),
    st.builds(Term, EPOCH, NODE, st.booleans()),
    st.builds(DecryptionShares, EPOCH, st.lists(st.tuples(NODE, POINT), max_size=5)),
)
EXAMPLES: list[Message] = [
    Val(1, 0, bytes(32), bytes(64), b"shard"),
    Echo(1, 0, bytes(32), b"", b""),
    Ready(1, 0, bytes(32)),
    BVal(1, 0, 0, True),
    Aux(1, 0, 2**31, False),
    Conf(1, 0, 0, 3),
    CoinShare(1, 0, 0, bytes(48)),
    Term(2**53, 65535, True),
    DecryptionShares(1, [(0, bytes(48)), (3, bytes(48))]),
    EchoHash(1, 0, bytes(32)),
    Want(1, 0, bytes(32)),
    BVal2(1, 0, 0, 3),
    Aux2(1, 0, 2, 1),
]
pack = msgspec.msgpack.encode


def test_the_examples_cover_every_type() -> None:
    assert tuple(map(type, EXAMPLES)) == MESSAGE_TYPES


@settings(max_examples=40)
@given(st.lists(MESSAGES, max_size=12))
def test_entries_round_trip(messages: list[Message]) -> None:
    data = CODEC.encode(messages)
    assert CODEC.decode(data) == messages
    assert CODEC.decode(memoryview(data)) == messages


@settings(max_examples=150)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_messages_or_a_wire_error(data: bytes) -> None:
    for decode in (CODEC.decode, CODEC.decode_hello, Header.decode):
        try:
            decode(data)
        except WireError:
            continue


@settings(max_examples=100)
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.data())
def test_damaged_entries_are_messages_or_a_wire_error(messages: list[Message], data: st.DataObject) -> None:
    damaged = bytearray(CODEC.encode(messages))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    try:
        decoded = CODEC.decode(bytes(damaged))
    except WireError:
        return
    assert CODEC.decode(CODEC.encode(decoded)) == decoded


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_every_truncation_and_every_tail_is_refused(message: Message) -> None:
    data = CODEC.encode([message])
    for length in range(len(data)):
        with pytest.raises(WireError):
            CODEC.decode(data[:length])
    for tail in (b"\x00", b"\xc0", data):
        with pytest.raises(WireError):
            CODEC.decode(data + tail)


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "not a list": pack(7),
    "one message, not a list of them": CODEC.encode([BVal(1, 0, 0, True)])[1:],
    "unknown tag": pack([[77, 1, 0, 0, True]]),
    "tag of another type": pack([["4", 1, 0, 0, True]]),
    "no tag": pack([[]]),
    "map instead of array": pack([{"type": 4, "epoch": 1}]),
    "too few fields": pack([[4, 1, 0, 0]]),
    "negative epoch": pack([[4, -1, 0, 0, True]]),
    "huge epoch": pack([[4, 2**53 + 1, 0, 0, True]]),
    "node beyond 16 bits": pack([[4, 1, 65536, 0, True]]),
    "negative node": pack([[4, 1, -1, 0, True]]),
    "round beyond 31 bits": pack([[4, 1, 0, 2**31 + 1, True]]),
    "float": pack([[4, 1.0, 0, 0, True]]),
    "number for a truth value": pack([[4, 1, 0, 0, 1]]),
    "nothing for a truth value": pack([[4, 1, 0, 0, None]]),
    "empty set of bits": pack([[6, 1, 0, 0, 0]]),
    "impossible set of bits": pack([[6, 1, 0, 0, 4]]),
    "short root": pack([[3, 1, 0, bytes(31)]]),
    "long root": pack([[3, 1, 0, bytes(33)]]),
    "text for bytes": pack([[3, 1, 0, "r" * 32]]),
    "long branch": pack([[1, 1, 0, bytes(32), bytes(513), b""]]),
    "no share": pack([[7, 1, 0, 0, b""]]),
    "long share": pack([[7, 1, 0, 0, bytes(SHARE_BYTES + 1)]]),
    "share with three parts": pack([[9, 1, [[0, bytes(48), 1]]]]),
    "share with one part": pack([[9, 1, [[0]]]]),
    "share that is no pair": pack([[9, 1, [0]]]),
    "too many messages": pack([[4, 1, 0, 0, True]] * (MESSAGES_PER_ENTRY + 1)),
    "array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "shares of four thousand million": b"\x91\x93\x09\x01\xdd\xff\xff\xff\xff",
    "bytes of four thousand million": b"\x91\x94\x03\x01\x00\xc6\xff\xff\xff\xff",
    "nested bomb": b"\x91" * 100_000,
    "nested bomb after a message": b"\x91\x96\x04\x01\x00\x00\xc3" + b"\x91" * 100_000,
    "longer than a part may be": bytes(CODEC.longest_part + 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(WireError):
        CODEC.decode(REFUSED[name])


def test_a_length_at_the_limit_is_looked_at() -> None:
    overhead = len(CODEC.encode([Val(1, 0, bytes(32), b"", bytes(70_000))])) - 70_000
    longest = Val(1, 0, bytes(32), b"", bytes(CODEC.longest_part - overhead))
    assert CODEC.decode(CODEC.encode([longest])) == [longest]
    with pytest.raises(WireError, match="entry of"):
        CODEC.decode(CODEC.encode([Val(1, 0, bytes(32), b"", bytes(CODEC.longest_part - overhead + 1))]))


# -- headers and greetings -----------------------------------------------------------------------------------

NUMBER = st.integers(0, 2**63)
POSITION = st.integers(1, 2**63)
HEADERS = st.builds(Header, st.sampled_from([HELLO, DATA]), NUMBER, POSITION, POSITION, *[NUMBER] * 4)


@settings(max_examples=40)
@given(HEADERS)
def test_headers_round_trip(header: Header) -> None:
    assert Header.decode(header.encode()) == header
    assert len(header.encode()) == HEADER_BYTES


def damaged_header(**changes: int) -> bytes:
    return Header(DATA, 9, 1, 1, 0, 0, 4, 2)._replace(**changes).encode()


@pytest.mark.parametrize(
    "data",
    [b"", damaged_header()[:-1], damaged_header() + b"\0"]
    + [version + damaged_header()[1:] for version in (b"\0", b"\2")]
    + [damaged_header(**{name: 0}) for name in ("kind", "base", "first")]
    + [damaged_header(**{name: 2**64 - 1}) for name in Header._fields[1:]]
    + [damaged_header(kind=3)],
)
def test_refused_headers(data: bytes) -> None:
    with pytest.raises(WireError):
        Header.decode(data)


TEXT = st.text("aZ_.\0\n\x7fé€😀", max_size=60)


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.dictionaries(TEXT, TEXT, max_size=6))
def test_greetings_round_trip(chain_id: bytes, names: dict[str, str]) -> None:
    hello = Hello(chain_id, names)
    assert CODEC.decode_hello(CODEC.encode_hello(hello)) == hello


@pytest.mark.parametrize(
    "value",
    [
        pack({"chain_id": bytes(31), "settings": {}}),
        pack({"chain_id": bytes(32), "settings": {"n": 4}}),
        pack({"chain_id": bytes(32), "settings": {4: "n"}}),
        pack({"chain_id": bytes(32)}),
        pack({"chain_id": bytes(32), "settings": []}),
        pack({"chain_id": bytes(32), "settings": {}}) + b"\0",
        pack({"chain_id": bytes(32), "settings": {}})[:-1] + b"\x81\xa1\xff\xa1\xff",
        b"\xdf\xff\xff\xff\xff",
        pack({"chain_id": bytes(32), "settings": {"a": "b" * (1024 * 1024)}}),
    ],
)
def test_refused_greetings(value: bytes) -> None:
    with pytest.raises(WireError):
        CODEC.decode_hello(value)


# -- entries -------------------------------------------------------------------------------------------------


def check_entries(codec: Codec, messages: list[Message]) -> list[bytes]:
    """Nothing lost, nothing doubled, in order, and each entry may be sent; the sizes are those of the encodings."""
    entries = list(codec.entries(messages))
    told = [message for _, held in entries for message, _ in held]
    assert list(map(id, told)) == list(map(id, messages))
    for data, held in entries:
        inside = [message for message, _ in held]
        assert 1 <= len(held) <= MESSAGES_PER_ENTRY
        assert data == codec.encode(inside) and codec.decode(data) == inside
        assert len(held) == 1 or max(size for _, size in held) < codec_module.LARGE_MESSAGE
        assert len(data) - 3 <= sum(size for _, size in held) < len(data)
    return [data for data, _ in entries]


def echoes(count: int, shard: int, branch: int) -> list[Message]:
    return [Echo(1, i % 65536, bytes(32), bytes(branch), bytes(shard)) for i in range(count)]


RUN = st.builds(
    echoes, st.integers(0, 60), st.sampled_from([0, 1, 100, 900, 3000, 4096]), st.sampled_from([0, 64, 512])
)


@settings(max_examples=30, deadline=None)
@given(runs=st.lists(RUN, max_size=5))
def test_entries_of_any_mixture(runs: list[list[Message]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec_module, "LARGE_MESSAGE", 4096)
        patch.setattr(codec_module, "BUNDLE_BYTES", 20_000)
        codec = Codec(MESSAGE_TYPES, longest_message=4096)
        patch.setattr(codec, "longest_part", 20_000 + 3)
        check_entries(codec, list(chain.from_iterable(runs)))


@pytest.mark.parametrize(
    ("make", "entries"),
    [
        (list, 0),
        *((partial(echoes, count, 5, 64), 1) for count in (1, 2, 15, 16, 17, 300)),
        (lambda: [BVal(1, 0, r, True) for r in range(2 * MESSAGES_PER_ENTRY)], 2),
        (lambda: [Echo(1, 0, bytes(32), b"", bytes(LARGE_MESSAGE))] * 3, 3),
        (lambda: [*echoes(2, 5, 0), *echoes(1, LARGE_MESSAGE, 0), *echoes(2, 5, 0)], 3),
        (lambda: echoes(5, LARGE_MESSAGE - 100, 0), 2),
    ],
)
def test_entry_limits(make: Callable[[], list[Message]], entries: int) -> None:
    assert len(check_entries(Codec(MESSAGE_TYPES, longest_message=LARGE_MESSAGE + 100), make())) == entries


def test_entries_of_a_thousand_nodes_fit_a_part() -> None:
    """Branches outweigh small shards there: counting shards alone made entries that every receiver refuses."""
    check_entries(Codec(MESSAGE_TYPES, longest_message=3000), echoes(1024, 890, 320))
    shares: Any = [(i, bytes(48)) for i in range(1024)]
    check_entries(Codec(MESSAGE_TYPES, longest_message=3000), [DecryptionShares(1, shares)] * 40)


class Unlike(Message, frozen=True, tag=250):
    """A message of somebody's own protocol; what is long in it has a name that nobody knows here."""

    payload: bytes
    more: list[bytes]


@pytest.mark.parametrize("length", [100_000, 1_400_000])
def test_entries_of_any_protocol_fit_a_part(length: int) -> None:
    """Only fields of some names were counted, so three of these became one entry that every receiver refuses."""
    check_entries(Codec([Unlike], 2 * length + 100), [Unlike(1, bytes(length), [bytes(length)])] * 8)


def test_a_bulky_field_is_as_long_as_the_protocol_said_or_the_entry_is_refused() -> None:
    codec = Codec([Unlike, *MESSAGE_TYPES], 1 << 20, {Unlike: {"payload": 100, "more": 50}})
    fits = [Unlike(1, bytes(100), [bytes(24), bytes(21)]), Term(1, 0, True)]
    assert codec.decode(codec.encode(fits)) == fits
    for too_long in (Unlike(1, bytes(101), []), Unlike(1, b"", [bytes(24), bytes(22)]), Unlike(1, b"", [b""] * 50)):
        with pytest.raises(WireError, match="are the most"):
            codec.decode(codec.encode([fits[1], too_long]))


def test_a_message_that_is_longer_than_the_protocol_said_is_our_own_mistake() -> None:
    codec = Codec([Unlike], 2000)
    assert list(codec.entries([Unlike(1, bytes(codec.longest_part - 20), [])]))
    with pytest.raises(ValueError, match="is longer than any may be"):
        list(codec.entries([Unlike(1, bytes(codec.longest_part), [])]))


def test_header_layout_is_fixed() -> None:
    """Changing it means another WIRE_VERSION."""
    expected = struct.pack("<BBQQQQQQQ", 1, DATA, 2, 3, 4, 5, 6, 7, 8)
    assert Header(DATA, 2, 3, 4, 5, 6, 7, 8).encode() == expected
