"""docs/ledger.md lists the tables and views that there are. Its queries in SQL answer what it says of them, and its
Python prints the transactions."""

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from honeybadger.cli.ledger_sql import print_answer
from honeybadger.ledger import Chain, SQLiteStore
from honeybadger.ledger.sql import open_for_sql

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
CHAIN = b"c" * 32
#: the transactions of `path`; equal ones are committed once
BLOCKS = [[b"0 0", b"pay bob 7", b"\xff", b"0 1"], [b"1 0"], [b"2 0", b"2 1"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three blocks, stored in two seconds."""
    path = tmp_path / "ledger.sqlite"
    with closing(SQLiteStore(path, "os", chain_id=CHAIN)) as store:
        chain = Chain(store, CHAIN)
        for epoch, proposers in enumerate([(0, 1), (0,), (0, 1)]):
            chain.extend(epoch, [(node, [f"{epoch} {node}".encode(), b"pay bob 7", b"\xff"]) for node in proposers])
        chain.flush()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE blocks SET timestamp = 1e9 + 0.3 * height + (height = 3)")
    return path


def described(kind: str) -> dict[str, list[tuple[str, str]]]:
    """Of each table or view of the page: its columns, with their types."""
    sections = re.findall(rf"^### {kind} `(\w+)`\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {name: re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", text, re.MULTILINE) for name, text in sections}


def test_the_page_describes_every_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        real = {}
        for (name,) in names:
            columns = connection.execute('SELECT name, type, "notnull" OR pk FROM pragma_table_info(?)', (name,))
            real[name] = [(column, kind + (", may be NULL" if not never else "")) for column, kind, never in columns]
    assert real == described("Table") and len(real["blocks"]) == 15


def test_the_page_describes_every_view(path: Path) -> None:
    real = {}
    with open_for_sql(path) as connection:
        for (view,) in connection.execute("SELECT name FROM sqlite_temp_master WHERE type = 'view'").fetchall():
            names = [name for name, *_ in connection.execute(f"SELECT * FROM {view}").description]
            kinds = ", ".join(f"group_concat(DISTINCT upper(typeof({name})))" for name in names)
            row = connection.execute(f"SELECT {kinds} FROM {view}").fetchone()
            # A `text` may be NULL.
            real[view] = [(name, kind.replace(",NULL", ", may be NULL")) for name, kind in zip(names, row, strict=True)]
    assert real == described("View") and len(real) == 3


def queries() -> list[str]:
    commands = re.findall(r"^honeybadger ledger sql .*$", PAGE.replace("\\\n", " "), re.MULTILINE)
    return [shlex.split(command)[4] for command in commands]


def test_its_queries_answer_what_it_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for query in queries():
        print_answer(path, query, "json")
        answers.append(json.loads(capsys.readouterr().out))
    throughput, shares, place = answers
    assert throughput == [
        {"second": "2001-09-09 01:46:40", "blocks": 2, "transactions": 5, "MB": 19e-6},
        {"second": "2001-09-09 01:46:41", "blocks": 1, "transactions": 2, "MB": 6e-6},
    ]
    assert [(row["node"], row["blocks"], round(row["percent"])) for row in shares] == [(0, 3, 100), (1, 2, 67)]
    with closing(SQLiteStore(path, read_only=True)) as store:
        header = store.header(1)
    assert header is not None
    assert place == [{"height": 1, "position": 1, "epoch": 0, "block": header.hash.hex()}]


def test_its_python_decodes_the_bodies(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert code.count("runs/demo/node-0/data") == 1
    names: dict[str, Any] = {}
    exec(compile(code.replace("runs/demo/node-0/data", str(path.parent)), "ledger.md", "exec"), names)
    names["ledger"].close()
    lines = [f"{height} {block}" for height, block in enumerate(BLOCKS, 1)]
    assert capsys.readouterr().out.splitlines() == lines
