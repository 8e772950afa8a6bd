"""Hostile bytes: what is made of nothing, and what is made of real messages."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from honeybadger.network.codec import DATA, FORGET, HELLO, Header

#: numbers at which something changes: limits of the messages, of their types and of the header
EDGES = (
    *(0, 1, 2, 3, 4, 5, 8, 9, 10, 119, 120, 121, 2**8, 2**16 - 1, 2**16, 2**31, 2**31 + 1, 2**32 - 1, 2**32),
    *(2**40, 2**40 + 1, 2**53, 2**53 + 1, FORGET - 1, FORGET, 2**63 - 1, 2**63, 2**64 - 1),
)
NEGATIVE = (-1, -32, -33, -128, -(2**15), -(2**31), -(2**63))

#: pieces of MessagePack that declare more than they have, nest deeply, or are of kinds that no message has
TOKENS = (
    b"\xdd\xff\xff\xff\xff",  # array of 2^32 - 1
    b"\xdc\xff\xff",
    b"\xdf\xff\xff\xff\xff",  # map of 2^32 - 1
    b"\xc6\xff\xff\xff\xff",  # bin of 2^32 - 1
    b"\xc5\xff\xff",
    b"\xdb\xff\xff\xff\xff",  # str of 2^32 - 1
    b"\xc9\xff\xff\xff\xff\x01",  # extension of 2^32 - 1
    b"\xd6\xff\x00\x00\x00\x00",  # timestamp
    b"\xd7\xff" + b"\xff" * 8,
    b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\xd4\x05\x00",
    b"\xa2\xff\xfe",  # no UTF-8
    b"\xd9\x03\xed\xa0\x80",  # a surrogate
    b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7),
    b"\xcb\x7f\xf8" + bytes(6),  # NaN
    b"\xcb\x7f\xf0" + bytes(6),
    b"\xc1",  # never used
    b"\xc0",
    b"\xc3",
    b"\x80",
    b"\x91" * 40,
    b"\x81\xa1a" * 40,
    b"\x91" * 5000 + b"\x90",
)


def begins_array(data: bytes, at: int = 0) -> bool:
    """Whether the byte there announces a short array, to which an element can be added."""
    return at < len(data) and 0x90 <= data[at] < 0x9F


def one_element_more(data: bytes, at: int = 0, nesting: bytes = b"\x91" * 5000) -> bytes:
    """The array that begins there and ends with `data` gets an element that nests deeply."""
    return data[:at] + bytes([data[at] + 1]) + data[at + 1 :] + nesting + b"\x90"


def mutated_bytes(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """`data` after one to three random changes; `other` is what may be spliced in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice((0, 1, 4, 32, 200)))
        match rng.randrange(8):
            case 0 | 1:
                if changed:
                    changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 2:
                del changed[at:]
            case 3:
                changed[at:at] = changed[at:end]
            case 4:
                changed = changed[:at] + other[rng.randrange(len(other) + 1) :]
            case 5:
                changed[at : rng.choice((at, end))] = rng.choice(TOKENS)
            case 6:
                del changed[at:end]
            case 7:
                changed[at:end] = rng.randbytes(end - at)
    return bytes(changed)


def extreme(value: Any, rng: random.Random, *, valid: bool) -> Any:
    """Another value for a field: of the same type, or (not `valid`) of any type."""
    if not valid and rng.random() < 0.5:
        return rng.choice((None, True, 1.5, float("nan"), "x", b"", [], {}, [[]] * 3, *EDGES, *NEGATIVE))
    match value:
        case bool():
            return not value
        case int():
            near = (value, min(value + 1, 2**64 - 1), max(0, value - 1), rng.randrange(6))
            return rng.choice(near + EDGES if valid else near + EDGES + NEGATIVE)
        case bytes():
            shapes = (bytes(len(value)), rng.randbytes(len(value)), b"\xc0" + bytes(max(0, len(value) - 1)))
            if begins_array(value):
                # Maybe there is an array in it.
                shapes += (one_element_more(value),)
            if rng.random() < 0.5 or not value:
                return rng.choice((*shapes, b"", value + b"\0", value[:-1], value * 2, bytes(1 << 14)))
            return mutated_bytes(value, value, rng)[: len(value)].ljust(len(value), b"\0")
        case list() | tuple():
            items = list(value)
            if items and rng.random() < 0.5:
                at = rng.randrange(len(items))
                items[at] = extreme(items[at], rng, valid=valid)
                return items
            return rng.choice((items[:-1], items * 2, items[::-1], items * 40, []))
    return value


def mutated_fields(entry: bytes, rng: random.Random, *, valid: bool) -> bytes:
    """A real entry with one or two fields of its messages changed, encoded again."""
    messages = msgspec.msgpack.decode(entry)
    for _ in range(rng.choice((1, 1, 2))):
        message = rng.choice(messages)
        # Field 0 is the tag.
        at = rng.randrange(1 if valid else 0, len(message))
        message[at] = extreme(message[at], rng, valid=valid)
    if rng.random() < 0.05:
        messages = messages * rng.choice((2, 50))
    return msgspec.msgpack.encode(messages)


def nonsense(rng: random.Random) -> bytes:
    """Bytes from nowhere."""
    parts = [
        rng.choice((rng.choice(TOKENS), rng.randbytes(rng.choice((0, 1, 7, 64))))) for _ in range(rng.randrange(4))
    ]
    return rng.choice((b"", b"\x91", b"\x91\x94")) + b"".join(parts)


def hostile_entry(corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """One entry, as hostile as it comes; `corpus` holds real ones."""
    real = rng.choice(corpus)
    match rng.randrange(6):
        case 0:
            return real
        case 1:
            return mutated_bytes(real, rng.choice(corpus), rng)
        case 2:
            return nonsense(rng)
        case kind:
            return mutated_fields(real, rng, valid=kind > 3)


def hostile_header(good: Header, rng: random.Random) -> bytes:
    """A header with one or two numbers at an edge, or with damaged bytes."""
    if rng.random() < 0.3:
        return mutated_bytes(good.encode(), good.encode(), rng)
    numbers = [good.session, good.first, good.base, good.ack_session, good.ack, good.horizon, good.durable]
    for _ in range(rng.choice((1, 1, 2, 7))):
        numbers[rng.randrange(7)] = rng.choice(EDGES)
    return Header(rng.choice((DATA, DATA, DATA, HELLO, 0, 3, 255)), *numbers).encode()
