"""The vote journal: a slot never changes, whatever happens to the process or the files; what is lost means silence."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from honeybadger.node import journal as module
from honeybadger.node import journal_files
from honeybadger.node.journal import LOST_MARGIN, RESERVE_BLOCK, Journal
from honeybadger.node.journal_files import JournalError

CHAIN = bytes(range(32))
OTHER_CHAIN = bytes(32)


def start(path: Path, first_epoch: int = 1, durability: Any = "os", chain_id: bytes = CHAIN, node: int = 1) -> Journal:
    return Journal(path, chain_id, node, durability, first_epoch)


def reopened(path: Path, first_epoch: int = 1) -> Journal:
    """The journal that a restart would find; closed, since only its memory is looked at."""
    journal = start(path, first_epoch)
    journal._release()
    return journal


def killed(source: Path, target: Path) -> Path:
    """What a kill would leave of `source`, whose journal is still open."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("votes-*.log"), key=lambda p: int(p.stem[6:]))


def three_batches(path: Path) -> tuple[Journal, Path, list[int]]:
    """A journal with three syncs, its segment, and where each begins (and the last ends)."""
    journal = start(path)
    (log,) = segments(path)
    bounds = [log.stat().st_size]
    for epoch in (1, 2, 3):
        for proposer in range(2):
            journal.remember(epoch, 1, proposer, 0, bytes([epoch, proposer]) * 4)
        journal.sync()
        bounds.append(log.stat().st_size)
    return journal, log, bounds


def held(journal: Journal) -> dict[tuple[int, int], bytes | None]:
    return {(e, p): journal.recall(e, 1, p, 0) for e in (1, 2, 3) for p in range(2)}


def expected(epochs: int) -> dict[tuple[int, int], bytes | None]:
    return {(e, p): bytes([e, p]) * 4 if e <= epochs else None for e in (1, 2, 3) for p in range(2)}


# --- slots


@pytest.mark.parametrize("durability", ["fsync", "os", "memory"])
def test_the_first_value_wins(tmp_path: Path, durability: str) -> None:
    journal = start(tmp_path / "j", durability=durability)
    assert journal.recall(1, 2, 3, 4) is None
    assert journal.remember(1, 2, 3, 4, b"a") == b"a"
    assert journal.remember(1, 2, 3, 4, b"b") == b"a"
    assert journal.recall(1, 2, 3, 4) == b"a"
    for other in [(2, 2, 3, 4), (1, 1, 3, 4), (1, 2, 2, 4), (1, 2, 3, 3)]:
        assert journal.recall(*other) is None
        assert journal.remember(*other, b"other") == b"other"
    assert journal.remember(1, 9, 0, 0, b"") == b""
    assert journal.remember(1, 9, 0, 0, b"x") == b""
    journal.sync()
    journal.close()
    assert (tmp_path / "j").exists() == (durability != "memory")


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_the_first_value_wins_for_ever(tmp_path: Path, durability: str) -> None:
    big = random.Random(1).randbytes(2_500_000)
    for attempt in range(4):
        journal = start(tmp_path, durability=durability)
        assert journal.silent_through == 0
        assert journal.remember(7, 2, 3, 4, bytes([attempt])) == b"\0"
        assert journal.remember(7, 0, 3, 0, big if not attempt else b"") == big
        assert journal.remember(8, 0, 3, attempt, b"new") == b"new"
        journal.sync()
        assert len(segments(tmp_path)) == 1
        journal.close()


def test_without_sync_nothing_is_written(tmp_path: Path) -> None:
    journal = start(tmp_path / "a")
    journal.remember(1, 1, 1, 0, b"a")
    assert reopened(killed(tmp_path / "a", tmp_path / "b")).recall(1, 1, 1, 0) is None
    journal.close()
    assert reopened(tmp_path / "a").recall(1, 1, 1, 0) == b"a"


def test_epochs_in_the_ledger_are_dropped(tmp_path: Path) -> None:
    three_batches(tmp_path)[0].close()
    journal = start(tmp_path, 3)
    assert journal.silent_through == 0
    assert held(journal) == {k: v if k[0] == 3 else None for k, v in expected(3).items()}
    journal.close()


# --- torn tails and damage


