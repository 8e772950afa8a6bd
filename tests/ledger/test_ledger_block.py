"""Headers and bodies: one encoding per block, everything else refused."""

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger import CHAIN_ID, numbered

from honeybadger.ledger import Header, LedgerError, build_block, check_block, decode_body, encode_body

HEADER = build_block(CHAIN_ID, CHAIN_ID, 1, 7, (0, 2, 3), numbered(40)).header


def encoded_with(**changes: object) -> bytes:
    """The header's array with some fields replaced, whatever their type."""
    fields = {name: getattr(HEADER, name) for name in Header.__struct_fields__} | changes
    return msgspec.msgpack.encode(list(fields.values()))


def test_header_round_trip_and_hash() -> None:
    data = HEADER.encode()
    assert Header.decode(data) == HEADER
    assert HEADER.hash == sha256(data).digest()
    assert encoded_with() == data


ILL_TYPED = {
    "version": (2, "1"),
    "chain_id": (CHAIN_ID[:-1], CHAIN_ID + b"x", "x" * 32),
    "height": (0, 2**32, 1.0),
    "epoch": (-1, 2**63),
    "previous": (b"", None),
    "tx_root": (bytes(31),),
    "tx_count": (-1,),
    "tx_bytes": (True,),
    "proposers": ((0, 2, 2), (2, 0), (-1, 0), 3),
}


@pytest.mark.parametrize("name", ILL_TYPED)
def test_header_refuses_ill_typed_fields(name: str) -> None:
    for value in ILL_TYPED[name]:
        with pytest.raises(LedgerError, match=r"^header "):
            Header.decode(encoded_with(**{name: value}))


def test_header_refuses_other_encodings_of_the_same_values() -> None:
    data = HEADER.encode()
    fields = list(msgspec.msgpack.decode(data))
    long_int = data[:1] + b"\xcc\x01" + data[2:]  # version 1 as uint8 instead of fixint
    long_array = b"\xdc\x00" + bytes([len(fields)]) + data[1:]
    extra = msgspec.msgpack.encode([*fields, 0])
    short = msgspec.msgpack.encode(fields[:-1])
    as_map = msgspec.msgpack.encode(dict(zip(Header.__struct_fields__, fields, strict=True)))
    for bad in (data + b"\x00", data[:-1], b"", long_int, long_array, extra, short, as_map, b"\xc1"):
        with pytest.raises(LedgerError):
            Header.decode(bad)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_header_of_random_bytes_never_raises_anything_else(data: bytes) -> None:
    with pytest.raises(LedgerError):
        Header.decode(data)


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=400), max_size=60))
def test_body_round_trip(transactions: list[bytes]) -> None:
    body = encode_body(transactions)
    assert decode_body(body) == transactions
    with pytest.raises(LedgerError):
        decode_body(body + b"\x00")


def test_body_refuses_other_encodings() -> None:
    good = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0ab"
    assert decode_body(good) == [b"a", b"b"]
    descending = good[:4] + good[8:12] + good[4:8] + b"ab"
    beyond = good[:8] + b"\x03" + good[9:]
    fewer = b"\x01" + good[1:]
    more = b"\x03" + good[1:]
    for bad in (descending, beyond, fewer, more, good[:-1], good[:7], b"\0\0\0", b"", b"\xff" * 4):
        with pytest.raises(LedgerError, match=r"^body "):
            decode_body(bad)


def test_check_block_names_what_differs() -> None:
    transactions = numbered(40)
    header = build_block(CHAIN_ID, CHAIN_ID, 1, 0, (0,), transactions).header
    assert check_block(header, encode_body(transactions)) == transactions
    swapped = [transactions[1], transactions[0], *transactions[2:]]
    for bad, reason in [
        (transactions[:-1], "39 transactions, header says 40"),
        ([*transactions[:-1], b"longer than before"], "tx_bytes"),
        (swapped, "Merkle root"),
    ]:
        with pytest.raises(LedgerError, match=reason):
            check_block(header, encode_body(bad))


@settings(max_examples=10)
@given(st.sets(st.binary(max_size=30), max_size=100), st.integers(0, 2**63 - 1))
def test_equal_arguments_give_equal_bytes_and_any_difference_another_hash(txs: set[bytes], epoch: int) -> None:
    transactions = sorted(txs)
    first = build_block(CHAIN_ID, CHAIN_ID, 1, epoch, (0, 1), transactions)
    copy = build_block(CHAIN_ID, CHAIN_ID, 1, epoch, [0, 1], [bytes(bytearray(t)) for t in transactions])
    assert (first.header.encode(), first.body) == (copy.header.encode(), copy.body)
    others = [
        build_block(CHAIN_ID, CHAIN_ID, 2, epoch, (0, 1), transactions),
        build_block(CHAIN_ID, CHAIN_ID, 1, epoch, (0, 2), transactions),
        build_block(CHAIN_ID, bytes(32), 1, epoch, (0, 1), transactions),
        build_block(CHAIN_ID, CHAIN_ID, 1, epoch, (0, 1), [*transactions, b"one more"]),
    ]
    assert first.header.hash not in {other.header.hash for other in others}


def test_build_block_refuses_misuse() -> None:
    good = {"chain_id": CHAIN_ID, "previous_hash": CHAIN_ID, "height": 1, "epoch": 0, "proposers": (0,)}
    for wrong in (
        {"chain_id": b"short"},
        {"previous_hash": b"short"},
        {"height": 0},
        {"epoch": -1},
        {"proposers": (1, 0)},
        {"proposers": (-1, 0)},
    ):
        with pytest.raises(ValueError, match=r"bytes|out of range|ascending"):
            build_block(**{**good, **wrong}, transactions=[])
