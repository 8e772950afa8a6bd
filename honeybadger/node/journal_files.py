"""The files of the vote journal: a header, then frames of records, each frame whole or recognisably not.

A frame header carries its own checksum and its place in the file, so a frame that is not whole is a torn tail exactly
if nothing follows it. `journal` says when frames are written and what loss means.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

FORMAT = 2

#: epoch, vote, proposer, round, value
Record = tuple[int, int, int, int, bytes]

_SEGMENT_HEADER = struct.Struct(">4sB32sQ")
_SEGMENT_MAGIC = b"HBvs"
_FRAME = struct.Struct(">4sQII")
"""Magic, position in the file, length of the payload, checksum of the payload; then the checksum of these."""
_FRAME_MAGIC = b"\xf5HBf"
_CHECKSUM = struct.Struct(">I")
_FRAME_BYTES = _FRAME.size + _CHECKSUM.size
_FIRST_FRAME = _SEGMENT_HEADER.size + _CHECKSUM.size
#: how MessagePack begins a long array, and long bytes
_LONG = struct.Struct(">BI")
#: values from this length on are not copied before they are written
LONG = 4096

_encode = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode


class JournalError(Exception):
    """The journal cannot be used or written; its message is one line."""


class DamageError(Exception):
    """Votes may be lost."""


def encode_record(record: Record) -> list[bytes]:
    """The record in MessagePack, as buffers to be written one behind the other."""
    value = record[4]
    if len(value) < LONG:
        return [_encode(record)]
    # An array of five, whose last item is written from where it is: proposals and shards have megabytes.
    return [b"\x95" + _encode(record[:4])[1:] + _LONG.pack(0xC6, len(value)), value]


def segment_header(chain_id: bytes, number: int) -> bytes:
    header = _SEGMENT_HEADER.pack(_SEGMENT_MAGIC, FORMAT, chain_id, number)
    return header + _CHECKSUM.pack(zlib.crc32(header))


def frame(place: int, count: int, records: Sequence[bytes]) -> list[bytes]:
    """A frame at byte `place` of `count` records, given as their encoded buffers."""
    start = _LONG.pack(0xDD, count)
    checksum, length = zlib.crc32(start), len(start)
    for part in records:
        checksum = zlib.crc32(part, checksum)
        length += len(part)
    header = _FRAME.pack(_FRAME_MAGIC, place, length, checksum)
    return [header + _CHECKSUM.pack(zlib.crc32(header)) + start, *records]


@dataclass(slots=True)
class Found:
    """What a segment file holds. `good`: bytes before the first frame that is not whole."""

    good: int = 0
    torn: bool = False
    damaged: bool = False
    records: list[Record] = field(default_factory=list)


def read_segment(path: Path, chain_id: bytes, number: int) -> Found:
    """Read all whole frames of a segment, also behind damage; raises `JournalError` if it is another chain's."""
    content = path.read_bytes()
    damaged = not _check_segment_header(path, content, chain_id, number)
    found = Found(min(_FIRST_FRAME, len(content)), damaged=damaged)
    position = _FIRST_FRAME
    whole = True
    while position < len(content):
        header = _frame_header(content, position)
        if header is not None and header[0] == position:
            end = position + _FRAME_BYTES + header[1]
            records = _frame_records(content, end, header)
            if records is not None:
                found.records += records
                position = end
                if whole:
                    found.good = end
                continue
            if end >= len(content):
                found.torn = True
                break
        whole = False
        following = _next_frame(content, position)
        if header is None and following is None:
            found.torn = True
            break
        found.damaged = True
        if following is None:
            break
        position = following
    return found


def _check_segment_header(path: Path, content: bytes, chain_id: bytes, number: int) -> bool:
    header = content[: _SEGMENT_HEADER.size]
    if len(content) < _FIRST_FRAME or _CHECKSUM.unpack_from(content, len(header))[0] != zlib.crc32(header):
        return False
    magic, version, its_chain, its_number = _SEGMENT_HEADER.unpack(header)
    if magic != _SEGMENT_MAGIC:
        return False
    if version != FORMAT:
        raise JournalError(f"{path}: vote journal of format {version}, this program reads {FORMAT}")
    if its_chain != chain_id:
        raise JournalError(f"{path}: this vote journal belongs to another chain")
    return bool(its_number == number)


def _frame_header(content: bytes, position: int) -> tuple[int, int, int] | None:
    """Place, length and checksum from the frame header at `position`, `None` if there is no whole header."""
    header = content[position : position + _FRAME.size]
    start = position + _FRAME_BYTES
    if len(content) < start or _CHECKSUM.unpack_from(content, start - _CHECKSUM.size)[0] != zlib.crc32(header):
        return None
    magic, place, length, checksum = _FRAME.unpack(header)
    return (place, length, checksum) if magic == _FRAME_MAGIC else None


def _frame_records(content: bytes, end: int, header: tuple[int, int, int]) -> list[Record] | None:
    """The records of a frame, `None` if it is not whole."""
    place, _, checksum = header
    payload = memoryview(content)[place + _FRAME_BYTES : end]
    if end > len(content) or zlib.crc32(payload) != checksum:
        return None
    try:
        return _decode_records(payload)
    except msgspec.MsgspecError:
        return None


def _next_frame(content: bytes, position: int) -> int | None:
    """Where a frame begins behind `position`: a magic with its own place behind it, whole or not, or a whole header."""
    while (position := content.find(_FRAME_MAGIC, position + 1)) >= 0:
        place = content[position + len(_FRAME_MAGIC) : position + len(_FRAME_MAGIC) + 8]
        if place == position.to_bytes(8) or _frame_header(content, position) is not None:
            return position
    return None