def test_torn_tail_at_every_byte(tmp_path: Path) -> None:
    _, log, bounds = three_batches(tmp_path / "a")
    whole = log.read_bytes()
    rng = random.Random(1)
    tails: list[Callable[[bytes], bytes]] = [
        lambda cut: b"",
        lambda cut: bytes(bounds[3] - bounds[2] - len(cut)),  # the size is there, the data is not
        lambda cut: rng.randbytes(bounds[3] - bounds[2] - len(cut)),
    ]
    for end in range(bounds[2], bounds[3]):
        for tail in tails:
            copy = killed(tmp_path / "a", tmp_path / "b")
            cut = whole[bounds[2] : end]
            (copy / log.name).write_bytes(whole[:end] + tail(cut))
            journal = start(copy)
            assert journal.silent_through == 0
            assert held(journal) == expected(2)
            assert journal.remember(3, 1, 0, 0, b"anew") == b"anew"
            journal.close()
            assert reopened(copy).recall(3, 1, 0, 0) == b"anew"


def test_last_batch_with_holes_is_torn(tmp_path: Path) -> None:
    _, log, bounds = three_batches(tmp_path / "a")
    whole = log.read_bytes()
    for position in range(bounds[2], bounds[3]):
        copy = killed(tmp_path / "a", tmp_path / "b")
        damaged = bytearray(whole)
        damaged[position] ^= 0x41
        (copy / log.name).write_bytes(damaged)
        journal = reopened(copy)
        assert journal.silent_through == 0
        assert held(journal) == expected(2)


@pytest.mark.parametrize("torn", [0, 5, 20])
def test_corruption_that_is_not_at_the_tail_means_silence(tmp_path: Path, torn: int) -> None:
    """Also if the last batch is torn besides: its beginning proves that the one before was synced."""
    journal, log, bounds = three_batches(tmp_path / "a")
    whole = log.read_bytes()[: bounds[3] - torn]
    for position in range(bounds[2]):
        copy = killed(tmp_path / "a", tmp_path / "b")
        damaged = bytearray(whole)
        damaged[position] ^= 0x41
        (copy / log.name).write_bytes(damaged)
        journal = reopened(copy)
        assert journal.silent_through == RESERVE_BLOCK, position
        assert set(held(journal).values()) == {None}
        assert reopened(copy).silent_through == RESERVE_BLOCK


def test_removed_middle_means_silence(tmp_path: Path) -> None:
    _, log, bounds = three_batches(tmp_path / "a")
    whole = log.read_bytes()
    for i in range(2):
        copy = killed(tmp_path / "a", tmp_path / "b")
        (copy / log.name).write_bytes(whole[: bounds[i]] + whole[bounds[i + 1] :])
        assert reopened(copy).silent_through == RESERVE_BLOCK


def test_what_was_durable_is_no_torn_tail(tmp_path: Path) -> None:
    three_batches(tmp_path)[0].close()
    journal = start(tmp_path)  # writes everything to a new segment and notes its length
    journal._release()
    (log,) = segments(tmp_path)
    log.write_bytes(log.read_bytes()[:-1])
    assert reopened(tmp_path).silent_through == RESERVE_BLOCK


def many_segments(path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 5) -> Journal:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    monkeypatch.setattr(module, "RECYCLE_BYTES", 100)
    journal = start(path)
    for epoch in range(1, epochs + 1):
        journal.remember(epoch, 1, 0, 0, bytes([epoch]) * 100)
        journal.sync()
    assert len(segments(path)) == epochs
    return journal


@pytest.mark.parametrize("number", range(5))
def test_missing_or_damaged_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    many_segments(tmp_path / "a", monkeypatch)
    paths = segments(tmp_path / "a")
    intact = reopened(killed(tmp_path / "a", tmp_path / "b"))
    assert intact.silent_through == 0
    assert all(intact.recall(e, 1, 0, 0) == bytes([e]) * 100 for e in range(1, 6))
    for content in (None, b"", paths[number].read_bytes()[:20], paths[number - 1].read_bytes()):
        copy = killed(tmp_path / "a", tmp_path / "b")
        (copy / paths[number].name).unlink()
        if content is not None:
            (copy / paths[number].name).write_bytes(content)
        for _ in range(2):
            assert reopened(copy).silent_through == RESERVE_BLOCK
        assert len(segments(copy)) == 1
    if number < 4:
        copy = killed(tmp_path / "a", tmp_path / "b")
        (copy / paths[number].name).write_bytes(paths[number].read_bytes()[:-1])
        assert reopened(copy).silent_through == RESERVE_BLOCK


