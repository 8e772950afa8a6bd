"""Ledgers where nothing can be written, and under names that SQLite does not take as they are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.ledger import CHAIN_ID, fill, opened

from honeybadger.ledger import LedgerError, SQLiteStore, verify_ledger
from honeybadger.ledger.body_log import segment_path

#: a program that may write only where permissions let it: root loses the right to pass them over
HELD_TO_PERMISSIONS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if not os.getuid() else []
#: runs every command that reads, on each directory that the command line names
READER = """
import json, sys
from click.testing import CliRunner
from honeybadger.cli.main import cli
for directory in sys.argv[1:]:
    for command, *query in ["verify"], ["show"], ["export"], ["sql", "SELECT 'rows', count(*) FROM transactions"]:
        result = CliRunner().invoke(cli, ["ledger", command, directory, *query])
        print(json.dumps([result.exit_code, result.stdout, result.stderr]))
"""


def test_ledgers_on_a_read_only_medium_are_read_and_left_as_they_are(tmp_path: Path) -> None:
    """A stopped node's, and a killed one's: its last blocks are in the log that SQLite would move into the file."""
    if HELD_TO_PERMISSIONS and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere: apt-get install util-linux (setpriv), or run as another user")
    media = [tmp_path / name for name in ("killed", "killed, with its index", "stopped", "an empty log by a reader")]
    store = with_two_blocks(tmp_path / "ledger.sqlite")
    for medium, ends in zip(media, [("", "-wal"), ("", "-wal", "-shm"), ("",), ("",)], strict=True):
        if ends == ("",):
            store.close()
        medium.mkdir()
        for end in ends:
            shutil.copy(f"{store.path}{end}", medium)
        shutil.copy(segment_path(tmp_path, 1), medium)
    (media[-1] / "ledger.sqlite-wal").touch()
    for medium in media:
        for path in medium.iterdir():
            path.chmod(0o400)
        medium.chmod(0o500)
    before = {path: path.read_bytes() for medium in media for path in medium.iterdir()}
    run = subprocess.run(
        [*HELD_TO_PERMISSIONS, sys.executable, "-c", READER, *media],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert {path: path.read_bytes() for medium in media for path in medium.iterdir()} == before
    for medium in media:
        medium.chmod(0o700)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    for (status, out, err), says in zip(
        results, ["good: 2 blocks", "height 2", '"height": 2', "rows,"] * 4, strict=True
    ):
        assert status == 0 and says in out and not err, run


NAMES = ["//{0}/x", "{0}/a?b#c%41 d&mode=memory", "{0}/:memory:", "{0}/\udcff\udce9", "{0}/ä→", "{0}/a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_any_path_works(tmp_path: Path, name: str) -> None:
    path = Path(name.format(tmp_path).replace("///", "//")) / "ledger.sqlite"
    assert name[:2] != "//" or str(path)[:2] == "//"
    with_two_blocks(path).close()
    assert path.exists()
    check(path)


def test_a_path_too_long_for_sqlite_is_read_and_not_written(tmp_path: Path) -> None:
    """Once a killed node's ledger, once a stopped one's."""
    place = tmp_path.joinpath(*["d" * 200] * 5)
    place.mkdir(parents=True)
    store = with_two_blocks(tmp_path / "ledger.sqlite")
    for part in (store.path, f"{store.path}-wal", segment_path(tmp_path, 1)):
        shutil.copy(part, place)
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
    with opened(path) as store:
        report = verify_ledger(store)
        assert report.ok and report.blocks == 2
