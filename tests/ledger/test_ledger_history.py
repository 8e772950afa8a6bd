"""The history is exact: against a plain dict, with colliding fingerprints, in files, and while being compacted."""

import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.ledger import AllEqual, numbered

from honeybadger.ledger import History, encode_body
from honeybadger.ledger import history as history_module
from honeybadger.ledger import segment as segment_module
from honeybadger.transactions import U64, Reader


class ThreeValues(AllEqual):
    """The fingerprint of a short transaction is one of three, by its length."""

    def multipliers(self, count: int) -> U64:
        return np.array([1 << 63, *[0] * (count - 1)], np.uint64)


def found(history: History, asked: list[bytes]) -> dict[bytes, int]:
    """What of `asked` is committed, and at what height."""
    return {t: height for t, height in zip(asked, history.find(asked).tolist(), strict=True) if height}


class Bodies:
    """Bodies by height, counting how often one is opened."""

    def __init__(self) -> None:
        self.bodies: dict[int, bytes] = {}
        self.opened: list[int] = []

    @contextmanager
    def open(self, height: int) -> Iterator[Reader]:
        self.opened.append(height)
        yield self.bodies[height]

    def add(self, history: History, height: int, transactions: Sequence[bytes]) -> None:
        self.bodies[height] = encode_body(transactions)
        history.add(height, transactions)


SOAK = [pytest.param(spill, compacting, marks=pytest.mark.soak) for spill, compacting in [(1 << 20, True), (0, True)]]


@pytest.mark.parametrize(("spill", "compacting"), [(1 << 20, False), (100, True), *SOAK])
def test_against_a_dict(spill: int, compacting: bool, tmp_path: Path) -> None:
    source = random.Random(11)
    bodies = Bodies()
    history = History(bodies.open, directory=tmp_path, spill_entries=spill)
    expected: dict[bytes, int] = {}
    for height in range(1, 80):
        new = [source.randbytes(source.randrange(4, 9)) for _ in range(source.randrange(60))]
        new = [t for t in dict.fromkeys(new) if t not in expected]
        bodies.add(history, height, new)
        expected.update(dict.fromkeys(new, height))
        if compacting:
            history.compact()
        asked = source.sample(sorted(expected), min(30, len(expected))) + [source.randbytes(6) for _ in range(30)]
        assert found(history, asked) == {t: expected[t] for t in asked if t in expected}
    assert len(history) == len(expected)
    assert found(history, list(expected)) == expected
    assert len(history._runs) <= (12 if compacting else history_module.MOST_RUNS)
    if compacting:
        assert any(isinstance(run.fingerprints, np.memmap) for run in history._runs) == (spill <= 100)
    assert not list(tmp_path.iterdir()), "temporary files must be unlinked"


@pytest.mark.parametrize("many", [1, 1000])
def test_forced_collisions_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """All fingerprints fall on three values: every hit has to be settled by the bytes."""
    monkeypatch.setattr(history_module, "MANY_HITS", many)
    bodies = Bodies()
    history = History(bodies.open, ThreeValues(), spill_entries=10)
    expected: dict[bytes, int] = {}
    for height in range(1, 8):
        transactions = [b"%d" % (10**i + height) for i in range(1, 12)]
        bodies.add(history, height, transactions)
        expected.update(dict.fromkeys(transactions, height))
        if height % 2:
            history.compact()
    strangers = [b"%d" % (10**i + 77) for i in range(2, 12)]
    assert found(history, [*expected, *strangers]) == expected
    assert bodies.opened


@pytest.mark.parametrize("many", [1, 1000])
def test_a_fingerprint_alone_is_not_enough(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """A prefix, an extension and an embedded copy of a committed transaction are not committed."""
    monkeypatch.setattr(history_module, "MANY_HITS", many)
    bodies = Bodies()
    history = History(bodies.open, AllEqual())
    outer = b"head" + encode_body([b"inner"]) + b"tail"
    bodies.add(history, 1, [outer, b"abc"])
    assert found(history, [b"ab", b"abcd", b"inner", b"", b"head", outer, b"abc"]) == {outer: 1, b"abc": 1}


def test_unknown_transactions_open_no_body() -> None:
    bodies = Bodies()
    history = History(bodies.open)
    bodies.add(history, 1, numbered(5000))
    assert not history.find(numbered(5000, "other")).any()
    assert bodies.opened == []
    assert len(history.find([])) == 0
    assert found(history, numbered(5000)) == dict.fromkeys(numbered(5000), 1)
    assert bodies.opened == [1]


@pytest.mark.parametrize("directory", ["", "missing"])
def test_merge_in_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, directory: str) -> None:
    """Where temporary files cannot be written it costs memory only."""
    monkeypatch.setattr(segment_module, "PIECE", 64)
    bodies = Bodies()
    history = History(bodies.open, directory=tmp_path / directory, spill_entries=500)
    for height in range(1, 40):
        bodies.add(history, height, numbered(100, str(height)))
        history.compact()
    for run in history._runs:
        assert np.all(run.fingerprints[:-1] <= run.fingerprints[1:])
    assert any(isinstance(run.fingerprints, np.memmap) for run in history._runs) == (not directory)
    for height in range(1, 40):
        assert found(history, numbered(100, str(height))) == dict.fromkeys(numbered(100, str(height)), height)


def test_compaction_beside_adding_and_finding() -> None:
    bodies = Bodies()
    history = History(bodies.open, spill_entries=1000)
    stop = threading.Event()

    def compact() -> None:
        while not stop.is_set():
            history.compact()

    with ThreadPoolExecutor() as pool:
        worker = pool.submit(compact)
        try:
            for height in range(1, 100):
                bodies.add(history, height, numbered(40, str(height)))
                asked = numbered(40, str(height // 2 + 1))
                assert found(history, asked) == dict.fromkeys(asked, height // 2 + 1)
        finally:
            stop.set()
    worker.result()
    assert len(history) == 99 * 40


def test_runs_stay_geometric() -> None:
    for runs, first in (
        ([], -1),
        ([5], 0),
        ([100, 1], 1),
        ([1, 1], 0),
        ([100, 10, 9], 1),
        ([30, 10, 9], 0),
        ([3, 100, 1], 0),
    ):
        assert history_module._first_to_merge(runs) == first, runs
