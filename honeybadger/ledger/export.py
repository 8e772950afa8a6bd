"""Writing a ledger to text for other tools: JSON lines with one block a line, or CSV with one header a line.

Bytes become lower-case hex. Streams: one block in memory at a time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import TextIO

from honeybadger.ledger.block import Header
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.store import BlockStore

FIELDS = (
    "height",
    "epoch",
    "hash",
    "previous",
    "tx_root",
    "tx_count",
    "tx_bytes",
    "proposers",
    "version",
    "chain_id",
)


def header_values(header: Header) -> dict[str, object]:
    """The fields of a header and its hash as JSON-able values, in the order of ``FIELDS``."""
    values = {name: getattr(header, name) for name in FIELDS}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


def export_jsonl(store: BlockStore, out: TextIO, *, transactions: bool = True) -> int:
    """Write every block as a JSON object on a line of its own; returns the number of blocks.

    With ``transactions`` the object has a list ``transactions`` of hex strings in block order. Raises
    ``LedgerError``.
    """
    count = 0
    if not transactions:
        for header in _all_headers(store):
            out.write(json.dumps(header_values(header)) + "\n")
            count += 1
        return count
    for block in store.iter_blocks():
        values = header_values(block.header)
        values["transactions"] = [t.hex() for t in block.transactions()]
        out.write(json.dumps(values) + "\n")
        count += 1
    return count


def export_csv(store: BlockStore, out: TextIO) -> int:
    """Write the headers as CSV, proposers separated by blanks; returns the number of blocks."""
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    count = 0
    for header in _all_headers(store):
        writer.writerow({**header_values(header), "proposers": " ".join(map(str, header.proposers))})
        count += 1
    return count


def _all_headers(store: BlockStore, step: int = 1000) -> Iterator[Header]:
    top = store.height()
    for first in range(1, top + 1, step):
        last = min(first + step - 1, top)
        for height, header in zip_longest(range(first, last + 1), store.headers(first, last)):
            if header is None or header.height != height:
                raise LedgerError(f"block {height} is missing")
            yield header
