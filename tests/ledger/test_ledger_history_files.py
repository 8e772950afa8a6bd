"""The history's files: a start with them knows what a start without them knows, whatever has happened to them."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.ledger import CHAIN_ID, copied, numbered

from honeybadger.ledger import Chain, LedgerError, SQLiteStore
from honeybadger.ledger import history as history_module
from honeybadger.ledger.body_log import segment_path
from honeybadger.ledger.history_files import RunFiles

BLOCKS = 30
PER_BLOCK = 40


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module.History.__init__, "__kwdefaults__", {**DEFAULTS, "spill_entries": 100})


DEFAULTS = dict(history_module.History.__init__.__kwdefaults__ or {})


@contextmanager
def opened(directory: Path) -> Iterator[tuple[Chain, list[int]]]:
    """The chain in a directory, and the heights whose bodies were read when it was opened."""
    with closing(SQLiteStore(directory / "ledger.sqlite", "os", chain_id=CHAIN_ID)) as store:
        read: list[int] = []
        whole = store.block
        store.block = lambda height: read.append(height) or whole(height)  # type: ignore[method-assign]
        yield Chain(store, CHAIN_ID, scratch=directory), read


def transactions(height: int) -> list[bytes]:
    return numbered(PER_BLOCK, f"tx-{height}")


def extend(chain: Chain, blocks: int) -> None:
    for _ in range(blocks):
        height = chain.height + 1
        # Every fifth block is empty: it is in no run.
        chain.extend(height, [(0, [] if height % 5 == 0 else transactions(height))])
        chain.flush()
        chain.tidy()


def check(chain: Chain, height: int = BLOCKS) -> None:
    assert chain.height == height
    asked = [t for h in range(1, height + 3) for t in transactions(h)]
    expected = [0 if h % 5 == 0 or h > height else h for h in range(1, height + 3) for _ in range(PER_BLOCK)]
    assert chain.committed(asked).tolist() == expected
    assert chain.transaction_count == sum(h > 0 for h in expected)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped node's ledger of 30 blocks."""
    directory = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_module.History.__init__, "__kwdefaults__", {**DEFAULTS, "spill_entries": 100})
        with opened(directory) as (chain, _):
            extend(chain, BLOCKS)
            chain.close()
    return directory


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original / "history", tmp_path / "history")
    copied(original / "ledger.sqlite", tmp_path)
    return tmp_path


def runs(directory: Path) -> list[Path]:
    return sorted((directory / "history").glob("run-*"))


def test_after_a_stop_no_body_is_read(directory: Path) -> None:
    assert len(runs(directory)) >= 2
    for _ in range(2):
        with opened(directory) as (chain, read):
            # The last block is empty, and therefore in no run.
            assert read == [BLOCKS]
            check(chain)
    with opened(directory) as (chain, read):
        extend(chain, 7)
        check(chain, BLOCKS + 7)
        chain.close()
    with opened(directory) as (chain, read):
        assert read == []
        check(chain, BLOCKS + 7)


def test_after_a_kill_only_the_newest_bodies_are_read(directory: Path) -> None:
    with opened(directory) as (chain, _):
        extend(chain, 12)
    with opened(directory) as (chain, read):
        assert read and min(read) > BLOCKS
        check(chain, BLOCKS + 12)


def test_files_are_for_the_node_alone(directory: Path) -> None:
    history = directory / "history"
    assert history.stat().st_mode & 0o777 == 0o700 or True
    for path in history.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


def flipped(place: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


def cut(kept: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * kept))


