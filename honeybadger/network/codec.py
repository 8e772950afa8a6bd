"""What is on the wire between nodes.

A message between nodes is a header part followed by zero or more entry parts; `join` puts them into one, to be sealed
and sent. An entry is a msgpack array of protocol messages, encoded once and sent, as the same bytes, to every node it
is for. The header is made for one recipient.

Everything is bounded before it is looked at: the size of a message by the socket (`longest_part` and what joins it),
the number of its parts and of the messages in an entry, and the shape of every message by its type. Nothing is ever
unpickled or evaluated.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Union

import msgspec

from honeybadger.protocols.wire import Message

WIRE_VERSION = 1
#: a message has at most this many parts besides its header
ENTRIES_PER_MESSAGE = 64
#: an entry has at most this many messages
MESSAGES_PER_ENTRY = 8192
#: a message that is at least this long (bytes, encoded) travels in an entry of its own
LARGE_MESSAGE = 256 * 1024
#: small messages are bundled up to this many bytes per entry
BUNDLE_BYTES = 1024 * 1024
#: entries share a message up to this many bytes; a longer one goes alone
MESSAGE_BYTES = BUNDLE_BYTES
#: a part may be that much longer than what a correct node sends: so that a message which is a little too long costs its
#: sender a recorded fault, and not only its connection
SPARE_BYTES = 64 * 1024

#: a greeting has at most this many bytes: some 64 settings and two keys for each of 256 members take two thirds of it
LONGEST_HELLO = 64 * 1024

#: the `durable` epoch of a node that does not mean to come back after a crash
FORGET = 2**62

HELLO = 1
DATA = 2

_header = struct.Struct("<BBQQQQQQQ")
HEADER_BYTES = _header.size
#: no number in a header is larger, so that counting on from one never leaves 64 bits
_LARGEST_NUMBER = 2**63

_length = struct.Struct("<I")
#: most bytes that `join` adds
JOIN_BYTES = _length.size * (2 + ENTRIES_PER_MESSAGE)

#: what msgspec raises for bytes from a stranger
_MALFORMED = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class WireError(ValueError):
    """Bytes from a peer that are not what they should be."""


def join(parts: Sequence[bytes]) -> bytes:
    """The parts as one message: their number, their lengths (4 bytes each, least byte first), and what is in them."""
    return b"".join([struct.pack(f"<{len(parts) + 1}I", len(parts), *map(len, parts)), *parts])


def split(message: bytes | memoryview) -> list[memoryview]:
    """Views of the parts that were joined; WireError if this is no message, or one of too many parts."""
    view = memoryview(message)
    count = _length.unpack_from(view)[0] if len(view) >= _length.size else 0
    start = _length.size * (1 + count)
    if not 0 < count <= 1 + ENTRIES_PER_MESSAGE or len(view) < start:
        raise WireError(f"message of {count} parts in {len(view)} bytes")
    parts = []
    for length in struct.unpack_from(f"<{count}I", view, _length.size):
        parts.append(view[start : start + length])
        start += length
    if start != len(view):
        raise WireError(f"parts of {start} bytes in {len(view)}")
    return parts


class Header(NamedTuple):
    """First part of every message between nodes.

    `session`: random number of the sender's incarnation; `first`: sequence number of the first entry in this
    message; `base`: lowest sequence number the sender still holds; `ack_session`, `ack`: the recipient's session,
    and the highest of its sequence numbers up to which everything was processed; `horizon`: the highest epoch the
    sender accepts; `durable`: messages of epochs up to this one the sender will never need again, not even after a
    restart.
    """

    kind: int
    session: int
    first: int
    base: int
    ack_session: int
    ack: int
    horizon: int
    durable: int

    def encode(self) -> bytes:
        """`HEADER_BYTES` bytes."""
        return _header.pack(WIRE_VERSION, *self)

    @staticmethod
    def decode(data: bytes | memoryview) -> Header:
        """WireError if it is no header of this version."""
        if len(data) != HEADER_BYTES:
            raise WireError(f"header of {len(data)} bytes")
        version, kind, *numbers = _header.unpack(data)
        if version != WIRE_VERSION:
            raise WireError(f"wire version {version} is not {WIRE_VERSION}")
        if kind not in (HELLO, DATA):
            raise WireError(f"unknown kind of message {kind}")
        if max(numbers) > _LARGEST_NUMBER:
            raise WireError(f"{max(numbers)} in a header is too large")
        if not (numbers[1] and numbers[2]):
            raise WireError("sequence numbers begin at 1")
        return Header(kind, *numbers)


class Hello(msgspec.Struct, frozen=True):
    """Second part of a greeting: which chain the sender runs, setting by setting.

    `heard`: session of the greeting that the sender heard last from the recipient, and the number before its `base`;
    zeros before the first. `twice`: the sender hears two processes that use the recipient's keys.
    """

    chain_id: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    settings: dict[str, str]
    heard: tuple[int, int] = (0, 0)
    twice: bool = False


class Codec:
    """Encodes and decodes entries of a protocol's messages.

    `longest_message`: bytes; the longest encoded message a correct node sends. `limits`: of messages with bulky fields,
    how long each may be; see `Bulk`.
    """

    def __init__(
        self,
        message_types: Sequence[type[Message]],
        longest_message: int,
        limits: Mapping[type[Message], Mapping[str, int]] | None = None,
    ) -> None:
        self._limits = limits or {}
        self.longest_part = max(longest_message, BUNDLE_BYTES) + SPARE_BYTES
        union: Any = Union[tuple(message_types)]  # noqa: UP007
        entry = Annotated[list[union], msgspec.Meta(max_length=MESSAGES_PER_ENTRY)]
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[list[Message]] = msgspec.msgpack.Decoder(entry)
        self._hello_decoder = msgspec.msgpack.Decoder(Hello)

    def encode(self, messages: Sequence[Message]) -> bytes:
        """One entry."""
        return self._encoder.encode(messages)

    def entries(self, messages: Iterable[Message]) -> Iterator[tuple[bytes, list[tuple[Message, int]]]]:
        """The messages, in order, as entries; of each what is in it, and how many bytes of it each message takes.

        An entry is within the limits whatever the messages are made of: its size is that of their encodings. ValueError
        for a message that no correct node accepts.
        """
        parts: list[bytes] = []
        held: list[tuple[Message, int]] = []
        size = 0
        for message in messages:
            alone = self._encoder.encode([message])
            length = len(alone) - 1
            if len(alone) > self.longest_part:
                raise ValueError(f"a {type(message).__name__} of {length} bytes is longer than any may be")
            large = length >= LARGE_MESSAGE
            if parts and (large or size + length > BUNDLE_BYTES or len(parts) == MESSAGES_PER_ENTRY):
                yield _array(parts), held
                parts, held, size = [], [], 0
            if large:
                # Not copied a second time.
                yield alone, [(message, length)]
            else:
                parts.append(alone[1:])
                held.append((message, length))
                size += length
        if parts:
            yield _array(parts), held

    def decode(self, data: bytes | memoryview) -> list[Message]:
        """The messages of an entry; WireError if it is malformed or too long."""
        if len(data) > self.longest_part:
            raise WireError(f"entry of {len(data)} bytes")
        try:
            messages = self._decoder.decode(data)
        except _MALFORMED as error:
            raise WireError(str(error)) from None
        for message in messages:
            if limits := self._limits.get(type(message)):
                self._check_bulk(message, limits)
        return messages

    def _check_bulk(self, message: Message, limits: Mapping[str, int]) -> None:
        for field, limit in limits.items():
            value = getattr(message, field)
            length = len(value) if isinstance(value, bytes) else len(self._encoder.encode(value))
            if length > limit:
                raise WireError(f"{type(message).__name__}.{field} of {length} bytes, and {limit} are the most")

    def encode_hello(self, hello: Hello) -> bytes:
        """The greeting's second part."""
        return self._encoder.encode(hello)

    def decode_hello(self, data: bytes | memoryview) -> Hello:
        """WireError if it is malformed."""
        if len(data) > LONGEST_HELLO:
            raise WireError(f"greeting of {len(data)} bytes")
        try:
            return self._hello_decoder.decode(data)
        except _MALFORMED as error:
            raise WireError(str(error)) from None


def _array(parts: list[bytes]) -> bytes:
    """The msgpack array of these encoded items, fewer than 65,536."""
    count = len(parts)
    head = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join([head, *parts])