def test_lost_journal(tmp_path: Path) -> None:
    journal = start(tmp_path / "a")
    journal.reserve(70)
    journal.close()
    copy = killed(tmp_path / "a", tmp_path / "b")
    segments(copy)[0].unlink()
    for first_epoch in (60, 61):
        assert reopened(copy, first_epoch).silent_through == 70 + RESERVE_BLOCK - 1
    # Nothing is left but the ledger, or not even that.
    assert reopened(tmp_path / "c", 5).silent_through == 4 + LOST_MARGIN
    assert reopened(tmp_path / "c", 6).silent_through == 4 + LOST_MARGIN
    assert reopened(tmp_path / "d").silent_through == 0
    assert start(tmp_path / "e", 5, "memory").silent_through == 4 + LOST_MARGIN
    assert start(tmp_path / "e", 1, "memory").silent_through == 0


def test_lost_or_damaged_reserve(tmp_path: Path) -> None:
    journal = start(tmp_path / "a")
    journal.remember(90, 1, 1, 1, b"far ahead")
    journal.close()
    content = (tmp_path / "a" / "reserve").read_bytes()
    for position in range(-1, len(content)):
        copy = killed(tmp_path / "a", tmp_path / "b")
        if position < 0:
            (copy / "reserve").unlink()
        else:
            (copy / "reserve").write_bytes(
                content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :]
            )
        for _ in range(2):
            journal = reopened(copy, 7)
            assert journal.silent_through == 90 + LOST_MARGIN
            assert journal.recall(90, 1, 1, 1) is None
    (copy / "reserve").write_bytes(b"")
    assert reopened(copy, 300).silent_through == 299 + LOST_MARGIN


def test_silence_and_votes_after_it_survive(tmp_path: Path) -> None:
    three_batches(tmp_path)[0].close()
    segments(tmp_path)[0].unlink()
    for attempt in range(3):
        journal = start(tmp_path, 2)
        assert journal.silent_through == RESERVE_BLOCK
        journal.reserve(RESERVE_BLOCK + 1)
        assert journal.remember(RESERVE_BLOCK + 1, 1, 0, 0, bytes([attempt])) == b"\0"
        journal.close()


def test_ledger_that_went_back(tmp_path: Path) -> None:
    journal = three_batches(tmp_path)[0]
    journal.prune(2)
    journal.close()
    reopened(tmp_path, 3)
    journal = reopened(tmp_path, 1)
    assert journal.silent_through == 2
    assert held(journal)[3, 0] is not None


