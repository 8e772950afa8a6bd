"""Every kind of damage is mended from other members, honest or not, and nothing but the damage is changed."""

import functools
import itertools
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from support.client import Chain as CertifiedChain
from support.ledger import (
    Statement,
    chain_of_blocks,
    copied,
    flip,
    moved,
    opened,
    put_body,
    put_header,
    swapped_bodies,
    tamper,
    without,
)

from honeybadger.ledger import Block, Header, LedgerError, SQLiteStore, encode_body
from honeybadger.ledger import fetch as fetch_module
from honeybadger.ledger import repair as repair_module
from honeybadger.ledger.damage import find_damage
from honeybadger.ledger.repair import RepairReport, repair_ledger

CERTIFIED = CertifiedChain([[f"{h}-{i}".encode() * 10 for i in range(40)] for h in range(1, 9)], [1, 2, 3, 4])
KEY = CERTIFIED.manifest.public_keys.certificate
# The same few certificates are checked again and again.
KEY.verify = functools.cache(KEY.verify)
CHAIN = CERTIFIED.manifest.chain_id
BLOCKS, CERTIFICATES = CERTIFIED.blocks, CERTIFIED.certificates
FORGED = chain_of_blocks([[f"forged {h}-{i}".encode() for i in range(40)] for h in range(1, 9)], CHAIN)
#: longest part that a source of these tests serves: less than a body
PART = 700


def write(path: Path, certified: int) -> Path:
    store = SQLiteStore(path, "os", chain_id=CHAIN)
    store.append(BLOCKS, {h: c for h, c in CERTIFICATES.items() if h <= certified})
    store.close()
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("original") / "ledger.sqlite", 6)


@pytest.fixture
def path(tmp_path: Path, original: Path) -> Path:
    """A closed ledger of eight blocks, of which the first six are certified."""
    return copied(original, tmp_path)


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


def dump(path: Path) -> dict[int, tuple[object, ...]]:
    """What the ledger has of every height: certificate last; not when and where it is stored."""
    with opened(path) as store:
        return {
            record.height: (record.columns, record.header, record.body, store.certificate(record.height))
            for record in store.iter_records()
        }


def mend(path: Path, *members: Member, **options: float) -> tuple[RepairReport, list[str]]:
    said: list[str] = []
    with closing(SQLiteStore(path, "os")) as store:
        report = repair_ledger(store, KEY, members, said.append, **options)
    assert all("\n" not in line for line in said)
    return report, said


def damaged(path: Path) -> list[int]:
    with opened(path) as store:
        found, stray = find_damage(store, KEY)
    return sorted([damage.height for damage in found] + stray)


def header_at(height: int, **changes: object) -> Header:
    return msgspec.structs.replace(BLOCKS[height - 1].header, **changes)


def change(height: int, **columns: object) -> Statement:
    """For `tamper`: other values in one or two columns of a block; or another body."""
    if "body" in columns:
        return put_body(height, columns["body"])
    return f"UPDATE blocks SET {' = ?, '.join(columns)} = ? WHERE height = ?", (*columns.values(), height)


