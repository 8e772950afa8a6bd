"""The body log: whatever an append was doing when the node or the machine died, the ledger is one that it was."""

import errno
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.ledger import CHAIN_ID, OTHER_ID, chain_of_blocks, flip, numbered, opened, tamper

from honeybadger.ledger import Block, Chain, LedgerError, SQLiteStore, verify_ledger
from honeybadger.ledger import body_frames as body_frames_module
from honeybadger.ledger import body_log as body_log_module
from honeybadger.ledger import sqlite_open as sqlite_open_module
from honeybadger.ledger.body_log import segment_numbers, segment_path

BLOCKS = chain_of_blocks([numbered(20, f"{'x' * 50}-{height}") for height in range(1, 11)])
#: blocks and certificates of each append
GROUPS: list[tuple[Sequence[Block], dict[int, bytes]]] = [
    (BLOCKS[:1], {}),
    (BLOCKS[1:4], {2: b"certificate 2"}),
    ((), {1: b"certificate 1"}),
    (BLOCKS[4:5], {4: b"certificate 4"}),
    (BLOCKS[5:8], {}),
    ((), {8: b"certificate 8", 7: b"certificate 7"}),
    (BLOCKS[8:10], {}),
]
#: what the ledger has after so many of them
STATES = [
    (
        [block for blocks, _ in GROUPS[:count] for block in blocks],
        {height: c for _, certificates in GROUPS[:count] for height, c in certificates.items()},
    )
    for count in range(len(GROUPS) + 1)
]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment is full after two or three of the groups. No test needs a disk that really syncs."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(os, "fdatasync", lambda file: None)
    monkeypatch.setattr(sqlite_open_module, "SYNCHRONOUS", "OFF")
    monkeypatch.setattr(body_log_module, "SEGMENT_BYTES", 5000)
    monkeypatch.setattr(body_frames_module, "PIECE", 256)


class Crash(BaseException):
    """The process dies here."""


def state(store: SQLiteStore) -> tuple[list[Block], dict[int, bytes]]:
    blocks = list(store.iter_blocks())
    certificates = {block.header.height: store.certificate(block.header.height) for block in blocks}
    return blocks, {height: c for height, c in certificates.items() if c is not None}


def write(directory: Path, durability: str = "fsync", groups: int = len(GROUPS)) -> None:
    with closing(SQLiteStore(directory / "ledger.sqlite", durability, chain_id=CHAIN_ID)) as store:
        for blocks, certificates in GROUPS[:groups]:
            store.append(blocks, certificates)


def go_on(directory: Path, durability: str = "fsync", *, rows_ahead: bool = False) -> int:
    """Open the ledger; returns how many groups it has. Append the others: nothing is lost."""
    with closing(SQLiteStore(directory / "ledger.sqlite", durability, chain_id=CHAIN_ID)) as store:
        blocks, certificates = state(store)
        # After a power failure with `os`, a certificate may outlive the blocks that came with it.
        found = [there for there, _ in STATES].index(blocks) if rows_ahead else STATES.index((blocks, certificates))
        assert certificates.items() <= STATES[-1][1].items()
        assert verify_ledger(store).ok
        for blocks, certificates in GROUPS[found:]:
            store.append(blocks, certificates)
        assert state(store) == STATES[-1]
    with opened(directory / "ledger.sqlite") as store:
        assert state(store) == STATES[-1]
    (directory / "ledger.sqlite").unlink()
    with closing(SQLiteStore(directory / "ledger.sqlite", durability, chain_id=CHAIN_ID)) as store:
        assert state(store) == STATES[-1], "the log alone has everything"
    return found


