"""Ledgers where nothing can be written, and under names that SQLite does not take as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_helpers import CHAIN_ID, fill

from honeybadger.ledger import LedgerError, SQLiteStore, verify_ledger

#: a program that may write only where permissions let it: root loses the right to pass them over
HELD_TO_PERMISSIONS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if not os.getuid() else []


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[Path]:
    """A directory to be made read-only."""
    if HELD_TO_PERMISSIONS and shutil.which("setpriv") is None:
        pytest.skip("root without setpriv may write anywhere")
    directory = tmp_path / "medium"
    directory.mkdir()
    yield directory
    directory.chmod(0o700)


def read(medium: Path) -> None:
    """Make the medium read-only; `verify`, `show` and `export` must find two blocks, and leave everything as it is."""
    for path in medium.iterdir():
        path.chmod(0o400)
    medium.chmod(0o500)
    before = {path.name: path.read_bytes() for path in medium.iterdir()}
    for command, says in (("verify", "good: 2 blocks"), ("show", "height 2"), ("export", '"height": 2')):
        run = [*HELD_TO_PERMISSIONS, sys.executable, "-m", "honeybadger.cli.main", "ledger", command, str(medium)]
        result = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0 and says in result.stdout and not result.stderr, result
    assert {path.name: path.read_bytes() for path in medium.iterdir()} == before


def test_a_stopped_node_s_ledger_is_read_from_a_read_only_medium(medium: Path) -> None:
    with_two_blocks(medium / "ledger.sqlite").close()
    read(medium)


@pytest.mark.parametrize("copied", [("",), ("", "-wal"), ("", "-wal", "-shm")])
def test_a_killed_node_s_ledger_is_read_from_a_read_only_medium(
    tmp_path: Path, medium: Path, copied: tuple[str, ...]
) -> None:
    """Its last blocks are in the log that SQLite would move into the file."""
    store = with_two_blocks(tmp_path / "ledger.sqlite")
    if len(copied) == 1:
        # What a reader that came before it has left: an empty log.
        SQLiteStore(tmp_path / "ledger.sqlite", read_only=True).close()
        store.close()
        (medium / "ledger.sqlite-wal").touch()
    for end in copied:
        shutil.copy(f"{store.path}{end}", medium)
    store.close()
    read(medium)


NAMES = ["//{0}/x", "{0}/a?b#c%41 d&mode=memory", "{0}/:memory:", "{0}/\udcff\udce9", "{0}/ä→", "{0}/a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_any_path_works(tmp_path: Path, name: str) -> None:
    path = Path(name.format(tmp_path).replace("///", "//")) / "ledger.sqlite"
    assert name[:2] != "//" or str(path)[:2] == "//"
    with_two_blocks(path).close()
    assert path.exists()
    check(path)


def test_a_path_too_long_for_sqlite_is_read_and_not_written(tmp_path: Path) -> None:
    """Once a stopped node's ledger, once a killed one's."""
    place = tmp_path.joinpath(*["d" * 200] * 5)
    place.mkdir(parents=True)
    store = with_two_blocks(tmp_path / "ledger.sqlite")
    for end in ("", "-wal"):
        shutil.copy(f"{store.path}{end}", place)
    check(place / "ledger.sqlite")
    store.close()
    (place / "ledger.sqlite-wal").unlink()
    shutil.copy(store.path, place)
    check(place / "ledger.sqlite")
    with pytest.raises(LedgerError, match="path is longer than the 504 bytes that SQLite takes"):
        SQLiteStore(place / "new.sqlite", chain_id=CHAIN_ID)
    assert not (place / "new.sqlite").exists()


def with_two_blocks(path: Path) -> SQLiteStore:
    store = SQLiteStore(path, "os", chain_id=CHAIN_ID)
    fill(store, 2)
    return store


def check(path: Path) -> None:
    store = SQLiteStore(path, read_only=True)
    try:
        report = verify_ledger(store)
        assert report.ok and report.blocks == 2
    finally:
        store.close()