DAMAGE: dict[str, tuple[list[Statement], list[int]]] = {
    "a bit of a body": ([flip(3, 500)], [3]),
    "another canonical body": ([change(3, body=FORGED[2].body)], [3]),
    "a body that is nowhere": ([change(2, body_at="text")], [2]),
    "a body behind the end": ([change(5, body_at=1 << 40)], [5]),
    "a body in a segment that is gone": ([change(5, segment=9)], [5]),
    "a body of endless length": ([change(5, body_bytes=1 << 60)], [5]),
    "no row": (without(5), [5]),
    "junk for a header": ([change(4, header=b"\0\xff")], [4]),
    "no row at the bottom": (without(1), [1]),
    "no rows in the middle": (without(3, 4), [3, 4]),
    "a forged header": ([put_header(4, header_at(4, epoch=3))], [4]),
    "a forged header without certificate": (
        [put_header(4, header_at(4, proposers=(2,))), change(4, certificate=None)],
        [4],
    ),
    "a header of another height": ([put_header(4, header_at(5))], [4]),
    "a header with another root": ([put_header(2, header_at(2, tx_root=bytes(32)))], [2]),
    "a forged block": ([put_header(4, FORGED[3].header), change(4, body=FORGED[3].body)], [4]),
    "swapped bodies": ([swapped_bodies(3, 6)], [3, 6]),
    "a moved block": (moved((3, 20)), [3, 20]),
    "rows that no block can have": (
        [
            (
                "INSERT INTO blocks SELECT ?, epoch, hash, previous, tx_root, tx_count, tx_bytes, proposers, timestamp,"
                " header, certificate, segment, body_at, body_bytes, checksum FROM blocks WHERE height = 3",
                (height,),
            )
            for height in (-5, 50000000000)
        ],
        [-5, 50000000000],
    ),
    "a wrong column": ([change(4, tx_count="twenty")], [4]),
    "wrong hash columns": ([change(2, hash=bytes(32)), change(7, hash=bytes(32))], [2, 7]),
    "another block's certificate": ([change(3, certificate=CERTIFICATES[4])], [3]),
    "a certificate that is text": ([change(3, certificate="text")], [3]),
    "the newest header, changed by accident": ([change(8, header=header_at(8, previous=bytes(32)).encode())], [8]),
    "the newest header, forged": ([put_header(8, header_at(8, previous=bytes(32)))], [7, 8]),
    "the newest header, changed where nothing links to it": ([change(8, header=header_at(8, epoch=99).encode())], [8]),
    "the newest header, forged, with another block's certificate": (
        [put_header(8, header_at(8, epoch=99)), change(8, certificate=CERTIFICATES[8])],
        [8],
    ),
    "the newest header, unreadable": ([change(8, header=b"\0")], [8]),
    "the newest body": ([change(8, body=b"\x90")], [8]),
    "the two newest blocks": ([put_header(7, FORGED[6].header), put_header(8, FORGED[7].header)], [7, 8]),
    "everything": (
        [c for h in range(1, 9) for c in (change(h, body=b"\x90"), change(h, header=b"\0"))],
        [*range(1, 9)],
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_mended_and_nothing_else_is_written(path: Path, kind: str) -> None:
    good = dump(path)
    statements, heights = DAMAGE[kind]
    tamper(path, *statements)
    assert damaged(path) == heights
    writes: list[str] = []
    with closing(SQLiteStore(path, "os")) as store:
        store._writer.set_trace_callback(writes.append)
        report = repair_ledger(store, KEY, [Member()], lambda line: None)
    assert report.verify.ok, report
    assert (report.repaired, report.left) == (heights, {})
    assert sum(statement.startswith("COMMIT") for statement in writes) == len(heights), "one transaction a block"
    after = dump(path)
    assert after.keys() == good.keys()
    for height, row in good.items():
        if height in heights:
            # The certificate may be new.
            assert after[height][:-1] == row[:-1]
            assert after[height][-1] in (row[-1], CERTIFICATES.get(height))
        else:
            assert after[height] == row
    assert damaged(path) == []


@pytest.mark.parametrize(
    ("damage", "offsets", "end"),
    [
        (change(3, body=b"\x90"), range(0, len(BLOCKS[2].body), PART), "; fetched from node 1"),
        # A certificate is fetched without the body, and the rest of a good block is written from its own header.
        (change(3, certificate=b"\0"), [0], "; fetched from node 1"),
        (
            change(3, previous=bytes(32)),
            [],
            "; the rest of the block is good, so it was written again from its own header",
        ),
    ],
    ids=["body", "certificate", "column"],
)
def test_only_what_is_damaged_is_asked_for(path: Path, damage: Statement, offsets: Sequence[int], end: str) -> None:
    tamper(path, damage)
    member = Member()
    report, said = mend(path, member)
    assert (report.verify.ok, report.verify.certified) == (True, 6)
    assert member.asked == [(3, offset) for offset in offsets]
    assert len(said) == 1 and said[0].startswith("block 3: ") and said[0].endswith(end)
    # A good ledger is not touched, and nobody is asked.
    before = path.read_bytes()
    report, said = mend(path, stranger := Member())
    assert (report.verify.ok, report.repaired, report.left, said, stranger.asked) == (True, [], {}, [], [])
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["a bit of a body", "no row", "no rows in the middle", "a forged block"])
def test_without_any_certificate_the_block_above_vouches(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "ledger.sqlite", 0)
    good = dump(path)
    tamper(path, *DAMAGE[kind][0])
    report, _ = mend(path, Member("liar", blocks=FORGED, certified=0), Member(certified=0))
    assert report.verify.ok
    assert dump(path) == good


def test_the_newest_block_needs_a_certificate(tmp_path: Path) -> None:
    """Nothing here names its hash, and the word of one member is not enough."""
    path = write(tmp_path / "ledger.sqlite", 7)
    tamper(path, change(8, header=b"\0"))
    report, said = mend(path, Member(certified=0), Member("node 2", blocks=BLOCKS[:7]))
    assert list(report.left) == [8]
    assert not report.verify.ok
    assert any("has no certificate" in line for line in said)
    report, _ = mend(path, Member(certified=0), Member("node 2", certified=8))
    assert report.verify.ok
    # A header whose certificate is wrong proves nothing against a member that has another one.
    tamper(path, *DAMAGE["the newest header, forged, with another block's certificate"][0])
    report, said = mend(path, Member(certified=0))
    assert list(report.left) == [8] and not any("garbage" in line for line in said)


def swap_body(other: bytes) -> Callable[[Answer, int], Answer]:
    def bend(answer: Answer, offset: int) -> Answer:
        return replace(answer, body_bytes=len(other), part=other[offset : offset + PART])

    return bend


def late(change: Callable[[Answer], Answer]) -> Callable[[Answer, int], Answer]:
    """Lie from the second part on."""
    return lambda answer, offset: change(answer) if offset else answer


GOOD, FORGED_3 = BLOCKS[2].body, FORGED[2].header.encode()
LIARS: dict[str, Callable[[Answer, int], Answer]] = {
    "junk header": lambda a, _: replace(a, header=b"\xff\x00\n"),
    "empty header": lambda a, _: replace(a, header=b""),
    "forged block, the true one's certificate": lambda a, _: replace(a, header=FORGED_3),
    "forged block, no certificate": lambda a, _: replace(a, header=FORGED_3, certificate=b""),
    "forged block, junk certificate": lambda a, _: replace(a, header=FORGED_3, certificate=bytes(48)),
    "junk certificate": lambda a, _: replace(a, certificate=b"\x01" * 1000),
    "a block of another height": lambda a, _: replace(
        a, header=BLOCKS[4].header.encode(), certificate=CERTIFICATES[5], body_bytes=len(BLOCKS[4].body)
    ),
    "a block of another chain": lambda a, _: replace(a, header=header_at(3, chain_id=bytes(32)).encode()),
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
    good = dump(path)
    tamper(path, *without(3))
    before = dump(path)
    report, said = mend(path, Member("node 0", bend=LIARS[kind]))
    assert list(report.left) == [3]
    assert dump(path) == before, "nothing of a liar is stored"
    report, said = mend(path, Member("node 0", bend=LIARS[kind]), Member("node 1"))
    assert report.verify.ok and said[0].startswith("node 0 served garbage for block 3: ")
    assert said[1] == "block 3: the block is missing; fetched from node 1"
    assert dump(path) == good


def test_a_member_that_drips_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper(path, flip(3, 99))
    clock = itertools.count()
    monkeypatch.setattr(repair_module.time, "monotonic", lambda: float(next(clock)))
    dripping = Member("node 0", bend=lambda answer, _: replace(answer, part=answer.part[:1]))
    report, said = mend(path, dripping, Member("node 1"), patience_s=5.0)
    assert report.verify.ok
    assert "bytes came in time" in said[0] and said[0].startswith("node 0 did not serve block 3: only ")
    assert len(dripping.asked) < 10


def test_a_member_with_a_certificate_is_preferred(path: Path) -> None:
    tamper(path, change(3, certificate=b"\0"))
    report, said = mend(path, Member("bare", certified=0), Member("certified"))
    assert report.verify.certified == 6
    assert said[0].endswith("fetched from certified")


def test_a_liar_or_a_silent_member_is_asked_last_from_then_on(path: Path) -> None:
    tamper(path, flip(2, 99), flip(3, 99), flip(4, 99))
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
    tamper(path, ("UPDATE blocks SET segment = 9 WHERE height <= 7", ()))
    clock = SimpleNamespace(now=0.0)
    for module in (repair_module, fetch_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))

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
    tamper(path, ("UPDATE blocks SET segment = 9 WHERE height IN (2, 5)", ()))
    report, _ = mend(path, Member(blocks=BLOCKS[2:]))
    assert report.repaired == [5]
    assert report.left == {2: "body is missing"}
    assert report.verify.bad_height == 2


def test_a_forged_row_at_a_great_height_does_not_take_for_ever(path: Path) -> None:
    far = msgspec.structs.replace(BLOCKS[7].header, height=2**32 - 1)
    tamper(path, *moved((8, 2**32 - 1)), put_header(2**32 - 1, far))
    with pytest.raises(LedgerError, match="more than 100000 blocks are missing"):
        mend(path, Member())


def test_a_certificate_outweighs_a_forged_end(path: Path) -> None:
    """The last blocks are forged as a chain of their own, which names a block 6 that is not ours."""
    for block in FORGED[6:]:
        height = block.header.height
        tamper(path, put_header(height, block.header), change(height, body=block.body))
    tamper(path, change(6, certificate=None))
    report, _ = mend(path, Member())
    assert report.verify.ok
    with opened(path) as store:
        assert list(store.iter_blocks()) == BLOCKS


def test_broken_pages_are_one_line_that_says_what_to_do(path: Path) -> None:
    tamper(path, *without(3))
    whole = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'blocks'").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
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
    root = "(SELECT rootpage FROM sqlite_master WHERE name = 'blocks')"
    reuse = f"UPDATE sqlite_master SET rootpage = {root} WHERE name = 'scratch'"
    tamper(path, *((sql, ()) for sql in ("CREATE TABLE scratch (x)", "PRAGMA writable_schema = ON", reuse)))
    tamper(path, *without(3))
    before = dump(path)
    with pytest.raises(LedgerError, match="cannot mend"):
        mend(path, Member())
    assert dump(path) == before


def test_what_is_replaced_keeps_its_time_of_storing_and_is_in_the_log_if_it_cannot_be_indexed(path: Path) -> None:
    stored = "SELECT timestamp FROM blocks WHERE height = 3"
    with closing(SQLiteStore(path, "os")) as store:
        before = store._writer.execute(stored).fetchone()
        store.replace(FORGED[2], None)
        assert (store.block(3), store.certificate(3)) == (FORGED[2], None)
        assert store._writer.execute(stored).fetchone() == before
        with pytest.raises(LedgerError, match="belongs to chain"):
            store.replace(Block(header_at(3, chain_id=bytes(32)), b"\x90"), None)
        store._writer.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT else sqlite3.SQLITE_OK
        )
        with pytest.raises(LedgerError, match="not authorized"):
            store.replace(BLOCKS[2], CERTIFICATES[3])
        store._writer.set_authorizer(None)
        assert (store.block(3), store.certificate(3)) == (FORGED[2], None)
        with pytest.raises(LedgerError, match="the last blocks could not be indexed"):
            store.replace(BLOCKS[2], None)
    with closing(SQLiteStore(path, "os")) as store:
        assert (store.block(3), store.certificate(3)) == (BLOCKS[2], CERTIFICATES[3]), "it is in the log"
        assert store._writer.execute(stored).fetchone() == before
    with opened(path) as reader:
        for write_to_it in (lambda: reader.replace(BLOCKS[2], None), lambda: reader.discard(3)):
            with pytest.raises(LedgerError, match="reading only"):
                write_to_it()