def test_crash_at_every_step_of_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that dies before or after any change of a file loses no vote and does not cause silence."""
    for prepared in (False, True):
        for steps in range(100):
            path = tmp_path / f"{prepared}-{steps}"
            if prepared:
                three_batches(path)[0].close()
            left = steps

            def dying(function: Callable[..., Any]) -> Callable[..., Any]:
                def wrapped(*args: Any, **kwargs: Any) -> Any:
                    nonlocal left
                    if not left:
                        raise KeyboardInterrupt
                    left -= 1
                    return function(*args, **kwargs)

                return wrapped

            with monkeypatch.context() as patch:
                patch.setattr(os, "writev", dying(os.writev))
                patch.setattr(os, "fsync", dying(os.fsync))
                patch.setattr(Path, "replace", dying(Path.replace))
                patch.setattr(Path, "unlink", dying(Path.unlink))
                try:
                    start(path, durability="fsync").close()
                    finished = True
                except KeyboardInterrupt:
                    finished = False
            journal = reopened(path)
            assert journal.silent_through == 0
            assert held(journal) == expected(3 if prepared else 0)
            if finished:
                assert steps > 5
                break
        else:
            raise AssertionError("no end")


# --- refusals


def test_other_chain_and_other_format(tmp_path: Path) -> None:
    three_batches(tmp_path)[0].close()
    with pytest.raises(JournalError, match="another chain"):
        start(tmp_path, chain_id=OTHER_CHAIN)
    (tmp_path / "reserve").unlink()
    with pytest.raises(JournalError, match="another chain"):
        start(tmp_path, chain_id=OTHER_CHAIN)
    with pytest.raises(JournalError, match="32 bytes"):
        start(tmp_path, chain_id=b"short")


def test_the_journal_of_another_node(tmp_path: Path) -> None:
    start(tmp_path / "j", node=2).close()
    before = {path.name: path.read_bytes() for path in (tmp_path / "j").iterdir()}
    with pytest.raises(JournalError, match="belongs to node 2, not to node 1"):
        start(tmp_path / "j", node=1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "j").iterdir()} == before
    start(tmp_path / "j", node=2).close()


def test_newer_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        for place in (module, journal_files):
            patch.setattr(place, "FORMAT", 3)
        three_batches(tmp_path)[0].close()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(JournalError, match="format 3"):
        start(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = start(tmp_path)
    with pytest.raises(JournalError, match="another process") as caught:
        start(tmp_path)
    assert "\n" not in str(caught.value)
    journal.close()
    journal.close()
    start(tmp_path).close()


def test_closed(tmp_path: Path) -> None:
    journal = start(tmp_path)
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.remember(1, 1, 1, 1, b"")


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="cannot open") as caught:
        start(tmp_path / "file" / "j")
    assert "\n" not in str(caught.value)


# --- durability


def test_fdatasync_before_sync_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def spy(descriptor: int) -> None:
        calls.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", spy)
    journal = start(tmp_path / "a", durability="fsync")
    journal.sync()
    assert calls == []
    for count in range(1, 4):
        journal.remember(1, 1, 1, count, b"value")
        journal.remember(1, 1, 2, count, b"value")
        journal.sync()
        journal.sync()
        # Once per sync, and with everything written: nothing comes after it.
        assert len(calls) == count
        assert calls[-1] == segments(tmp_path / "a")[0].stat().st_size
    journal.close()
    journal = start(tmp_path / "b", durability="os")
    journal.remember(1, 1, 1, 1, b"value")
    journal.sync()
    assert len(calls) == 3


def test_new_files_are_synced_with_their_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    real = os.fsync

    def spy(descriptor: int) -> None:
        log.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        real(descriptor)

    journal = start(tmp_path / "j", durability="fsync")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", spy)
        patch.setattr(module, "SEGMENT_BYTES", 0)
        journal.reserve(1)
        assert log == ["reserve.new", "j"]
        journal.reserve(RESERVE_BLOCK)
        assert len(log) == 2
        journal.remember(1, 1, 1, 1, b"v")
        journal.sync()
        assert log[2:] == ["votes-2.log", "j", "reserve.new", "j"]
    journal.close()


@pytest.mark.parametrize("broken", ["writev", "fdatasync", "fsync"])
def test_failure_sticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    journal = start(tmp_path, durability="fsync")
    journal.remember(1, 1, 1, 1, b"a")
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(os, broken, fail)
        with pytest.raises(JournalError, match="No space left") as caught:
            journal.sync()
        assert "\n" not in str(caught.value)
    calls: list[Callable[[], object]] = [
        journal.sync,
        lambda: journal.remember(1, 1, 1, 1, b"a"),
        lambda: journal.remember(2, 1, 1, 1, b"a"),
        lambda: journal.recall(1, 1, 1, 1),
        lambda: journal.reserve(1),
        lambda: journal.prune(1),
    ]
    for call in calls:
        with pytest.raises(JournalError, match="No space left"):
            call()
    journal.close()
    assert reopened(tmp_path).silent_through == 0


def test_interrupted_write_sticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = start(tmp_path)
    journal.remember(1, 1, 1, 1, b"a")

    def interrupt(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.sync()
    with pytest.raises(JournalError):
        journal.sync()


def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda fd, parts: real(fd, b"".join(parts)[:7]))
        patch.setattr(os, "write", lambda fd, part: real(fd, bytes(part)[:7]))
        three_batches(tmp_path)[0].close()
    journal = reopened(tmp_path)
    assert journal.silent_through == 0
    assert held(journal) == expected(3)


WRITER = """
import sys, random
from pathlib import Path
from honeybadger.node import journal as module
module.SEGMENT_BYTES = 20_000
module.RECYCLE_BYTES = 5_000
journal = module.Journal(Path(sys.argv[1]), bytes(range(32)), 1, sys.argv[2], int(sys.argv[3]))
assert journal.silent_through == 0
rng = random.Random(int(sys.argv[3]))
for epoch in range(int(sys.argv[3]), 1 << 30):
    journal.reserve(epoch)
    for step in range(3):
        said = [journal.remember(epoch, step, p, 0, rng.randbytes(rng.choice([1, 32, 700]))).hex() for p in range(4)]
        journal.sync()
        print(epoch, step, *said, flush=True)
    journal.prune(epoch - 3)