class Disk:
    """Counts what is done to the disk, and dies at the `dies_at`-th operation, half-way through it."""

    def __init__(self, patch: pytest.MonkeyPatch, dies_at: int) -> None:
        self.operations = 0
        self._dies_at = dies_at
        write, sync = os.pwritev, os.fdatasync

        def pwritev(file: int, parts: Sequence[bytes], position: int) -> int:
            whole = b"".join(parts)
            if self._now():
                write(file, [whole[: random.Random(dies_at).randrange(len(whole))]], position)
                raise Crash
            # As little as the system may take.
            return write(file, [whole[: max(1, len(whole) // 2)]], position)

        def fdatasync(file: int) -> None:
            if self._now():
                raise Crash
            sync(file)
            if self._now():
                raise Crash

        patch.setattr(os, "pwritev", pwritev)
        patch.setattr(os, "fdatasync", fdatasync)

    def _now(self) -> bool:
        self.operations += 1
        return self.operations == self._dies_at


def crashes(tmp_path: Path, durability: str) -> Iterator[tuple[Path, int]]:
    """Directories as they are after a death at each point, with the number of appends that had returned."""
    for dies_at in range(1, 1000):
        place = tmp_path / str(dies_at)
        place.mkdir()
        (place / "new").mkdir()
        returned = 0
        with pytest.MonkeyPatch.context() as patch:
            store = SQLiteStore(place / "new" / "ledger.sqlite", durability, chain_id=CHAIN_ID)
            disk = Disk(patch, dies_at)
            try:
                for blocks, certificates in GROUPS:
                    store.append(blocks, certificates)
                    returned += 1
            except Crash:
                pass
            shutil.copytree(place / "new", place / "left")
        store.close()
        if disk.operations < dies_at:
            assert dies_at > 20
            return
        yield place / "left", returned


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_a_death_at_every_point_of_an_append(tmp_path: Path, durability: str) -> None:
    for directory, returned in crashes(tmp_path, durability):
        assert returned <= go_on(directory, durability) <= returned + 1


def test_a_power_failure_takes_rows_that_the_log_still_has(tmp_path: Path) -> None:
    """What SQLite has not synced is gone: its log, or all of it."""
    for directory, returned in crashes(tmp_path, "fsync"):
        for part in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (directory / part).unlink(missing_ok=True)
        assert returned <= go_on(directory) <= returned + 1


def test_a_power_failure_without_syncs_leaves_an_earlier_ledger(tmp_path: Path) -> None:
    """Rows may have reached the disk whose bodies have not: `os`."""
    source = random.Random(3)
    for case in range(30):
        place = tmp_path / str(case)
        place.mkdir()
        store = SQLiteStore(place / "a" / "ledger.sqlite", "os", chain_id=CHAIN_ID)
        count = source.randrange(1, len(GROUPS) + 1)
        for blocks, certificates in GROUPS[:count]:
            store.append(blocks, certificates)
        shutil.copytree(place / "a", place / "b")
        store.close()
        last = segment_path(place / "b", max(segment_numbers(place / "b")))
        size = last.stat().st_size
        hole = source.randrange(size)
        if case % 3 == 0:
            os.truncate(last, hole)
        elif case % 3 == 1:
            with last.open("r+b") as file:
                file.seek(hole)
                file.write(bytes(min(700, size - hole)))
        else:
            last.unlink()
        found = go_on(place / "b", "os", rows_ahead=True)
        assert found <= count


def tails(directory: Path, kept: int, last: Path) -> Iterator[Callable[[], None]]:
    """Ways to write the bytes behind `kept` of a segment badly."""
    whole = last.read_bytes()
    for end in [*range(kept, kept + 60, 7), (kept + len(whole)) // 2, len(whole) - 1]:
        yield lambda end=end: last.write_bytes(whole[:end])
        yield lambda end=end: last.write_bytes(whole[:end] + bytes(len(whole) - end))
        yield lambda end=end: last.write_bytes(whole[:end] + bytes([whole[end] ^ 4]) + whole[end + 1 :])
        yield lambda end=end: last.write_bytes(whole[:kept] + whole[kept:end][::-1])


def test_a_torn_tail_is_cut_off_and_is_no_damage(tmp_path: Path) -> None:
    write(tmp_path / "before", groups=1)
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    with closing(SQLiteStore(tmp_path / "after" / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
        store.append(*GROUPS[1])
    last = segment_path(tmp_path / "after", 1)
    kept = segment_path(tmp_path / "before", 1).stat().st_size
    for number, tear in enumerate(tails(tmp_path, kept, last)):
        tear()
        place = tmp_path / f"torn {number}"
        shutil.copytree(tmp_path / "before", place)
        shutil.copy(last, place)
        SQLiteStore(place / "ledger.sqlite", chain_id=CHAIN_ID).close()
        assert segment_path(place, 1).stat().st_size == kept, "else a whole frame in it may seem to follow a later one"
        assert go_on(place) == 1
    assert number > 40


def test_the_index_is_made_again_from_the_log(tmp_path: Path) -> None:
    write(tmp_path)
    columns = "SELECT * FROM blocks ORDER BY height"
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        before = connection.execute(columns).fetchall()
    with closing(SQLiteStore(tmp_path / "ledger.sqlite")) as store:
        store.replace(BLOCKS[2], b"another")
    (tmp_path / "ledger.sqlite").unlink()
    with closing(SQLiteStore(tmp_path / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
        assert store.certificate(3) == b"another"
        store.replace(BLOCKS[2], None)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        after = connection.execute(columns).fetchall()
    names = [row[:11] for row in before]
    assert [row[:11] for row in after] == names, "also the times of storing"
    (tmp_path / "ledger.sqlite").unlink()
    with pytest.raises(LedgerError, match="belongs to chain"):
        SQLiteStore(tmp_path / "ledger.sqlite", chain_id=OTHER_ID)


def test_what_is_damaged_in_the_log_is_passed_over_when_the_index_is_made_again(tmp_path: Path) -> None:
    write(tmp_path)
    whole = {number: segment_path(tmp_path, number).read_bytes() for number in segment_numbers(tmp_path)}
    assert len(whole) > 2
    for number, content in whole.items():
        for at in range(0, len(content), 97):
            segment_path(tmp_path, number).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            (tmp_path / "ledger.sqlite").unlink()
            with closing(SQLiteStore(tmp_path / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
                left = {height for height, _ in store.iter_headers()}
                assert all(store.block(height) == BLOCKS[height - 1] for height in left)
            lost = {block.header.height for block in BLOCKS} - left
            in_header = at < body_frames_module.FIRST_FRAME
            assert in_header or len(lost) <= 3, "a group"
            for other, bytes_of_it in whole.items():
                segment_path(tmp_path, other).write_bytes(bytes_of_it)


def test_a_transaction_that_looks_like_a_frame_is_none(tmp_path: Path) -> None:
    """Whoever writes it may know where it will be, and the bytes of other segments, but not the tag of this one."""
    write(tmp_path / "a", groups=1)
    frame = segment_path(tmp_path / "a", 1).read_bytes()[body_frames_module.FIRST_FRAME :]
    (block,) = chain_of_blocks([[b"-" * 10, frame]])
    with closing(SQLiteStore(tmp_path / "b" / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
        store.append([block])
    path = segment_path(tmp_path / "b", 1)
    content = path.read_bytes()
    at = content.index(frame)
    found = body_frames_module.read_frame
    with path.open("rb") as file:
        tag = body_frames_module.read_tag(file.fileno(), path, CHAIN_ID, 1)
        assert found(file.fileno(), body_frames_module.FIRST_FRAME, len(content), tag) is not None
        assert found(file.fileno(), at, len(content), tag) is None
        assert (
            body_frames_module.next_frame(file.fileno(), body_frames_module.FIRST_FRAME + 1, len(content), tag) is None
        )


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> Callable[[], None]:
    """Let a system call fail once it has done half of its work; returns what mends it."""
    whole = getattr(os, name)

    def fail(file: int, *rest: object) -> int:
        if name == "pwritev":
            whole(file, [b"".join(rest[0])[:100]], rest[1])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)
    return lambda: monkeypatch.setattr(os, name, whole)


@pytest.mark.parametrize("groups", range(len(GROUPS)))
def test_a_full_disk_costs_the_append_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
        for blocks, certificates in GROUPS[:groups]:
            store.append(blocks, certificates)
        files = {path: path.stat().st_size for path in tmp_path.glob("*.seg")}
        mend = failing(monkeypatch, "pwritev", errno.ENOSPC)
        for _ in range(2):
            with pytest.raises(LedgerError, match="No space left on device") as caught:
                store.append(*GROUPS[groups])
            assert "\n" not in str(caught.value)
            assert {path: path.stat().st_size for path in tmp_path.glob("*.seg")} == files
            assert state(store) == STATES[groups]
        mend()
        for blocks, certificates in GROUPS[groups:]:
            store.append(blocks, certificates)
        assert state(store) == STATES[-1]
    assert go_on(tmp_path) == len(GROUPS)


def test_after_a_failed_sync_nothing_is_written_until_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
        store.append(*GROUPS[0])
        mend = failing(monkeypatch, "fdatasync", errno.EIO)
        with pytest.raises(LedgerError, match="Input/output error"):
            store.append(*GROUPS[1])
        mend()
        with pytest.raises(LedgerError, match="cannot be synced"):
            store.append(*GROUPS[1])
        assert state(store) == STATES[1]
    assert go_on(tmp_path) in (1, 2)


def test_what_cannot_be_removed_after_a_failure_is_not_built_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
        store.append(*GROUPS[0])
        mend = [failing(monkeypatch, name, errno.EIO) for name in ("pwritev", "ftruncate")]
        for says in ("Input/output error", "cannot be removed"):
            with pytest.raises(LedgerError, match=says):
                store.append(*GROUPS[1])
        for each in mend:
            each()
    assert go_on(tmp_path) == 1


def test_a_segment_that_is_gone_or_too_short_is_found_without_reading_bodies(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    with opened(tmp_path / "whole" / "ledger.sqlite") as store:
        rows = store._reader.execute("SELECT segment, min(height), max(height) FROM blocks GROUP BY segment").fetchall()
        assert store.first_unreadable() is None
    assert len(rows) > 2
    for segment, lowest, highest in rows:
        for number, damage in enumerate((Path.unlink, lambda path: os.truncate(path, path.stat().st_size - 1))):
            place = tmp_path / f"{segment} {number}"
            shutil.copytree(tmp_path / "whole", place)
            damage(segment_path(place, segment))
            expected = highest if number else lowest
            with opened(place / "ledger.sqlite") as store:
                # The last bytes may be a frame without blocks.
                assert store.first_unreadable() in ((expected, None) if number else (expected,))
            with closing(SQLiteStore(place / "ledger.sqlite", chain_id=CHAIN_ID)) as store:
                bad = store.first_unreadable()
                assert bad is None or bad == verify_ledger(store).bad_height
                if bad is not None:
                    with pytest.raises(LedgerError, match=f"block {bad} is damaged"):
                        Chain(store, CHAIN_ID)
                for block in BLOCKS[lowest - 1 : highest]:
                    store.replace(block, None)
                assert store.first_unreadable() is None and verify_ledger(store).ok
                assert list(store.iter_blocks()) == BLOCKS


def test_a_flipped_bit_is_found_when_the_block_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    tamper(tmp_path / "ledger.sqlite", flip(3, 100))
    with opened(tmp_path / "ledger.sqlite") as store:
        with pytest.raises(LedgerError, match="the body of block 3 is damaged"):
            store.block(3)
        assert store.block(2) == BLOCKS[1] and store.block(4) == BLOCKS[3]
        report = verify_ledger(store)
        assert report.bad_height == 3


def test_two_writers_in_one_directory_are_refused(tmp_path: Path) -> None:
    """Whatever their indexes are called, the log would be the same."""
    with (
        closing(SQLiteStore(tmp_path / "ledger.sqlite", chain_id=CHAIN_ID)),
        pytest.raises(LedgerError, match="another process is writing"),
    ):
        SQLiteStore(tmp_path / "other.sqlite", chain_id=CHAIN_ID)
