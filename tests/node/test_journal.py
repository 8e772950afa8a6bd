"""The vote journal: a slot never changes, whatever happens to the process or the files; what is lost means silence."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

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


def silent(path: Path, first_epoch: int = 1) -> int:
    """Through which epoch a node would say nothing after a restart."""
    return reopened(path, first_epoch).silent_through


def killed(source: Path, target: Path) -> Path:
    """What a kill would leave of `source`, whose journal is still open."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("votes-*.log"), key=lambda p: int(p.stem[6:]))


def damaged(source: Path, target: Path, name: str, content: bytes | None) -> Path:
    """What a kill would leave of `source`, with one file changed, or gone."""
    copy = killed(source, target)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    return copy


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :]


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


def held(journal: Journal) -> dict[tuple[int, int], bytes]:
    return {(epoch, proposer): value for epoch in journal.epochs() for _, proposer, _, value in journal.votes(epoch)}


def expected(*epochs: int) -> dict[tuple[int, int], bytes]:
    return {(e, p): bytes([e, p]) * 4 for e in epochs for p in range(2)}


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


def test_the_first_value_wins_even_if_a_pruned_slot_was_written_twice(tmp_path: Path) -> None:
    """A pruned epoch is written but not kept; should the node come back to it, what it said first must count."""
    journal = start(tmp_path)
    journal.prune(5)
    assert journal.remember(5, 4, 0, 0, b"first") == b"first"
    journal.remember(5, 4, 0, 0, b"second")
    journal.close()
    assert reopened(tmp_path, 5).recall(5, 4, 0, 0) == b"first"


def test_votes_are_listed_by_epoch_and_those_in_the_ledger_are_dropped(tmp_path: Path) -> None:
    three_batches(tmp_path)[0].close()
    journal = start(tmp_path, 2)
    assert (journal.silent_through, held(journal)) == (0, expected(2, 3))
    journal.remember(3, 1, 0, 1, b"next round")
    assert journal.votes(3) == [(1, 0, 0, b"\3\0" * 4), (1, 0, 1, b"next round"), (1, 1, 0, b"\3\1" * 4)]
    assert journal.votes(4) == []
    journal.prune(2)
    assert journal.epochs() == [3]
    journal.close()


def test_torn_tail_at_every_byte(tmp_path: Path) -> None:
    """Cut off, with the size there and not the data, with other data, or with holes."""
    _, log, bounds = three_batches(tmp_path / "a")
    whole = log.read_bytes()
    rng = random.Random(1)
    torn = [flipped(whole, position) for position in range(bounds[2], bounds[3])]
    for end in range(bounds[2], bounds[3]):
        torn += [whole[:end] + tail for tail in (b"", bytes(bounds[3] - end), rng.randbytes(bounds[3] - end))]
    for content in torn:
        copy = damaged(tmp_path / "a", tmp_path / "b", log.name, content)
        journal = start(copy)
        assert (journal.silent_through, held(journal)) == (0, expected(1, 2))
        assert journal.remember(3, 1, 0, 0, b"anew") == b"anew"
        journal.close()
        assert reopened(copy).recall(3, 1, 0, 0) == b"anew"


@pytest.mark.parametrize("torn", [0, 20, pytest.param(5, marks=pytest.mark.soak)])
def test_corruption_that_is_not_at_the_tail_means_silence(tmp_path: Path, torn: int) -> None:
    """Also if the last batch is torn besides: its beginning proves that the one before was synced."""
    _, log, bounds = three_batches(tmp_path / "a")
    whole = log.read_bytes()[: bounds[3] - torn]
    removed = [whole[: bounds[i]] + whole[bounds[i + 1] :] for i in range(2)]
    for content in [*removed, *(flipped(whole, position) for position in range(bounds[2]))]:
        copy = damaged(tmp_path / "a", tmp_path / "b", log.name, content)
        journal = reopened(copy)
        assert (journal.silent_through, held(journal)) == (RESERVE_BLOCK, {})
        assert silent(copy) == RESERVE_BLOCK


def test_what_was_durable_is_no_torn_tail(tmp_path: Path) -> None:
    three_batches(tmp_path)[0].close()
    reopened(tmp_path)  # writes everything to a new segment and notes its length
    (log,) = segments(tmp_path)
    log.write_bytes(log.read_bytes()[:-1])
    assert silent(tmp_path) == RESERVE_BLOCK


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
    content = paths[number].read_bytes()
    # The last segment may be torn.
    for wrong in [None, b"", content[:20], paths[number - 1].read_bytes(), *([content[:-1]] if number < 4 else [])]:
        copy = damaged(tmp_path / "a", tmp_path / "b", paths[number].name, wrong)
        for _ in range(2):
            assert silent(copy) == RESERVE_BLOCK
        assert len(segments(copy)) == 1