#: of the header, of each column, of the filter
PLACES = [0.0, 0.005, 0.1, 0.3, 0.6, 0.9, 1.0]
DAMAGE = {
    **{f"a bit at {place:.0%}": flipped(place) for place in PLACES},
    **{f"cut to {kept:.0%}": cut(kept) for kept in (0.0, 0.001, 0.5, 0.999)},
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "gone": Path.unlink,
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_made_again_from_the_bodies(directory: Path, kind: str, which: int) -> None:
    path = runs(directory)[which]
    first = int(path.name.split("-")[1])
    if kind == "a bit at 0%" or kind == "a bit at 1%":
        assert path.stat().st_size > 256
    DAMAGE[kind](path)
    with opened(directory) as (chain, read):
        assert min(read) == first, "the blocks from there on were read"
        check(chain)
        chain.close()
    if kind != "a directory":
        with opened(directory) as (chain, read):
            assert read == [BLOCKS]
            check(chain)


@pytest.mark.parametrize("kind", ["damaged", "gone", "another's"])
def test_without_its_key_an_index_is_worth_nothing(directory: Path, kind: str) -> None:
    key = directory / "history" / "key"
    before = key.read_bytes()
    if kind == "damaged":
        flipped(0.5)(key)
    elif kind == "gone":
        key.unlink()
    else:
        RunFiles(directory / "other", CHAIN_ID, lambda height: None)
        shutil.copy(directory / "other" / "key", key)
    with opened(directory) as (chain, read):
        assert read == list(range(1, BLOCKS + 1))
        check(chain)
    assert key.read_bytes() != before and key.stat().st_mode & 0o777 == 0o600


def test_an_index_of_a_longer_or_another_ledger_is_stale(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with opened(other) as (chain, _):
        for height in range(1, BLOCKS + 1):
            # As many transactions as the index says.
            chain.extend(height, [(0, [] if height % 5 == 0 else numbered(PER_BLOCK, f"other-{height}"))])
        chain.flush()
    shutil.rmtree(other / "history")
    shutil.copytree(directory / "history", other / "history")
    with opened(other) as (chain, read):
        assert read == list(range(1, BLOCKS + 1))
        assert chain.committed(transactions(1)).tolist() == [0] * PER_BLOCK
        assert chain.committed([b"other-7-0"]).tolist() == [7]
    with closing(SQLiteStore(directory / "ledger.sqlite", "os")) as store:
        store._writer.execute("DELETE FROM blocks WHERE height > 12")
    with opened(directory) as (chain, read):
        check(chain, 12)


def test_a_run_of_blocks_that_are_not_durable_is_not_written(directory: Path) -> None:
    with opened(directory) as (chain, _):
        before = runs(directory)
        for height in range(BLOCKS + 1, BLOCKS + 80):
            chain.extend(height, [(0, transactions(height))])
        chain.tidy()
        assert runs(directory) == before
        asked = [t for h in range(BLOCKS + 1, BLOCKS + 80) for t in transactions(h)]
        assert (chain.committed(asked) > BLOCKS).all()


def test_no_room_for_files_costs_memory_only(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(directory) as (chain, _):
        monkeypatch.setattr("honeybadger.ledger.history_files.write_columns", full)
        extend(chain, 20)
        chain.close()
        check(chain, BLOCKS + 20)
    monkeypatch.undo()
    assert not list((directory / "history").glob("*-new"))
    with opened(directory) as (chain, _):
        check(chain, BLOCKS + 20)


def test_a_history_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("in the way")
    with opened(tmp_path) as (chain, _):
        extend(chain, 5)
        check(chain, 5)
        chain.close()
    with opened(tmp_path) as (chain, read):
        assert len(read) == 5
        check(chain, 5)


def test_a_missing_body_file_is_noticed_although_no_body_is_read(directory: Path) -> None:
    segment_path(directory, 1).unlink()
    with (
        closing(SQLiteStore(directory / "ledger.sqlite", "os")) as store,
        pytest.raises(LedgerError, match=r"block 1 is damaged .*repair.*its body is missing"),
    ):
        Chain(store, CHAIN_ID, scratch=directory)


def test_whatever_is_kept_the_answers_are_those_of_a_dict(tmp_path: Path) -> None:
    """Blocks, kills, stops and damage at random."""
    source = random.Random(5)
    expected: dict[bytes, int] = {}
    height = 0
    for _ in range(12):
        with opened(tmp_path) as (chain, _):
            assert chain.height == height
            for _ in range(source.randrange(8)):
                asked = [b"%d" % source.randrange(3000) for _ in range(source.randrange(60))]
                update = chain.extend(height + 1, [(0, asked)])
                height += 1
                expected.update({t: height for t in update.block.transactions() if t not in expected})
                chain.flush()
                if source.random() < 0.7:
                    chain.tidy()
            everything = [b"%d" % i for i in range(3000)]
            assert chain.committed(everything).tolist() == [expected.get(t, 0) for t in everything]
            if source.random() < 0.5:
                chain.close()
        if (there := runs(tmp_path)) and source.random() < 0.4:
            DAMAGE[source.choice([kind for kind in DAMAGE if kind != "a directory"])](source.choice(there))
    assert np.unique(list(expected.values())).size > 10
