"""What the ledger asks of a store, so that another one can take SQLite's place; the embedded default is
``sqlite``.

Guarantee of every store: ``append`` is atomic (all blocks of the call or none) and returns once they are as
durable as the store's ``durability`` says; heights run from 1 without gaps and each block's ``previous`` is
its predecessor's hash. Reads may come from other threads than writes. Every trouble is a ``LedgerError`` of
one line.

Durability: ``fsync`` survives power failure, ``os`` survives the death of the process, ``memory`` survives
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.history import BodyReader

Durability = Literal["fsync", "os", "memory"]

COLUMNS = ("epoch", "hash", "previous", "tx_root", "tx_count", "tx_bytes", "proposers")
"""What a store keeps beside the header bytes, for queries."""


def header_columns(header: Header) -> dict[str, object]:
    """The values of ``COLUMNS`` that belong to a header."""
    return {
        "epoch": header.epoch,
        "hash": header.hash,
        "previous": header.previous,
        "tx_root": header.tx_root,
        "tx_count": header.tx_count,
        "tx_bytes": header.tx_bytes,
        "proposers": json.dumps(header.proposers),
    }


@dataclass(frozen=True, slots=True)
class Record:
    """A block as it lies in the store, nothing checked: for verification only.

    ``columns`` are the values stored beside the header bytes (``epoch``, ``hash``, ``previous``,
    ``tx_root``, ``tx_count``, ``tx_bytes``, ``proposers`` as JSON text); a missing or ill-typed header or
    body is ``None``.
    """

    height: int
    columns: dict[str, object]
    header: bytes | None
    body: bytes | None


class BlockStore(Protocol):
    """A place for the blocks of one chain."""

    @property
    def chain_id(self) -> bytes:
        """The chain this store belongs to, 32 bytes."""

    @property
    def durability(self) -> Durability:
        """What ``append`` promises when it returns."""

    def append(self, blocks: Sequence[Block], certificates: Mapping[int, bytes] | None = None) -> None:
        """Store consecutive blocks that follow the tip, and opaque certificates by height (of these blocks or of stored
        ones; others are dropped), in one group commit."""

    def height(self) -> int:
        """Height of the tip, 0 for an empty ledger."""

    def tip(self) -> Header | None:
        """Header of the highest block, ``None`` for an empty ledger."""

    def header(self, height: int) -> Header | None:
        """Header at ``height``, ``None`` if there is none."""

    def block(self, height: int) -> Block | None:
        """Block at ``height``, ``None`` if there is none."""

    def headers(self, first: int = 1, last: int | None = None) -> list[Header]:
        """Headers of heights ``first`` to ``last``, both included, as far as they exist."""

    def iter_blocks(self, first: int = 1) -> Iterator[Block]:
        """Blocks from height ``first`` to the present tip, one in memory at a time; none may be missing."""

    def record(self, height: int) -> Record:
        """What is stored at ``height``, unchecked; all ``None`` if nothing is."""

    def iter_records(self) -> Iterator[Record]:
        """Everything stored, by height, unchecked, one in memory at a time."""

    def open_body(self, height: int) -> AbstractContextManager[BodyReader]:
        """Random access to the body at ``height`` without reading all of it."""

    def body_part(self, height: int, offset: int, size: int) -> tuple[int, bytes]:
        """Length of the body at ``height``, and at most ``size`` bytes of it from ``offset`` on."""

    def certificate(self, height: int) -> bytes | None:
        """Certificate of the block at ``height``, ``None`` if it has none."""

    def newest_certified(self) -> Header | None:
        """Header of the highest block that has a certificate, ``None`` if none has."""

    def replace(self, block: Block, certificate: bytes | None) -> None:
        """Put ``block`` at its height in the place of whatever is there, if anything, and touch nothing else.

        For repair: the links to its neighbours are the caller's to check.
        """

    def discard(self, height: int) -> None:
        """Remove whatever is stored at ``height``, which is no height of a block. For repair."""

    def check_container(self) -> None:
        """Raise ``LedgerError`` if the store is damaged below the level of blocks, so that writing is unsafe."""

    def close(self) -> None:
        """Release everything; calling it again does nothing."""
