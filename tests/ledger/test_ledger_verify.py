"""Every way to damage a ledger is found, at the right height, with a reason that names it; and ledgers are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from ledger_helpers import CHAIN_ID, OTHER_ID, chain_of_blocks, fill, memory_store, numbered, tamper

from honeybadger.ledger import Block, Header, LedgerError, SQLiteStore, compare, encode_body, verify_ledger
from honeybadger.ledger.store import header_columns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger of six blocks."""
    file = tmp_path / "ledger.db"
    store = SQLiteStore(file, "os", chain_id=CHAIN_ID)
    fill(store, 6)
    report = verify_ledger(store)
    assert (report.ok, report.blocks, report.transactions, report.bad_height) == (True, 6, 120, None)
    tip = store.tip()
    assert tip is not None
    assert report.tip_hash == tip.hash
    store.close()
    return file


def verdict(path: Path) -> tuple[int | None, str]:
    store = SQLiteStore(path, read_only=True)
    report = verify_ledger(store)
    store.close()
    if report.bad_height is not None:
        assert report.blocks == report.bad_height - 1
        assert report.transactions == 20 * report.blocks
    return report.bad_height, report.reason or ""


def block_at(path: Path, height: int) -> Block:
    store = SQLiteStore(path, read_only=True)
    block = store.block(height)
    store.close()
    assert block is not None
    return block


def put_header(path: Path, height: int, header: Header) -> None:
    """Store another header with matching columns: the forger is careful."""
    columns = header_columns(header)
    assignments = ", ".join(f"{name} = ?" for name in columns)
    sql = f"UPDATE blocks SET header = ?, {assignments} WHERE height = ?"
    tamper(path, (sql, (header.encode(), *columns.values(), height)))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("epoch", 7),
        ("hash", bytes(32)),
        ("previous", bytes(32)),
        ("tx_root", bytes(32)),
        ("tx_count", 21),
        ("tx_bytes", 1),
        ("proposers", "[0, 2]"),
        ("proposers", "[0,3]"),
        ("tx_count", "twenty"),
    ],
)
def test_columns(path: Path, column: str, value: object) -> None:
    tamper(path, (f"UPDATE blocks SET {column} = ? WHERE height = 4", (value,)))
    assert verdict(path) == (4, f"column {column} differs from the header")


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
def test_headers(path: Path, changes: dict[str, object], height: int, reason: str) -> None:
    put_header(path, 3, msgspec.structs.replace(block_at(path, 3).header, **changes))
    found, text = verdict(path)
    assert found == height
    assert reason in text


def test_every_bit_of_a_header(path: Path) -> None:
    """Behind the columns' back: each flipped byte is caught at the block itself."""
    data = block_at(path, 5).header.encode()
    for i in range(0, len(data), 7):
        flipped = data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
        tamper(path, ("UPDATE blocks SET header = ? WHERE height = 5", (flipped,)))
        assert verdict(path)[0] == 5
    for junk in (b"", data + b"\0", "text", 5):
        tamper(path, ("UPDATE blocks SET header = ? WHERE height = 5", (junk,)))
        assert verdict(path)[0] == 5


Bend = Callable[[list[bytes]], list[bytes]]


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda t: [t[1], t[0], *t[2:]], "Merkle root"),
        (lambda t: [*t[:-1], t[-1][:-1] + b"X"], "Merkle root"),
        (lambda t: t[:-1], "header says 20"),
        (lambda t: [*t, b"extra"], "header says 20"),
        (lambda t: [*t[:-1], b"other size"], "tx_bytes"),
        (lambda t: [], "header says 20"),
    ],
    ids=["order", "flip", "drop", "add", "size", "empty"],
)
def test_bodies(path: Path, bend: Bend, reason: str) -> None:
    body = encode_body(bend(block_at(path, 2).transactions()))
    tamper(path, ("UPDATE bodies SET body = ? WHERE height = 2", (body,)))
    found, text = verdict(path)
    assert found == 2
    assert reason in text


