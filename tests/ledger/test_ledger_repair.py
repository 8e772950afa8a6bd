"""Every kind of damage is mended from other members, honest or not, and nothing but the damage is changed."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from ledger_helpers import chain_of_blocks, tamper

from honeybadger.cluster.keygen import make_cluster
from honeybadger.ledger import Block, LedgerError, SQLiteStore, encode_body, verify_ledger
from honeybadger.ledger import repair as repair_module
from honeybadger.ledger.certificates import block_statement
from honeybadger.ledger.damage import find_damage
from honeybadger.ledger.repair import RepairReport, repair_ledger
from honeybadger.ledger.store import header_columns
from honeybadger.protocols.parameters import Parameters

MANIFEST, KEYS = make_cluster(4, 1, Parameters(), [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(4)])
KEY = MANIFEST.public_keys.certificate
CHAIN = MANIFEST.chain_id
#: longest part that a source of these tests serves: less than a body
PART = 700


def certify(block_hash: bytes) -> bytes:
    statement = block_statement(block_hash)
    shares = {i: KEYS[i].secret_keys.certificate.sign_share(statement) for i in range(2)}
    certificate, _ = KEY.combine(statement, shares)
    assert certificate is not None
    return certificate


BLOCKS = chain_of_blocks([[f"{h}-{i}".encode() * 10 for i in range(40)] for h in range(1, 9)], CHAIN)
CERTIFICATES = {block.header.height: certify(block.header.hash) for block in BLOCKS}
FORGED = chain_of_blocks([[f"forged {h}-{i}".encode() for i in range(40)] for h in range(1, 9)], CHAIN)


def write(path: Path, certified: int) -> Path:
    store = SQLiteStore(path, "os", chain_id=CHAIN)
    store.append(BLOCKS, {h: c for h, c in CERTIFICATES.items() if h <= certified})
    store.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger of eight blocks, of which the first six are certified."""
    return write(tmp_path / "data" / "ledger.sqlite", 6)


@dataclass(frozen=True)
class Answer:
    header: bytes
    certificate: bytes
    body_bytes: int
    part: bytes


class Member:
    """An honest member that has all blocks, certified up to a height; `bend` makes it lie."""

    def __init__(
        self,
        name: str = "node 1",
        *,
        blocks: list[Block] = BLOCKS,
        certified: int = 8,
        bend: Callable[[Answer, int], Answer | str] = lambda answer, offset: answer,
    ) -> None:
        self.name = name
        self.asked: list[tuple[int, int]] = []
        self._blocks = {block.header.height: block for block in blocks}
        self._certified = certified
        self._bend = bend

    def piece(self, height: int, offset: int) -> Answer | str:
        self.asked.append((height, offset))
        block = self._blocks.get(height)
        if block is None:
            return "it does not have the block"
        certificate = CERTIFICATES[height] if height <= self._certified else b""
        body = block.body
        answer = Answer(block.header.encode(), certificate, len(body), body[offset : offset + PART])
        return self._bend(answer, offset)


