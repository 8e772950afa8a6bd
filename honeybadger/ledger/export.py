"""Exports a ledger for other tools: JSON lines with a block in each, or CSV with a header in each line.

Bytes become lower-case hex. Only one block is in memory at a time.
"""

import csv
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import TextIO

from honeybadger.ledger.block import Header
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.store import COLUMNS

FIELDS = ("height", *COLUMNS, "version", "chain_id")


def header_values(header: Header) -> dict[str, object]:
    """The fields of a header and its hash as JSON-able values, in the order of `FIELDS`."""
    values = {name: getattr(header, name) for name in FIELDS}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


def export_jsonl(store: SQLiteStore, out: TextIO, *, transactions: bool = True) -> int:
    """Write each block as a JSON object on one line; returns the number of blocks.

    With `transactions` the object has a list `transactions` of hex strings in block order. Raises `LedgerError`.
    """
    count = 0
    for values in _with_transactions(store) if transactions else map(header_values, _all_headers(store)):
        out.write(json.dumps(values) + "\n")
        count += 1
    return count


def export_csv(store: SQLiteStore, out: TextIO) -> int:
    """Write the headers as CSV, proposers separated by blanks; returns the number of blocks."""
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    count = 0
    for header in _all_headers(store):
        writer.writerow(header_values(header) | {"proposers": " ".join(map(str, header.proposers))})
        count += 1
    return count


def _with_transactions(store: SQLiteStore) -> Iterator[dict[str, object]]:
    for block in store.iter_blocks():
        yield header_values(block.header) | {"transactions": [t.hex() for t in block.transactions()]}


def _all_headers(store: SQLiteStore, step: int = 1000) -> Iterator[Header]:
    top = store.height()
    for first in range(1, top + 1, step):
        last = min(first + step - 1, top)
        for height, header in zip_longest(range(first, last + 1), store.headers(first, last)):
            if header is None or header.height != height:
                raise LedgerError(f"block {height} is missing")
            yield header