"""


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_kill_at_random_times(tmp_path: Path, durability: str) -> None:
    rng = random.Random(7)
    first, said = 1, dict[tuple[int, int, int], str]()
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "j"), durability, str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            lines = [process.stdout.readline()]
            time.sleep(rng.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        for line in lines:
            fields = line.split()
            if line.endswith("\n"):
                for proposer, value in enumerate(fields[2:]):
                    slot = (int(fields[0]), int(fields[1]), proposer)
                    assert said.setdefault(slot, value) == value
        last = max(epoch for epoch, _, _ in said)
        first = max(first, last - 2)
        journal = start(tmp_path / "j", first)
        assert journal.silent_through == 0
        assert len(segments(tmp_path / "j")) == 1
        for (epoch, step, proposer), value in said.items():
            if epoch >= first:
                assert journal.recall(epoch, step, proposer, 0) == bytes.fromhex(value)
        journal.close()
    assert len(said) > 100


# --- bounds


def test_pruning_frees_files_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = many_segments(tmp_path, monkeypatch)
    journal.prune(3)
    assert [p.name for p in segments(tmp_path)] == ["votes-4.log", "votes-5.log"]
    assert set(journal._slots) == {4, 5}
    assert journal.recall(3, 1, 0, 0) is None
    assert journal.recall(4, 1, 0, 0) is not None
    journal.prune(2)
    journal.prune(5)
    assert [p.name for p in segments(tmp_path)] == ["votes-6.log"]
    assert not journal._slots
    # A committed epoch may still be served; that costs no memory.
    assert journal.remember(5, 1, 7, 0, b"late") == b"late"
    assert not journal._slots
    journal.close()
    journal = reopened(tmp_path, 6)
    assert journal.silent_through == 0


def test_unsynced_votes_survive_pruning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = many_segments(tmp_path, monkeypatch)
    journal.remember(6, 1, 0, 0, b"x")
    journal.prune(5)
    journal.close()
    assert reopened(tmp_path, 6).recall(6, 1, 0, 0) == b"x"


def test_disk_and_memory_stay_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100_000)
    monkeypatch.setattr(module, "RECYCLE_BYTES", 25_000)
    journal = start(tmp_path)
    for epoch in range(1, 300):
        journal.reserve(epoch)
        journal.remember(epoch, 0, 0, 0, bytes(5000))
        journal.sync()
        journal.prune(epoch - 2)
        assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 250_000
        assert len(journal._slots) <= 2
    journal.close()


def test_reserve_survives(tmp_path: Path) -> None:
    journal = start(tmp_path)
    for epoch in range(1, 3 * RESERVE_BLOCK):
        journal.reserve(epoch)
        copy = killed(tmp_path, tmp_path.parent / "copy") if epoch % 21 == 0 else None
        if copy:
            segments(copy)[0].unlink()
            assert epoch <= reopened(copy).silent_through < epoch + RESERVE_BLOCK
    journal.close()
    for _ in range(2):
        journal = start(tmp_path)
        journal.close()
    segments(tmp_path)[0].unlink()
    assert reopened(tmp_path).silent_through == 3 * RESERVE_BLOCK


def test_sync_reserves_by_itself(tmp_path: Path) -> None:
    journal = start(tmp_path)
    journal.remember(500, 1, 1, 1, b"a")
    journal.close()
    segments(tmp_path)[0].unlink()
    assert reopened(tmp_path).silent_through >= 500


# --- model


class AgainstAModel(RuleBasedStateMachine):
    """Two dicts: what was synced must be there after anything; what was not synced may be."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = module.SEGMENT_BYTES, module.RECYCLE_BYTES
        module.SEGMENT_BYTES, module.RECYCLE_BYTES = 300, 200
        self.base = Path(tempfile.mkdtemp(prefix="journal-"))
        self.path = self.base / "j"
        self.first = 1
        self.synced: dict[tuple[int, int, int, int], bytes] = {}
        self.pending: dict[tuple[int, int, int, int], bytes] = {}
        self.journal = start(self.path)

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.base)
        module.SEGMENT_BYTES, module.RECYCLE_BYTES = self.sizes

    @rule(ahead=st.integers(0, 3), vote=st.integers(0, 2), proposer=st.integers(0, 1), value=st.binary(max_size=40))
    def remember(self, ahead: int, vote: int, proposer: int, value: bytes) -> None:
        slot = (self.first + ahead, vote, proposer, 0)
        wanted = self.synced.get(slot, self.pending.get(slot, value))
        assert self.journal.remember(*slot, value) == wanted
        if slot not in self.synced:
            self.pending[slot] = wanted

    @rule()
    def sync(self) -> None:
        self.journal.sync()
        self.synced |= self.pending
        self.pending.clear()

    @rule(forward=st.integers(0, 3))
    def prune(self, forward: int) -> None:
        self.first += forward
        self.journal.prune(self.first - 1)
        self.forget()

    @rule()
    def close(self) -> None:
        self.sync()
        self.journal.close()
        self.journal = start(self.path, self.first)

    @rule(back=st.integers(0, 2), torn=st.binary(max_size=30), keep=st.integers(0, 10_000))
    def kill(self, back: int, torn: bytes, keep: int) -> None:
        """While a sync was writing: some of its frame is there, with a garbled end."""
        log = segments(self.path)[-1]
        before = log.stat().st_size
        extra = b""
        if self.pending and before <= module.SEGMENT_BYTES:
            self.journal.sync()
            frame = log.read_bytes()[before:]
            extra = frame[: keep % len(frame)]
            extra += torn[: len(frame) - len(extra) - 1]
            if frame.startswith(extra):
                extra = extra[:-1]
            os.truncate(log, before)
            with log.open("ab") as file:
                file.write(extra)
        self.journal._release()
        self.pending.clear()
        self.journal = start(self.path, self.first)
        for slot, value in self.synced.items():
            assert self.journal.recall(*slot) == value

    @invariant()
    def same(self) -> None:
        assert self.journal.silent_through == 0
        for slot, value in (self.synced | self.pending).items():
            assert self.journal.recall(*slot) == value
        assert sum(map(len, self.journal._slots.values())) == len(self.synced) + len(self.pending)

    def forget(self) -> None:
        for slots in (self.synced, self.pending):
            for slot in [slot for slot in slots if slot[0] < self.first]:
                del slots[slot]


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_votes_are_listed_by_epoch(tmp_path):
    journal = Journal(tmp_path / "j", CHAIN, 1, "os", 1)
    journal.remember(7, 4, 2, 1, b"b")
    journal.remember(7, 4, 2, 0, b"a")
    journal.remember(5, 2, 0, 0, b"c")
    journal.close()
    again = Journal(tmp_path / "j", CHAIN, 1, "os", 5)
    assert again.epochs() == [5, 7]
    assert again.votes(7) == [(4, 2, 0, b"a"), (4, 2, 1, b"b")]
    assert again.votes(6) == []
    again.prune(5)
    assert again.epochs() == [7]
    again.close()