def dump(path: Path) -> dict[tuple[str, int], tuple[object, ...]]:
    """Every row of the ledger, its timestamp aside."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = {}
    for table in ("blocks", "bodies"):
        for row in connection.execute(f"SELECT * FROM {table}"):
            rows[table, row["height"]] = tuple(v for name, v in dict(row).items() if name != "timestamp")
    connection.close()
    return rows


def mend(path: Path, *members: Member, **options: float) -> tuple[RepairReport, list[str]]:
    said: list[str] = []
    store = SQLiteStore(path, "os")
    try:
        report = repair_ledger(store, KEY, members, said.append, **options)
    finally:
        store.close()
    assert all("\n" not in line for line in said)
    return report, said


def damaged(path: Path) -> list[int]:
    store = SQLiteStore(path, read_only=True)
    found, stray = find_damage(store, KEY)
    store.close()
    return sorted([damage.height for damage in found] + stray)


def put_header(height: int, header: msgspec.Struct) -> tuple[str, tuple[object, ...]]:
    """Another header with matching columns: the forger is careful."""
    columns = header_columns(header)  # type: ignore[arg-type]
    assignments = ", ".join(f"{name} = ?" for name in columns)
    return (
        f"UPDATE blocks SET header = ?, {assignments} WHERE height = ?",
        (header.encode(), *columns.values(), height),  # type: ignore[attr-defined]
    )


def header_at(height: int, **changes: object) -> msgspec.Struct:
    return msgspec.structs.replace(BLOCKS[height - 1].header, **changes)


def body(height: int, bend: Callable[[bytes], bytes]) -> tuple[str, tuple[object, ...]]:
    return "UPDATE bodies SET body = ? WHERE height = ?", (bend(BLOCKS[height - 1].body), height)


DAMAGE: dict[str, tuple[list[tuple[str, tuple[object, ...]]], list[int]]] = {
    "a bit of a body": ([body(3, lambda b: b[:500] + bytes([b[500] ^ 1]) + b[501:])], [3]),
    "a shorter body": ([body(3, lambda b: b[:-1])], [3]),
    "another canonical body": ([("UPDATE bodies SET body = ? WHERE height = 3", (FORGED[2].body,))], [3]),
    "a body that is text": ([("UPDATE bodies SET body = 'text' WHERE height = 2", ())], [2]),
    "no body": ([("DELETE FROM bodies WHERE height = 5", ())], [5]),
    "no header": ([("DELETE FROM blocks WHERE height = 5", ())], [5]),
    "junk for a header": ([("UPDATE blocks SET header = x'00ff' WHERE height = 4", ())], [4]),
    "no row at the bottom": (
        [("DELETE FROM blocks WHERE height = 1", ()), ("DELETE FROM bodies WHERE height = 1", ())],
        [1],
    ),
    "no rows in the middle": (
        [("DELETE FROM blocks WHERE height IN (3, 4)", ()), ("DELETE FROM bodies WHERE height IN (3, 4)", ())],
        [3, 4],
    ),
    "a forged header": ([put_header(4, header_at(4, epoch=3))], [4]),
    "a forged header without certificate": (
        [put_header(4, header_at(4, proposers=(2,))), ("UPDATE blocks SET certificate = NULL WHERE height = 4", ())],
        [4],
    ),
    "a header of another height": ([put_header(4, header_at(5))], [4]),
    "a header with another root": ([put_header(2, header_at(2, tx_root=bytes(32)))], [2]),
    "a forged block": (
        [put_header(4, FORGED[3].header), ("UPDATE bodies SET body = ? WHERE height = 4", (FORGED[3].body,))],
        [4],
    ),
    "swapped bodies": (
        [
            ("UPDATE bodies SET height = 99 WHERE height = 3", ()),
            ("UPDATE bodies SET height = 3 WHERE height = 6", ()),
            ("UPDATE bodies SET height = 6 WHERE height = 99", ()),
        ],
        [3, 6],
    ),
    "a moved block": (
        [
            ("UPDATE blocks SET height = 20 WHERE height = 3", ()),
            ("UPDATE bodies SET height = 20 WHERE height = 3", ()),
        ],
        [3, 20],
    ),
    "rows that no block can have": (
        [("INSERT INTO bodies VALUES (-5, x'90')", ()), ("INSERT INTO bodies VALUES (50000000000, x'90')", ())],
        [-5, 50000000000],
    ),
    "a wrong column": ([("UPDATE blocks SET tx_count = 'twenty' WHERE height = 4", ())], [4]),
    "wrong hash columns": ([("UPDATE blocks SET hash = zeroblob(32) WHERE height IN (2, 7)", ())], [2, 7]),
    "another block's certificate": (
        [("UPDATE blocks SET certificate = ? WHERE height = 3", (CERTIFICATES[4],))],
        [3],
    ),
    "a certificate that is text": ([("UPDATE blocks SET certificate = 'text' WHERE height = 3", ())], [3]),
    "the newest header, changed by accident": (
        [("UPDATE blocks SET header = ? WHERE height = 8", (header_at(8, previous=bytes(32)).encode(),))],  # type: ignore[attr-defined]
        [8],
    ),
    "the newest header, forged": ([put_header(8, header_at(8, previous=bytes(32)))], [7, 8]),
    "the newest header, changed where nothing links to it": (
        [("UPDATE blocks SET header = ? WHERE height = 8", (header_at(8, epoch=99).encode(),))],  # type: ignore[attr-defined]
        [8],
    ),
    "the newest header, forged, with another block's certificate": (
        [
            put_header(8, header_at(8, epoch=99)),
            ("UPDATE blocks SET certificate = ? WHERE height = 8", (CERTIFICATES[8],)),
        ],
        [8],
    ),
    "the newest header, unreadable": ([("UPDATE blocks SET header = x'00' WHERE height = 8", ())], [8]),
    "the newest body": ([("UPDATE bodies SET body = x'90' WHERE height = 8", ())], [8]),
    "the two newest blocks": (
        [put_header(7, FORGED[6].header), put_header(8, FORGED[7].header)],
        [7, 8],
    ),
    "everything": (
        [("UPDATE blocks SET header = x'00'", ()), ("UPDATE bodies SET body = x'90'", ())],
        list(range(1, 9)),
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_mended_and_nothing_else_is_written(path: Path, kind: str) -> None:
    original = dump(path)
    statements, heights = DAMAGE[kind]
    tamper(path, *statements)
    assert damaged(path) == heights
    before = dump(path)
    writes: list[str] = []
    store = SQLiteStore(path, "os")
    assert store._writer is not None
    store._writer.set_trace_callback(writes.append)
    report = repair_ledger(store, KEY, [Member()], lambda line: None)
    store.close()
    assert report.verify.ok, report
    assert (report.repaired, report.left) == (heights, {})
    assert sum(statement.startswith("COMMIT") for statement in writes) == len(heights), "one transaction a block"
    after = dump(path)
    for row in before.keys() | original.keys():
        if row[1] not in heights:
            assert after[row] == original[row] == before[row]
        elif row in original:
            # The certificate (the last column) may be new.
            assert after[row][:-1] == original[row][:-1]
            assert after[row][-1] in (original[row][-1], CERTIFICATES.get(row[1]))
        else:
            assert row not in after
    assert after.keys() == original.keys()
    assert damaged(path) == []


def test_a_good_ledger_is_not_touched_and_nobody_is_asked(path: Path) -> None:
    before = path.read_bytes()
    member = Member()
    report, said = mend(path, member)
    assert (report.verify.ok, report.repaired, report.left, said, member.asked) == (True, [], {}, [], [])
    assert path.read_bytes() == before


def test_only_what_is_damaged_is_asked_for(path: Path) -> None:
    tamper(path, ("UPDATE bodies SET body = x'90' WHERE height = 3", ()))
    member = Member()
    _, said = mend(path, member)
    assert {height for height, _ in member.asked} == {3}
    assert [offset for _, offset in member.asked] == list(range(0, len(BLOCKS[2].body), PART))
    assert len(said) == 1 and said[0].startswith("block 3: ") and said[0].endswith("fetched from node 1")


def test_a_certificate_is_fetched_without_the_body(path: Path) -> None:
    tamper(path, ("UPDATE blocks SET certificate = x'00' WHERE height = 3", ()))
    member = Member()
    report, _ = mend(path, member)
    assert report.verify.certified == 6
    assert member.asked == [(3, 0)]


def test_a_wrong_column_is_mended_from_the_own_header(path: Path) -> None:
    tamper(path, ("UPDATE blocks SET previous = zeroblob(32) WHERE height = 3", ()))
    member = Member()
    report, _ = mend(path, member)
    assert (report.verify.ok, member.asked) == (True, [])


@pytest.mark.parametrize("kind", ["a bit of a body", "no header", "no rows in the middle", "a forged block"])
def test_without_any_certificate_the_block_above_vouches(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "ledger.sqlite", 0)
    original = dump(path)
    tamper(path, *DAMAGE[kind][0])
    report, _ = mend(path, Member("liar", blocks=FORGED, certified=0), Member(certified=0))
    assert report.verify.ok
    assert dump(path) == original


def test_the_newest_block_needs_a_certificate(tmp_path: Path) -> None:
    """Nothing here names its hash, and the word of one member is not enough."""
    path = write(tmp_path / "ledger.sqlite", 7)
    tamper(path, ("UPDATE blocks SET header = x'00' WHERE height = 8", ()))
    report, said = mend(path, Member(certified=0), Member("node 2", blocks=BLOCKS[:7]))
    assert list(report.left) == [8]
    assert not report.verify.ok
    assert any("has no certificate for it" in line for line in said)
    report, _ = mend(path, Member(certified=0), Member("node 2", certified=8))
    assert report.verify.ok


def test_a_member_with_a_certificate_is_preferred(path: Path) -> None:
    tamper(path, ("UPDATE blocks SET certificate = x'00' WHERE height = 3", ()))
    report, said = mend(path, Member("bare", certified=0), Member("certified"))
    assert report.verify.certified == 6
    assert said[0].endswith("fetched from certified")


def swap_body(other: bytes) -> Callable[[Answer, int], Answer]:
    def bend(answer: Answer, offset: int) -> Answer:
        return replace(answer, body_bytes=len(other), part=other[offset : offset + PART])

    return bend


def late(change: Callable[[Answer], Answer]) -> Callable[[Answer, int], Answer]:
    """Lie from the second part on."""
    return lambda answer, offset: change(answer) if offset else answer


GOOD = BLOCKS[2].body
LIARS: dict[str, Callable[[Answer, int], Answer]] = {
    "junk header": lambda a, _: replace(a, header=b"\xff\x00\n"),
    "empty header": lambda a, _: replace(a, header=b""),
    "forged block, its own certificate": lambda a, _: replace(a, header=FORGED[2].header.encode()),
    "forged block, no certificate": lambda a, _: replace(a, header=FORGED[2].header.encode(), certificate=b""),
    "forged block, junk certificate": lambda a, _: replace(a, header=FORGED[2].header.encode(), certificate=bytes(48)),
    "junk certificate": lambda a, _: replace(a, certificate=b"\x01" * 1000),
    "a block of another height": lambda a, _: replace(
        a, header=BLOCKS[4].header.encode(), certificate=CERTIFICATES[5], body_bytes=len(BLOCKS[4].body)
    ),
    "a block of another chain": lambda a, _: replace(
        a,
        header=header_at(3, chain_id=bytes(32)).encode(),  # type: ignore[attr-defined]
    ),
    "a body of another block": swap_body(BLOCKS[4].body),
    "a body that is cut off": swap_body(GOOD[:-1]),
    "a body with more": swap_body(GOOD + b"\0"),
    "an endless body": lambda a, _: replace(a, body_bytes=2**40, part=bytes(PART)),
    "no body at all": lambda a, _: replace(a, body_bytes=0, part=b""),
    "a transaction changed": swap_body(encode_body([*BLOCKS[2].transactions()[:-1], b"3-39" * 9 + b"x3-9"])),
    "an empty part": late(lambda a: replace(a, part=b"")),
    "too long a part": late(lambda a: replace(a, part=bytes(100_000))),
    "another header later": late(lambda a: replace(a, header=BLOCKS[3].header.encode())),
    "another length later": late(lambda a: replace(a, body_bytes=a.body_bytes + 1)),
    "parts that are wrong": late(lambda a: replace(a, part=bytes(len(a.part)))),
}


@pytest.mark.parametrize("kind", LIARS)
def test_a_liar_is_named_and_the_next_one_is_asked(path: Path, kind: str) -> None:
    original = dump(path)
    tamper(path, ("DELETE FROM blocks WHERE height = 3", ()), ("DELETE FROM bodies WHERE height = 3", ()))
    before = dump(path)
    report, said = mend(path, Member("node 0", bend=LIARS[kind]))
    assert list(report.left) == [3]
    assert said[0].startswith("node 0 served garbage for block 3: ")
    assert dump(path) == before, "nothing of a liar is stored"
    report, said = mend(path, Member("node 0", bend=LIARS[kind]), Member("node 1"))
    assert report.verify.ok
    assert said[0].startswith("node 0 served garbage for block 3: ")
    assert said[1] == "block 3: the block is missing; fetched from node 1"
    assert dump(path) == original


def test_a_member_that_drips_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper(path, ("DELETE FROM bodies WHERE height = 3", ()))
    clock = itertools.count()
    monkeypatch.setattr(repair_module.time, "monotonic", lambda: float(next(clock)))
    dripping = Member("node 0", bend=lambda answer, _: replace(answer, part=answer.part[:1]))
    report, said = mend(path, dripping, Member("node 1"), patience_s=5.0)
    assert report.verify.ok
    assert "bytes came in time" in said[0] and said[0].startswith("node 0 did not serve block 3: only ")
    assert len(dripping.asked) < 10


def test_a_liar_or_a_silent_member_is_asked_last_from_then_on(path: Path) -> None:
    tamper(path, ("DELETE FROM bodies WHERE height IN (2, 3, 4)", ()))
    silent = Member("node 0", bend=lambda answer, _: "no answer for 5 s")
    liar = Member("node 1", bend=LIARS["junk header"])
    report, said = mend(path, silent, liar, Member("node 2"))
    assert report.verify.ok
    assert (len(silent.asked), len(liar.asked)) == (1, 1)
    assert len(said) == 5


@pytest.mark.parametrize("certified", [0, 8])
def test_a_member_that_is_slow_but_correct_costs_one_block(
    path: Path, monkeypatch: pytest.MonkeyPatch, certified: int
) -> None:
    """It keeps every deadline, so nothing can be said against it."""
    tamper(path, ("DELETE FROM bodies WHERE height <= 7", ()))
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(repair_module, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def slow(seconds: float) -> Callable[[Answer, int], Answer]:
        def bend(answer: Answer, offset: int) -> Answer:
            clock.now += 0.0 if offset else seconds
            return answer

        return bend

    slowest = Member("node 0", certified=certified, bend=slow(4.8))
    slower = Member("node 1", bend=slow(0.9))
    report, said = mend(path, slowest, slower, Member("node 2", bend=slow(0.01)), patience_s=5.0)
    assert report.verify.ok and len(said) == 7
    assert clock.now < 4.8 + 0.9 + 7 * 0.01 + 0.1


def test_what_nobody_has_is_left_and_named(path: Path) -> None:
    tamper(path, ("DELETE FROM bodies WHERE height IN (2, 5)", ()))
    report, _ = mend(path, Member(blocks=BLOCKS[2:]))
    assert report.repaired == [5]
    assert report.left == {2: "body is missing"}
    assert report.verify.bad_height == 2


def test_a_forged_row_at_a_great_height_does_not_take_for_ever(path: Path) -> None:
    far = msgspec.structs.replace(BLOCKS[7].header, height=2**32 - 1)
    tamper(path, ("UPDATE blocks SET height = 4294967295 WHERE height = 8", ()), put_header(2**32 - 1, far))
    with pytest.raises(LedgerError, match="more than 100000 blocks are missing"):
        mend(path, Member())


def test_a_certificate_outweighs_a_forged_end(path: Path) -> None:
    """The last blocks are forged as a chain of their own, which names a block 6 that is not ours."""
    tamper(path, *[put_header(h, FORGED[h - 1].header) for h in (7, 8)], body(7, lambda _: FORGED[6].body))
    tamper(path, body(8, lambda _: FORGED[7].body), ("UPDATE blocks SET certificate = NULL WHERE height = 6", ()))
    report, _ = mend(path, Member())
    assert report.verify.ok
    store = SQLiteStore(path, read_only=True)
    assert list(store.iter_blocks()) == BLOCKS
    store.close()


def test_repair_refuses_while_somebody_writes(path: Path) -> None:
    writer = SQLiteStore(path, "os", chain_id=CHAIN)
    with pytest.raises(LedgerError, match="another process is writing"):
        mend(path, Member())
    writer.close()


def test_broken_pages_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "ledger.sqlite", 6)
    tamper(path, ("DELETE FROM bodies WHERE height = 3", ()))
    whole = path.read_bytes()
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bodies'").fetchone()[0]
    page = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    for damage in (
        whole[: (root - 1) * page] + os.urandom(100) + whole[(root - 1) * page + 100 :],
        whole[: len(whole) // 2],
        b"\0" * 200 + whole[200:],
    ):
        path.write_bytes(damage)
        with pytest.raises(LedgerError, match="move it and its -wal and -shm files away and start the node") as caught:
            mend(path, Member())
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == damage


def test_pages_that_only_a_check_finds_stop_the_repair_before_it_writes(path: Path) -> None:
    """A page that is in use and in the free list at once: the next write could overwrite a good block."""
    tamper(path, ("CREATE TABLE scratch (x)", ()))
    connection = sqlite3.connect(path)
    (bodies,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bodies'").fetchone()
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'scratch'", (bodies,))
    connection.commit()
    connection.close()
    tamper(path, ("DELETE FROM blocks WHERE height = 3", ()))
    before = dump(path)
    with pytest.raises(LedgerError, match="cannot mend"):
        mend(path, Member())
    assert dump(path) == before


def test_replace_is_all_or_nothing_and_keeps_the_time_of_storing(path: Path) -> None:
    store = SQLiteStore(path, "os")
    connection = sqlite3.connect(path)
    (stored,) = connection.execute("SELECT timestamp FROM blocks WHERE height = 3").fetchone()
    store.replace(FORGED[2], None)
    assert store.block(3) == FORGED[2]
    assert store.certificate(3) is None
    assert connection.execute("SELECT timestamp FROM blocks WHERE height = 3").fetchone() == (stored,)
    with pytest.raises(LedgerError, match="belongs to chain"):
        store.replace(Block(header_at(3, chain_id=bytes(32)), b"\x90"), None)  # type: ignore[arg-type]
    with pytest.raises(LedgerError):
        store.replace(Block(BLOCKS[2].header, None), None)  # type: ignore[arg-type]
    assert store.block(3) == FORGED[2], "the header went in without its body"
    assert store._writer is not None
    changes = store._writer.total_changes
    store.replace(FORGED[2], CERTIFICATES[3])
    assert store._writer.total_changes == changes + 1, "a body that is the same was written again"
    assert store.certificate(3) == CERTIFICATES[3]
    store.close()
    reader = SQLiteStore(path, read_only=True)
    with pytest.raises(LedgerError, match="reading only"):
        reader.replace(BLOCKS[2], None)
    with pytest.raises(LedgerError, match="reading only"):
        reader.discard(3)
    reader.close()
    connection.close()


def test_the_repaired_ledger_can_be_extended(path: Path, tmp_path: Path) -> None:
    copy = shutil.copy(path, tmp_path / "copy.sqlite")
    tamper(path, *DAMAGE["everything"][0])
    assert mend(path, Member())[0].verify.ok
    for file in (path, copy):
        store = SQLiteStore(Path(file), "os")
        more = chain_of_blocks([*[b.transactions() for b in BLOCKS], [b"more"]], CHAIN)
        store.append(more[8:])
        assert verify_ledger(store).blocks == 9
        store.close()
