"""Blocks reach the disk beside the main loop, and nothing that can wait comes before them."""

import threading
from contextlib import closing
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from honeybadger.ledger import Chain, LedgerError, SQLiteStore
from honeybadger.node.ledger_writer import LedgerWriter

CHAIN = b"c" * 32


class Watched:
    """A writer on a real ledger; `heights`: what was said to be durable."""

    def __init__(self, directory: Path) -> None:
        self.store = SQLiteStore(directory / "ledger.sqlite", "os", chain_id=CHAIN)
        self.chain = Chain(self.store, CHAIN, scratch=directory)
        self.heights: list[int] = []
        self.failures: list[Exception] = []
        self._told = Event()
        self.writer = LedgerWriter(self.chain, self._durable, self._failed)

    def _durable(self, height: int) -> None:
        self.heights.append(height)
        self._told.set()

    def _failed(self, error: Exception) -> None:
        self.failures.append(error)
        self._told.set()

    def commit(self) -> None:
        height = self.chain.height + 1
        self.chain.extend(height, [(0, [b"%d" % height])])
        self.writer.votes_synced()

    def wait(self, height: int) -> None:
        with gevent.Timeout(60):
            while height not in self.heights and not self.failures:
                self._told.wait()
                self._told.clear()


def test_a_block_does_not_wait_for_the_history_to_be_tidied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Watched(tmp_path)
    begun, may_end = threading.Event(), threading.Event()

    def tidy() -> None:
        begun.set()
        assert may_end.wait(60)

    monkeypatch.setattr(node.chain, "tidy", tidy)
    with closing(node.store):
        node.commit()
        node.wait(1)
        assert begun.wait(60)
        node.commit()
        node.wait(2)
        assert not may_end.is_set() and node.store.height() == 2
        may_end.set()
        node.writer.close()
    assert not node.failures


def test_an_orderly_stop_leaves_the_history_on_disk(tmp_path: Path) -> None:
    node = Watched(tmp_path)
    with closing(node.store):
        node.commit()
        node.commit()
        node.writer.close()
        assert node.heights[-1] == 2
    with closing(SQLiteStore(tmp_path / "ledger.sqlite", "os", chain_id=CHAIN)) as store:
        store.block = pytest.fail  # type: ignore[method-assign]
        assert Chain(store, CHAIN, scratch=tmp_path).committed([b"1", b"2", b"3"]).tolist() == [1, 2, 0]


@pytest.mark.parametrize("what", ["flush", "tidy"])
def test_a_failure_beside_the_main_loop_is_told_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    node = Watched(tmp_path)

    def fail(*_: object) -> None:
        raise LedgerError("the disk is gone")

    monkeypatch.setattr(node.chain, what, fail)
    with closing(node.store):
        node.commit()
        node.wait(99)
        assert [str(error) for error in node.failures] == ["the disk is gone"]
        node.writer.close()
        assert len(node.failures) == 1, "what has failed is not tried again"