def test_body_encoding(path: Path) -> None:
    body = block_at(path, 2).body
    for bad in (body + b"\0", body[:-1], b"\xdd\0\0" + body[1:], b"junk", "text"):
        tamper(path, ("UPDATE bodies SET body = ? WHERE height = 2", (bad,)))
        found, text = verdict(path)
        assert found == 2
        assert text.startswith("body ")


@pytest.mark.parametrize("height", [1, 3])
def test_gaps(path: Path, height: int) -> None:
    tamper(
        path,
        ("DELETE FROM blocks WHERE height = ?", (height,)),
        ("DELETE FROM bodies WHERE height = ?", (height,)),
    )
    assert verdict(path) == (height, f"block {height} is missing, the next one stored is {height + 1}")


def test_halves_of_blocks(path: Path) -> None:
    tamper(path, ("DELETE FROM bodies WHERE height = 6", ()))
    assert verdict(path) == (6, "body is missing")
    tamper(path, ("DELETE FROM blocks WHERE height = 3", ()))
    assert verdict(path) == (3, "header is missing")


def test_foreign_rows(path: Path) -> None:
    tamper(path, ("INSERT INTO bodies VALUES (7, x'90')", ()))
    assert verdict(path) == (7, "header is missing")
    tamper(path, ("INSERT INTO bodies VALUES (-5, x'90')", ()))
    found, text = verdict(path)
    assert (found, "next one stored is -5" in text) == (1, True)


def test_swapped_blocks(path: Path) -> None:
    for table in ("blocks", "bodies"):
        for old, new in ((3, 99), (4, 3), (99, 4)):
            tamper(path, (f"UPDATE {table} SET height = ? WHERE height = ?", (new, old)))
    assert verdict(path) == (3, "header says height 4")


def test_meta_of_another_chain(path: Path) -> None:
    tamper(path, ("UPDATE meta SET value = ? WHERE key = 'chain_id'", (OTHER_ID.hex(),)))
    found, text = verdict(path)
    assert (found, "belongs to chain" in text) == (1, True)


def test_repeats_in_a_block_and_across_blocks() -> None:
    inside = memory_store()
    inside.append(chain_of_blocks([[b"a"], [b"b", b"c", b"b"]]))
    report = verify_ledger(inside)
    assert (report.bad_height, report.reason) == (2, "a transaction is twice in the block")
    across = memory_store()
    across.append(chain_of_blocks([numbered(50), [b"x"], [b"y", b"tx-7"]]))
    report = verify_ledger(across)
    assert report.bad_height == 3
    assert report.reason is not None
    assert "committed before, in block 1" in report.reason
    assert b"tx-7".hex() in report.reason
    assert verify_ledger(across, find_repeats=False).ok


def test_empty_ledger() -> None:
    report = verify_ledger(memory_store())
    assert (report.ok, report.blocks, report.tip_hash) == (True, 0, CHAIN_ID)


def ledger(contents: list[list[bytes]], chain_id: bytes = CHAIN_ID) -> SQLiteStore:
    store = memory_store(chain_id)
    store.append(chain_of_blocks(contents, chain_id))
    return store


def test_compare() -> None:
    long = [[b"%d" % i] for i in range(1100)]
    a, prefix, empty = ledger(long), ledger(long[:1005]), memory_store()
    assert compare([a, prefix, empty, ledger(long)]) is None
    assert compare([]) is None
    assert compare([empty, empty]) is None
    for at in (0, 1, 998, 999, 1000, 1004):
        fork = ledger([*long[:at], [b"fork"], *long[at + 1 : at + 3]])
        assert compare([prefix, a, fork]) == at + 1
    assert compare([a, ledger(long[:3], OTHER_ID)]) == 1


def test_compare_refuses_unreadable_headers() -> None:
    a, b = ledger([[b"a"]]), ledger([[b"a"]])
    assert b._writer is not None
    b._writer.execute("UPDATE blocks SET header = x'00'")
    with pytest.raises(LedgerError, match="block 1"):
        compare([a, b])
