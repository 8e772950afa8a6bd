"""Exports can be read back by ordinary tools."""

import csv
import io
import json

import pytest
from support.ledger import CHAIN_ID, fill, memory_store

from honeybadger.ledger import LedgerError, export_csv, export_jsonl
from honeybadger.ledger import export as export_module


def test_json_lines_with_and_without_transactions() -> None:
    store = memory_store()
    full, short = io.StringIO(), io.StringIO()
    assert export_jsonl(store, full) == 0 and full.getvalue() == ""
    fill(store, 4)
    assert export_jsonl(store, full) == export_jsonl(store, short, transactions=False) == 4
    rows = [json.loads(line) for line in full.getvalue().splitlines()]
    for row, block in zip(rows, store.iter_blocks(), strict=True):
        assert [bytes.fromhex(t) for t in row.pop("transactions")] == block.transactions()
        assert (row["hash"], row["chain_id"]) == (block.header.hash.hex(), CHAIN_ID.hex())
        assert row["proposers"] == [0, 3]
    assert rows == [json.loads(line) for line in short.getvalue().splitlines()]


def test_csv() -> None:
    store = memory_store()
    fill(store, 3)
    out = io.StringIO()
    assert export_csv(store, out) == 3
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["height"] for row in rows] == ["1", "2", "3"]
    assert [row["previous"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert rows[0]["proposers"] == "0 3"


def test_headers_are_read_in_steps_and_a_missing_block_is_an_error() -> None:
    store = memory_store()
    fill(store, 7, per_block=2)
    assert [h.height for h in export_module._all_headers(store, step=3)] == list(range(1, 8))
    store._writer.execute("DELETE FROM blocks WHERE height = 4")
    with pytest.raises(LedgerError, match="block 4 is missing"):
        list(store.iter_blocks())
    assert [block.header.height for block in store.iter_blocks(5)] == [5, 6, 7]
    for step in (1, 3, 100):
        with pytest.raises(LedgerError, match="block 4 is missing"):
            list(export_module._all_headers(store, step=step))
