"""Every way to damage a ledger is found, at the right height, with a reason that names it; and ledgers are compared."""

import msgspec
import pytest
from support.ledger import (
    CHAIN_ID,
    OTHER_ID,
    Statement,
    apply,
    chain_of_blocks,
    fill,
    memory_store,
    moved,
    numbered,
    put_body,
    put_header,
    without,
)

from honeybadger.ledger import LedgerError, SQLiteStore, VerifyReport, compare, encode_body, verify_ledger


def six_blocks() -> SQLiteStore:
    store = memory_store()
    fill(store, 6)
    return store


def verdict(store: SQLiteStore, *damage: Statement) -> tuple[int | None, str]:
    apply(store, *damage)
    report = verify_ledger(store)
    if report.bad_height is not None:
        assert report.blocks == report.bad_height - 1
        assert report.transactions == 20 * report.blocks
    return report.bad_height, report.reason or ""


def test_a_good_ledger_and_an_empty_one() -> None:
    store = six_blocks()
    sizes = sum(len(t) for block in store.iter_blocks() for t in block.transactions())
    assert verify_ledger(store) == VerifyReport(6, 120, sizes, store.tip().hash)
    assert verify_ledger(memory_store()) == VerifyReport(0, 0, 0, CHAIN_ID)
    store.chain_id = OTHER_ID
    height, text = verdict(store)
    assert height == 1 and "belongs to chain" in text


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("epoch", 7),
        ("hash", bytes(32)),
        ("previous", bytes(32)),
        ("tx_root", bytes(32)),
        ("tx_count", 21),
        ("tx_bytes", 1),
        ("proposers", "[0,3]"),
        ("tx_count", "twenty"),
    ],
)
def test_columns(column: str, value: object) -> None:
    change = (f"UPDATE blocks SET {column} = ? WHERE height = 4", (value,))
    assert verdict(six_blocks(), change) == (4, f"column {column} differs from the header")


@pytest.mark.parametrize(
    ("changes", "height", "reason"),
    [
        ({"chain_id": OTHER_ID}, 3, "header belongs to chain"),
        ({"height": 4}, 3, "header says height 4"),
        ({"previous": bytes(32)}, 3, "previous hash"),
        ({"epoch": 4}, 3, "epoch 4 does not follow epoch 4"),
        ({"epoch": 1}, 3, "epoch 1 does not follow epoch 4"),
        ({"tx_root": bytes(32)}, 3, "Merkle root"),
        ({"tx_count": 19}, 3, "20 transactions, header says 19"),
        ({"tx_bytes": 1}, 3, "tx_bytes"),
        ({"version": 3}, 3, "header version 3"),
        ({"proposers": (3, 0)}, 3, "ascending"),
        # A header that is fine in itself is given away by its successor.
        ({"epoch": 5}, 4, "previous hash"),
        ({"proposers": (0,)}, 4, "previous hash"),
    ],
    ids=str,
)
def test_headers(changes: dict[str, object], height: int, reason: str) -> None:
    store = six_blocks()
    bad, text = verdict(store, put_header(3, msgspec.structs.replace(store.header(3), **changes)))
    assert bad == height and reason in text


def test_every_bit_of_a_header() -> None:
    """Behind the columns' back: each flipped byte is caught at the block itself."""
    store = six_blocks()
    data = store.header(5).encode()
    flipped = [data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :] for i in range(0, len(data), 7)]
    for bad in (*flipped, b"", data + b"\0", "text", 5):
        assert verdict(store, ("UPDATE blocks SET header = ? WHERE height = 5", (bad,)))[0] == 5


def test_bodies() -> None:
    store = six_blocks()
    body, transactions = store.block(2).body, store.block(2).transactions()
    for bad, reason in (
        (encode_body(transactions[::-1]), "Merkle root"),
        (encode_body(transactions[1:]), "header says 20"),
        *((junk, "body ") for junk in (body + b"\0", body[:-1], b"\xdd\0\0" + body[1:], b"junk", b"")),
    ):
        height, text = verdict(store, put_body(2, bad))
        assert height == 2 and reason in text


@pytest.mark.parametrize(
    ("damage", "height", "reason"),
    [
        (without(1), 1, "block 1 is missing, the next one stored is 2"),
        (without(3), 3, "block 3 is missing, the next one stored is 4"),
        ([("UPDATE blocks SET body_at = 1000000 WHERE height = 6", ())], 6, "body is missing"),
        ([("UPDATE blocks SET body_at = 'text' WHERE height = 6", ())], 6, "body is missing"),
        ([("UPDATE blocks SET body_bytes = -1 WHERE height = 6", ())], 6, "body is missing"),
        ([("UPDATE blocks SET header = 'text' WHERE height = 3", ())], 3, "header is missing"),
        (moved((6, -5)), 1, "block 1 is missing, the next one stored is -5"),
        (moved((6, -(2**63))), 1, f"block 1 is missing, the next one stored is {-(2**63)}"),
        (moved((3, 99), (4, 3), (99, 4)), 3, "header says height 4"),
    ],
    ids=str,
)
def test_rows_that_are_missing_foreign_or_moved(damage: list[Statement], height: int, reason: str) -> None:
    assert verdict(six_blocks(), *damage) == (height, reason)


def test_repeats_in_a_block_and_across_blocks() -> None:
    inside = ledger([[b"a"], [b"b", b"c", b"b"]])
    report = verify_ledger(inside)
    assert (report.bad_height, report.reason) == (2, "a transaction is twice in the block")
    across = ledger([numbered(50), [b"x"], [b"y", b"tx-7"]])
    report = verify_ledger(across)
    assert report.bad_height == 3
    assert f"transaction {b'tx-7'.hex()}... was committed before, in block 1" == report.reason
    assert verify_ledger(across, find_repeats=False).ok


def ledger(contents: list[list[bytes]], chain_id: bytes = CHAIN_ID) -> SQLiteStore:
    store = memory_store(chain_id)
    store.append(chain_of_blocks(contents, chain_id))
    return store


def test_compare() -> None:
    long = [[b"%d" % i] for i in range(1100)]
    a, prefix, empty = ledger(long), ledger(long[:1005]), memory_store()
    assert compare([a, prefix, empty, a]) is None
    assert compare([]) is None
    assert compare([empty, empty]) is None
    for at in (0, 999, 1000, 1004):
        fork = ledger([*long[:at], [b"fork"], *long[at + 1 : at + 3]])
        assert compare([prefix, a, fork]) == at + 1
    assert compare([a, ledger(long[:3], OTHER_ID)]) == 1
    prefix._writer.execute("UPDATE blocks SET header = x'00' WHERE height = 1")
    with pytest.raises(LedgerError, match="block 1"):
        compare([a, prefix])