def test_lost_journal(tmp_path: Path) -> None:
    journal = start(tmp_path / "a")
    journal.reserve(70)
    journal.close()
    segments(tmp_path / "a")[0].unlink()
    for first_epoch in (60, 61):
        assert silent(tmp_path / "a", first_epoch) == 70 + RESERVE_BLOCK - 1
    # Nothing is left but the ledger, or not even that.
    assert silent(tmp_path / "c", 5) == 4 + LOST_MARGIN
    assert silent(tmp_path / "c", 6) == 4 + LOST_MARGIN
    assert silent(tmp_path / "d") == 0
    assert start(tmp_path / "e", 5, "memory").silent_through == 4 + LOST_MARGIN
    assert start(tmp_path / "e", 1, "memory").silent_through == 0
    uncertified = Journal(tmp_path / "f", CHAIN, 1, "os", 1, ledger_epoch=4)
    assert uncertified.silent_through == 4 + LOST_MARGIN, "though every epoch has to be run again"
    uncertified.close()


def test_lost_or_damaged_reserve(tmp_path: Path) -> None:
    journal = start(tmp_path / "a")
    journal.remember(90, 1, 1, 1, b"far ahead")
    journal.close()
    content = (tmp_path / "a" / "reserve").read_bytes()
    for wrong in (None, *(flipped(content, position) for position in range(len(content)))):
        copy = damaged(tmp_path / "a", tmp_path / "b", "reserve", wrong)
        for _ in range(2):
            journal = reopened(copy, 7)
            assert (journal.silent_through, journal.epochs()) == (90 + LOST_MARGIN, [])
    (copy / "reserve").write_bytes(b"")
    assert silent(copy, 300) == 299 + LOST_MARGIN


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
    assert (journal.silent_through, held(journal)) == (2, expected(3))


def test_crash_at_every_step_of_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that dies before or after any change of a file loses no vote and does not cause silence."""
    for epochs in ((), (1, 2, 3)):
        finished, steps = False, -1
        while not finished:
            steps += 1
            path = tmp_path / f"{len(epochs)}-{steps}"
            if epochs:
                three_batches(path)[0].close()
            left = iter(range(steps))

            def dying(function: Callable[..., Any], left: Iterator[int] = left) -> Callable[..., Any]:
                def wrapped(*args: Any) -> Any:
                    if next(left, None) is None:
                        raise KeyboardInterrupt
                    return function(*args)

                return wrapped

            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                for place, name in ((os, "pwritev"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
                    patch.setattr(place, name, dying(getattr(place, name)))
                start(path, durability="fsync").close()
                finished = True
            journal = reopened(path)
            assert (journal.silent_through, held(journal)) == (0, expected(*epochs))
        assert steps > 5


def test_what_is_refused_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "2", node=2).close()
    for name in ("other", "no reserve"):
        start(tmp_path / name, chain_id=OTHER_CHAIN).close()
    (tmp_path / "no reserve" / "reserve").unlink()
    with monkeypatch.context() as patch:
        for place in (module, journal_files):
            patch.setattr(place, "FORMAT", 3)
        three_batches(tmp_path / "newer")[0].close()
    for name, why in (
        ("2", "belongs to node 2, not to node 1"),
        ("newer", "format 3"),
        ("other", "another chain"),
        ("no reserve", "another chain"),
    ):
        before = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        with pytest.raises(JournalError, match=why):
            start(tmp_path / name, node=1)
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == before
    start(tmp_path / "2", node=2).close()


def test_one_process_at_a_time_and_none_after_the_end(tmp_path: Path) -> None:
    journal = start(tmp_path)
    with pytest.raises(JournalError, match=r"^.*another process.*$"):
        start(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.remember(1, 1, 1, 1, b"")
    start(tmp_path).close()


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match=r"^.*cannot open.*$"):
        start(tmp_path / "file" / "j")
    with pytest.raises(JournalError, match="32 bytes"):
        start(tmp_path, chain_id=b"short")


def test_fdatasync_before_sync_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: calls.append(os.fstat(descriptor).st_size))
    for durability, most in (("fsync", 3), ("os", 0)):
        calls.clear()
        journal = start(tmp_path / durability, durability=durability)
        for count in range(1, 4):
            journal.remember(1, 1, 1, count, b"value")
            journal.remember(1, 1, 2, count, b"value")
            journal.sync()
            journal.sync()
            # Once per sync, and with everything written: nothing comes after it.
            assert len(calls) == min(count, most)
            assert calls[-1:] in ([], [segments(tmp_path / durability)[0].stat().st_size])
        journal.close()


def test_new_files_are_synced_with_their_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(module, "SEGMENT_BYTES", 0)
    journal = start(tmp_path / "j", durability="fsync")
    monkeypatch.setattr(os, "fsync", lambda file: log.append(Path(f"/proc/self/fd/{file}").resolve().name))
    journal.reserve(1)
    assert log == ["reserve.new", "j"]
    journal.reserve(RESERVE_BLOCK)
    assert len(log) == 2
    journal.remember(1, 1, 1, 1, b"v")
    journal.sync()
    assert log[2:] == ["votes-2.log", "j", "reserve.new", "j"]
    journal.close()


@pytest.mark.parametrize("broken", ["pwritev", "fdatasync", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "^C"])
def test_failure_sticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException) -> None:
    journal = start(tmp_path, durability="fsync")
    journal.remember(1, 1, 1, 1, b"a")
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, Mock(side_effect=error))
        with pytest.raises((JournalError, KeyboardInterrupt)) as caught:
            journal.sync()
        if isinstance(error, OSError):
            assert "No space left" in str(caught.value) and "\n" not in str(caught.value)
    calls: list[Callable[[], object]] = [
        journal.sync,
        lambda: journal.remember(1, 1, 1, 1, b"a"),
        lambda: journal.remember(2, 1, 1, 1, b"a"),
        lambda: journal.recall(1, 1, 1, 1),
        lambda: journal.reserve(1),
        lambda: journal.prune(1),
    ]
    for call in calls:
        with pytest.raises(JournalError):
            call()
    journal.close()
    assert silent(tmp_path) == 0


WRITER = """
import os, random, sys
from pathlib import Path
from honeybadger.node import journal as module
module.SEGMENT_BYTES = 20_000
module.RECYCLE_BYTES = 5_000
for first in map(int, sys.stdin):
    if child := os.fork():
        os.waitpid(child, 0)
        print("\\nkilled", flush=True)
        continue
    journal = module.Journal(Path(sys.argv[1]), bytes(range(32)), 1, sys.argv[2], first)
    assert journal.silent_through == 0
    print(os.getpid(), flush=True)
    rng = random.Random(first)
    for epoch in range(first, 1 << 30):
        journal.reserve(epoch)
        for step in range(3):
            values = [rng.randbytes(rng.choice([1, 32, 700])) for _ in range(4)]
            said = [journal.remember(epoch, step, p, 0, value).hex() for p, value in enumerate(values)]
            journal.sync()
            print(epoch, step, *said, "end", flush=True)
        journal.prune(epoch - 3)