def test_the_first_value_wins_even_if_a_pruned_slot_was_written_twice(tmp_path):
    """A pruned epoch is written but not kept; should the node come back to it, what it said first must count."""
    journal = Journal(tmp_path / "j", CHAIN, 1, "os", 1)
    journal.prune(5)
    assert journal.remember(5, 4, 0, 0, b"first") == b"first"
    journal.remember(5, 4, 0, 0, b"second")
    journal.sync()
    journal.close()
    again = Journal(tmp_path / "j", CHAIN, 1, "os", 5)
    assert again.recall(5, 4, 0, 0) == b"first"
    again.close()


def test_a_lost_journal_is_noticed_by_the_ledger_even_if_no_block_was_certified(tmp_path):
    journal = Journal(tmp_path / "j", CHAIN, 1, "os", 1, ledger_epoch=4)
    assert journal.silent_through == 4 + LOST_MARGIN
    journal.close()


@pytest.mark.parametrize("size", [journal_files.LONG - 1, journal_files.LONG, 70_000, 1_000_000])
@pytest.mark.parametrize("short_writes", [False, True])
def test_long_values_are_written_from_where_they_are(
    tmp_path: Path, size: int, short_writes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if short_writes:
        monkeypatch.setattr(os, "writev", lambda fd, parts: os.write(fd, b"".join(parts)[:5000]))
    values = {(2, proposer): random.Random(proposer).randbytes(size + proposer) for proposer in range(3)}
    journal = start(tmp_path)
    for (vote, proposer), value in values.items():
        journal.remember(3, vote, proposer, 0, value)
        journal.remember(3, 4, proposer, 0, b"short")
    journal.sync()
    journal.remember(4, 2, 0, 0, b"in the next frame")
    journal.close()
    again = start(tmp_path)
    assert {(vote, proposer): value for vote, proposer, _, value in again.votes(3) if vote == 2} == values
    assert again.votes(4) == [(2, 0, 0, b"in the next frame")]
    again.close()
