"""What is stored of a block, and how safely.

Durability: `fsync` survives power failure, `os` survives the death of the process, `memory` survives
nothing.
"""

import json
from dataclasses import dataclass
from typing import Literal

from honeybadger.ledger.block import Header

Durability = Literal["fsync", "os", "memory"]

COLUMNS = ("epoch", "hash", "previous", "tx_root", "tx_count", "tx_bytes", "proposers")
"""What a store keeps in addition to the header bytes, for queries."""


def header_columns(header: Header) -> dict[str, object]:
    """The values of `COLUMNS` that belong to a header."""
    return {name: getattr(header, name) for name in COLUMNS} | {"proposers": json.dumps(header.proposers)}


@dataclass(frozen=True, slots=True)
class Record:
    """A block as it lies in the store, with nothing checked: for verification only.

    `columns`: the stored values of `COLUMNS`, with `proposers` as JSON text. A missing or ill-typed header or body is
    `None`.
    """

    height: int
    columns: dict[str, object]
    header: bytes | None
    body: bytes | None