"""


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_kill_at_random_times(tmp_path: Path, durability: str) -> None:
    """One process imports the journal; those that are killed are forked from it."""
    rng = random.Random(7)
    first, said = 1, dict[tuple[int, int, int], str]()
    command = [sys.executable, "-c", WRITER, str(tmp_path / "j"), durability]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        for _ in range(12):
            print(first, file=process.stdin, flush=True)
            writer, to_come = int(process.stdout.readline()), rng.randrange(1, 60)
            for line in iter(process.stdout.readline, "killed\n"):
                to_come -= 1
                if to_come == 0:
                    os.kill(writer, signal.SIGKILL)
                if line.endswith(" end\n"):
                    epoch, step, *values, _ = line.split()
                    for proposer, value in enumerate(values):
                        assert said.setdefault((int(epoch), int(step), proposer), value) == value
            assert to_come <= 0, "it ended by itself"
            last = max(epoch for epoch, _, _ in said)
            first = max(first, last - 2)
            journal = start(tmp_path / "j", first)
            assert journal.silent_through == 0
            assert len(segments(tmp_path / "j")) == 1
            for (epoch, step, proposer), value in said.items():
                if epoch >= first:
                    assert journal.recall(epoch, step, proposer, 0) == bytes.fromhex(value)
            journal.close()
        process.stdin.close()
    assert len(said) > 100


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
    assert silent(tmp_path, 6) == 0


def test_unsynced_votes_survive_pruning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = many_segments(tmp_path / "a", monkeypatch)
    journal.remember(6, 1, 0, 0, b"x")
    journal.prune(5)
    assert reopened(killed(tmp_path / "a", tmp_path / "b"), 6).recall(6, 1, 0, 0) == b"x"
    journal.close()


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
    path, copy = tmp_path / "a", tmp_path / "b"
    journal = start(path)
    for epoch in range(1, 3 * RESERVE_BLOCK):
        journal.reserve(epoch)
        if epoch % 21 == 0:
            segments(killed(path, copy))[0].unlink()
            assert epoch <= silent(copy) < epoch + RESERVE_BLOCK
    journal.close()
    for _ in range(2):
        start(path).close()
    segments(killed(path, copy))[0].unlink()
    assert silent(copy) == 3 * RESERVE_BLOCK
    # A vote reserves its epoch by itself.
    journal = start(path)
    journal.remember(500, 1, 1, 1, b"a")
    journal.close()
    segments(path)[0].unlink()
    assert silent(path) >= 500


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
TestAgainstAModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("size", [1, journal_files.LONG - 1, journal_files.LONG, 1_000_000])
@pytest.mark.parametrize("short_writes", [False, True])
def test_long_values_are_written_from_where_they_are(
    tmp_path: Path, size: int, short_writes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if short_writes:
        taken, real = 7 + size // 100, os.pwrite
        monkeypatch.setattr(os, "pwritev", lambda fd, parts, place: real(fd, b"".join(parts)[:taken], place))
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
