"""The bytes of the body log: a segment file is a header, then frames, each whole or recognisably not.

    segment = header, with a random tag || checksum || frames
    frame   = tag || place || length of the list || length of the bodies || checksum of the list || checksum of these
              || list || bodies, without a gap

A frame is what one `append` stores. Its list, in MessagePack, has everything that a ledger has of these blocks but
their bodies: so the log alone can restore the index. `place` is where the frame begins in its file. Nobody who writes a
transaction knows the tag of the segment that it comes to, so none can pass for a frame when frames are looked for
behind damage. Checksums are CRC-32; integers big-endian.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from honeybadger.ledger.errors import LedgerError

FORMAT = 1
SEGMENT_MAGIC = b"HBbs"
TAG_BYTES = 12
_SEGMENT = struct.Struct(">4sB32sQ12s")
_FRAME = struct.Struct(">12sQIQI")
_CHECKSUM = struct.Struct(">I")
#: where the first frame of a segment begins
FIRST_FRAME = _SEGMENT.size + _CHECKSUM.size
_FRAME_BYTES = _FRAME.size + _CHECKSUM.size
#: bytes read at a time
PIECE = 1 << 20
#: a longer list is no list: a frame has at most some thousand blocks of less than a kilobyte each
LONGEST_LIST = 1 << 28


class StoredBlock(msgspec.Struct, array_like=True, frozen=True):
    """A block of a frame: header bytes, and length and CRC-32 of its body."""

    header: bytes
    body_bytes: int
    checksum: int


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """The list of a frame. `timestamp`: Unix seconds; `certificates`: by height, of these or of earlier blocks."""

    timestamp: float
    blocks: tuple[StoredBlock, ...]
    certificates: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """A frame in a segment: where its bodies begin, one behind the other, and where it ends."""

    frame: Frame
    bodies_at: int
    end: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def segment_header(chain_id: bytes, number: int, tag: bytes) -> bytes:
    header = _SEGMENT.pack(SEGMENT_MAGIC, FORMAT, chain_id, number, tag)
    return header + _CHECKSUM.pack(zlib.crc32(header))


def read_tag(file: int, path: Path, chain_id: bytes, number: int) -> bytes | None:
    """The tag of an open segment, None if it does not begin as this one; `LedgerError` if it is of another chain or
    format."""
    content = os.pread(file, FIRST_FRAME, 0)
    header = content[: _SEGMENT.size]
    if len(content) < FIRST_FRAME or _CHECKSUM.unpack_from(content, len(header))[0] != zlib.crc32(header):
        return None
    magic, version, its_chain, its_number, tag = _SEGMENT.unpack(header)
    if magic != SEGMENT_MAGIC:
        return None
    if version != FORMAT:
        raise LedgerError(f"{path}: bodies in format {version}, this program reads {FORMAT}")
    if its_chain != chain_id:
        raise LedgerError(f"{path}: belongs to chain {its_chain.hex()}, not to {chain_id.hex()}")
    return tag if its_number == number else None


def frame_start(frame: Frame, place: int, tag: bytes) -> bytes:
    """What precedes the bodies in the frame at byte `place` of its file."""
    listed = _encode(frame)
    bodies = sum(block.body_bytes for block in frame.blocks)
    header = _FRAME.pack(tag, place, len(listed), bodies, zlib.crc32(listed))
    return header + _CHECKSUM.pack(zlib.crc32(header)) + listed


def read_frame(file: int, place: int, size: int, tag: bytes) -> Found | None:
    """The frame at `place` of an open file of `size` bytes, its bodies checked too; None if it is not whole."""
    lengths = _frame_header(os.pread(file, _FRAME_BYTES, place), place, tag)
    if lengths is None:
        return None
    list_bytes, body_bytes, checksum = lengths
    bodies_at = place + _FRAME_BYTES + list_bytes
    end = bodies_at + body_bytes
    if end > size:
        return None
    listed = os.pread(file, list_bytes, place + _FRAME_BYTES)
    if zlib.crc32(listed) != checksum:
        return None
    try:
        frame = _decode(listed)
    except msgspec.MsgspecError:
        return None
    position = bodies_at
    for block in frame.blocks:
        if not 0 <= block.body_bytes <= end - position or _checksum(file, position, block.body_bytes) != block.checksum:
            return None
        position += block.body_bytes
    return Found(frame, bodies_at, end) if position == end else None


def next_frame(file: int, place: int, size: int, tag: bytes) -> int | None:
    """Where the next whole frame header begins, at `place` or behind it: what is before it is damaged."""
    while place < size:
        piece = os.pread(file, PIECE + _FRAME_BYTES, place)
        at = piece.find(tag)
        while 0 <= at < PIECE:
            if _frame_header(piece[at : at + _FRAME_BYTES], place + at, tag) is not None:
                return place + at
            at = piece.find(tag, at + 1)
        place += PIECE
    return None


def _frame_header(header: bytes, place: int, tag: bytes) -> tuple[int, int, int] | None:
    """Lengths of list and bodies, and checksum of the list; None if this is not the header of a frame at `place`."""
    if len(header) < _FRAME_BYTES or _CHECKSUM.unpack_from(header, _FRAME.size)[0] != zlib.crc32(header[: _FRAME.size]):
        return None
    its_tag, its_place, list_bytes, body_bytes, checksum = _FRAME.unpack_from(header)
    if its_tag != tag or its_place != place or list_bytes > LONGEST_LIST:
        return None
    return list_bytes, body_bytes, checksum


def _checksum(file: int, position: int, length: int) -> int:
    checksum = 0
    end = position + length
    while position < end:
        piece = os.pread(file, min(PIECE, end - position), position)
        if not piece:
            return -1
        checksum = zlib.crc32(piece, checksum)
        position += len(piece)
    return checksum
