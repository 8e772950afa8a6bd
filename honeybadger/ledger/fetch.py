"""Fetches a block from a member that is not trusted, part by part: for repair and for clients.

Guarantee: `fetch_body` returns the body that the header commits to. The caller decides whether the header belongs to
the chain: by its certificate, by a hash that it trusts, or because f+1 members say the same.
"""

import math
import time
from typing import Protocol

from crypto.suite import CertificateKey
from honeybadger.ledger.block import MAX_BODY_BYTES, Header, body_bytes, check_block
from honeybadger.ledger.certificates import verify_certificate
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.verify import read_header
from honeybadger.transactions import Transactions

#: bytes per second; a member that delivers a body more slowly is given up. A node allows itself twice as much for the
#: end of the longest body
SLOWEST = 256 * 1024
#: what a `Source` says that has no block at this height
ABSENT = "it does not have the block"


class Piece(Protocol):
    """What a member says about a block: sizes are bounded, nothing else is checked.

    `certificate`: empty if there is none; `body_bytes`: length of the body; `part`: its bytes from the offset that was
    asked for.
    """

    @property
    def header(self) -> bytes: ...
    @property
    def certificate(self) -> bytes: ...
    @property
    def body_bytes(self) -> int: ...
    @property
    def part(self) -> bytes: ...


class Source(Protocol):
    """A member to ask; `name` appears in messages."""

    name: str

    def piece(self, height: int, offset: int) -> Piece | str:
        """The block at `height` with its body from `offset` on, or a text that says why not. Must not take long."""


class Garbage(Exception):
    """What a member served cannot be the block: it lies, or its disk is damaged. One line."""


class NoAnswer(Exception):
    """A member has not served the block; one line."""


def ask(source: Source, height: int, offset: int) -> Piece:
    """The answer of the member; `NoAnswer` if it has none."""
    answer = source.piece(height, offset)
    if isinstance(answer, str):
        raise NoAnswer(answer)
    return answer


def fetched_header(piece: Piece, height: int, chain_id: bytes, key: CertificateKey) -> Header:
    """The header in `piece`, whose certificate holds if there is one. Raises `Garbage`."""
    try:
        header = read_header(piece.header, height, chain_id)
    except LedgerError as error:
        raise Garbage(printable(error)) from None
    if piece.certificate and not verify_certificate(key, header.hash, piece.certificate):
        raise Garbage(f"its certificate for block {height} does not hold")
    return header


def fetch_body(
    source: Source, header: Header, first: Piece, limit: float, deadline: float = math.inf
) -> tuple[bytes, Transactions]:
    """The body that `header` commits to, and its transactions. `first` has the first part; `limit`: until when the
    member may take for an empty body; `deadline`: for any. Raises `Garbage` or `NoAnswer`."""
    length = first.body_bytes
    if length > MAX_BODY_BYTES or length != body_bytes(header):
        raise Garbage(f"{length} bytes cannot be its body")
    limit = min(deadline, limit + length / SLOWEST)
    body = bytearray()
    piece = first
    while True:
        if piece.header != first.header or piece.body_bytes != length:
            raise Garbage("it changed while it was read")
        if not 0 < len(piece.part) <= length - len(body):
            raise Garbage(f"a part of {len(piece.part)} bytes where {length - len(body)} are left")
        body += piece.part
        if len(body) == length:
            break
        if time.monotonic() > limit:
            raise NoAnswer(f"only {len(body)} of {length} bytes came in time")
        piece = ask(source, header.height, len(body))
    whole = bytes(body)
    try:
        return whole, check_block(header, whole)
    except LedgerError as error:
        raise Garbage(printable(error)) from None
