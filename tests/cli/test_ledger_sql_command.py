"""`honeybadger ledger sql` and `ledger show --text`: every format, for transactions that adversaries wrote."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ledger import put_body, tamper

from honeybadger.cli.ledger_sql import MOST_ROWS
from honeybadger.cli.terminal_text import escaped, shown
from honeybadger.ledger import Chain, SQLiteStore

CHAIN = b"c" * 32
TEXTS = ["pay bob 7", "\x1b[2J\x07", "a\rb", 'a\rb\nc,"d"', "\\n", "\u202ereversed\x9b", "ü"]
NO_TEXT = b"\xff\xfe"
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    store = SQLiteStore(tmp_path / "ledger.sqlite", "os", chain_id=CHAIN)
    chain = Chain(store, CHAIN)
    chain.extend(4, [(0, [*(text.encode() for text in TEXTS), NO_TEXT])])
    chain.extend(7, [(1, [b"last"])])
    chain.flush()
    store.close()
    return tmp_path


@pytest.fixture
def ask(run, data) -> Ask:
    return lambda query, *options: run("ledger", "sql", data, query, *options)


def test_json_is_faithful_and_fit_for_a_terminal(ask):
    status, out, err = ask("SELECT text, tx, 1.5 AS number FROM transactions WHERE height = 1", "--format", "json")
    assert (status, err) == (0, "") and out.replace("\n", "").isprintable()
    rows = [{"text": text, "tx": text.encode().hex(), "number": 1.5} for text in TEXTS]
    assert json.loads(out) == [*rows, {"text": None, "tx": "fffe", "number": 1.5}]


def test_csv_is_faithful(ask):
    status, out, _ = ask("SELECT text, tx AS 'a,b' FROM transactions WHERE height = 1", "--format", "csv")
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert status == 0
    assert rows == [["text", "a,b"], *([text, text.encode().hex()] for text in TEXTS), ["", "fffe"]]
    assert out.endswith(",fffe\n") and "\r\n" not in out


def test_a_table_is_terminal_safe_and_loses_nothing(ask):
    status, out, _ = ask("SELECT position, text AS '\x1b[1m', tx FROM transactions", "--format", "table")
    assert status == 0 and out.replace("\n", "").isprintable()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    written = [
        "pay bob 7",
        r"\u001b[2J\u0007",
        r"a\rb",
        r'a\rb\nc,"d"',
        r"\\n",
        r"\u202ereversed\u009b",
        "ü",
        "",
        "last",
    ]
    assert [cell[1] for cell in cells] == written
    assert r"\u001b[1m" in out and [cell[2] for cell in cells[-2:]] == ["fffe", "6c617374"]


def test_without_a_format_it_is_a_table_on_a_terminal_only(ask, monkeypatch):
    assert ask("SELECT 1 AS a")[1] == "a\n1\n"
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    assert "│ 1 │" in ask("SELECT 1 AS a")[1]


def test_a_table_has_an_end(ask):
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    status, out, err = ask(endless, "--format", "table")
    assert status == 0 and f"│ {MOST_ROWS} │" in out and str(MOST_ROWS + 1) not in out
    assert err == "only the first 1,000 rows; --format csv or json has all\n"
    exact = ask(f"{endless} LIMIT {MOST_ROWS}", "--format", "table")
    assert f"│ {MOST_ROWS} │" in exact[1] and exact[2] == ""


@pytest.mark.parametrize(
    ("form", "nothing"),
    [("csv", "height\n"), ("json", "[]\n"), ("table", "┏━━━━━━━━┓\n┃ height ┃\n┡━━━━━━━━┩\n└────────┘\n")],
)
def test_no_rows_are_an_answer(ask, form, nothing):
    assert ask("SELECT height FROM blocks WHERE height = 9", "--format", form) == (0, nothing, "")


def test_json_with_a_failure_half_way_cannot_be_read_as_all(ask, data):
    """The second block cannot be decoded."""
    tamper(data / "ledger.sqlite", put_body(2, b"\xc1"))
    status, out, err = ask("SELECT height FROM transactions", "--format", "json")
    assert status == 1 and err.startswith("error: block 2: body cannot be decoded") and err.count("\n") == 1
    assert out.startswith('[\n{"height": 1},\n')
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (" ", "the query is empty"),
        (" -- nothing", "the query is empty"),
        ("SELECT 1 AS a, 2 AS a", "two columns are called a; name one of them with AS"),
        (
            "SELECT 1 FROM nope",
            "no such table: nope; there are blocks, bodies, meta, proposers, segments, transactions",
        ),
    ],
)
def test_errors_are_one_line(ask, query, error):
    assert ask(query, "--format", "json") == (1, "", f"error: {error}\n")


def test_it_opens_a_file_and_a_directory_and_nothing_else(run, data):
    query = "SELECT max(height) AS top FROM blocks"
    assert run("ledger", "sql", data / "ledger.sqlite", query)[:2] == (0, "top\n2\n")
    status, _, err = run("ledger", "sql", data / "nothing", query)
    assert status == 1 and "no ledger here" in err and not (data / "nothing").exists()


def test_show_text(run, data):
    status, out, _ = run("ledger", "show", data, "--height", 1, "--text")
    lines = out.splitlines()
    assert status == 0 and out.replace("\n", "").isprintable() and lines[2].startswith("8 transactions, ")
    assert lines[3:] == [
        *(
            '"pay bob 7"',
            r'"\u001b[2J\u0007"',
            r'"a\rb"',
            r'"a\rb\nc,"d""',
            r'"\\n"',
            r'"\u202ereversed\u009b"',
            '"ü"',
            "fffe",
        )
    ]
    both = run("ledger", "show", data, "--text")[1].splitlines()
    assert both[1:12] == lines and both[12].startswith("height 2  epoch 7 ") and both[-1] == '"last"'
    last = run("ledger", "show", data, "--text", "--last", 1)[1].splitlines()
    assert last == [both[0], *both[12:]]
    assert run("ledger", "show", data, "--height", 2)[1].splitlines()[-1] == b"last".hex()


def test_text_of_every_character_can_be_told_apart_and_read_back():
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    line = escaped(every)
    assert line.isprintable() and json.loads('"' + line.replace('"', '\\"') + '"') == every
    assert shown(b"61") == '"61"' and shown(b"\xa1") == "a1"


def test_large_numbers_have_separators(run, tmp_path):
    store = SQLiteStore(tmp_path / "ledger.sqlite", "os", chain_id=CHAIN)
    chain = Chain(store, CHAIN)
    chain.extend(0, [(0, [b"%d" % number for number in range(1000, 3500)])])
    chain.flush()
    store.close()
    for command in (("show", tmp_path, "--height", 1), ("verify", tmp_path)):
        assert "2,500 transactions, 10,000 bytes, " in run("ledger", *command)[1]


def test_a_mistyped_column_is_answered_with_those_of_the_table(ask):
    line = "error: no such column: nope; transactions has height, position, tx, text, bytes\n"
    assert ask("SELECT nope FROM transactions") == (1, "", line)
