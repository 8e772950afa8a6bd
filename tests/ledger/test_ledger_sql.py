"""Questions in SQL: what the views hold, that nothing can be written, and what goes wrong in one line."""

import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from honeybadger.ledger import Block, Chain, LedgerError, SQLiteStore
from honeybadger.ledger.sql import open_for_sql

CHAIN = b"c" * 32
TRANSACTIONS = [b"pay bob 7", b"\xff\xfe", b"\x1b[2J\x00", "ü".encode(), b""]


@pytest.fixture
def store(tmp_path: Path):
    """A running writer: block 1 has two proposers, block 2 nothing, block 3 one transaction."""
    store = SQLiteStore(tmp_path / "ledger.sqlite", "os", chain_id=CHAIN)
    chain = Chain(store, CHAIN)
    for epoch, contributions in enumerate([[(0, TRANSACTIONS[:2]), (3, TRANSACTIONS[2:])], [], [(2, [b"last"])]]):
        chain.extend(epoch, contributions)
    chain.flush()
    yield store
    store.close()


def ask(store: SQLiteStore, query: str) -> list[tuple[object, ...]]:
    with open_for_sql(store.path) as connection:
        return connection.execute(query).fetchall()


def damage(store: SQLiteStore, sql: str) -> None:
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute(sql)
    connection.close()


def test_transactions_are_those_of_the_blocks_in_their_order(store):
    texts = ["pay bob 7", None, "\x1b[2J\x00", "ü", ""]
    rows = [
        (1, position, tx, text, len(tx)) for position, (tx, text) in enumerate(zip(TRANSACTIONS, texts, strict=True))
    ]
    assert ask(store, "SELECT * FROM transactions") == [*rows, (3, 0, b"last", "last", 4)]
    assert ask(store, "SELECT height, position FROM transactions WHERE tx = x'fffe'") == [(1, 1)]


def test_bodies_are_read_from_the_log(store):
    assert ask(store, "SELECT * FROM bodies") == [(block.header.height, block.body) for block in store.iter_blocks()]


def test_proposers_are_those_of_the_headers(store):
    assert ask(store, "SELECT * FROM proposers") == [(1, 0), (1, 3), (3, 2)]


def test_only_bodies_of_the_heights_asked_for_are_decoded(store):
    store.replace(Block(store.header(1), b"\xc1"), None)
    for condition in ("height = 3", "height > 1", "height = (SELECT max(height) FROM blocks)", "epoch = 2"):
        rows = ask(store, f"SELECT text FROM blocks JOIN transactions USING (height) WHERE {condition}")
        assert rows == [("last",)], condition
    with pytest.raises(LedgerError, match=r"^block 1: body cannot be decoded"):
        ask(store, "SELECT count(*) FROM transactions")


@pytest.mark.parametrize("place", ["body_at = '\x1b[2J'", "segment = -9", "body_bytes = 1 << 40", "body_at = 1000"])
def test_a_body_that_is_nowhere_is_named(store, place):
    damage(store, f"UPDATE blocks SET {place} WHERE height = 3")
    with pytest.raises(LedgerError, match=r"^block 3: ") as caught:
        ask(store, "SELECT * FROM transactions")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "DELETE FROM blocks",
            "UPDATE meta SET value = 2",
            "INSERT INTO segments VALUES (9, 1, 1)",
            "DROP TABLE segments",
        ),
        *("CREATE TEMP TABLE t (x)", "DROP VIEW transactions", "BEGIN", "REINDEX", "ANALYZE", "VACUUM"),
        *("ATTACH '{0}/other' AS other", "VACUUM INTO '{0}/other'", "DETACH main"),
        *("PRAGMA query_only = OFF", "PRAGMA journal_mode = DELETE", "PRAGMA writable_schema = ON"),
        *("SELECT load_extension('{0}/other')", "SELECT * FROM pragma_table_info('blocks')"),
        *("WITH t AS (SELECT 1) DELETE FROM blocks", "EXPLAIN DELETE FROM blocks"),
    ],
)
def test_whatever_is_no_select_is_refused(store, tmp_path, statement):
    before = store.path.read_bytes()
    with pytest.raises(LedgerError, match=r"^a ledger can only be read here, with SELECT"):
        ask(store, statement.format(tmp_path))
    assert store.path.read_bytes() == before and not (tmp_path / "other").exists()


def test_nor_could_the_connection_write_if_it_were_not_refused(store):
    for statement in ("DELETE FROM blocks", "CREATE TEMP TABLE t (x)"):
        with pytest.raises(LedgerError, match="readonly"), open_for_sql(store.path) as connection:
            connection.set_authorizer(None)
            connection.execute(statement)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("SELEC 1", 'near "SELEC": syntax error'),
        (
            "SELECT 1 FROM nope",
            "no such table: nope; there are blocks, bodies, meta, proposers, segments, transactions",
        ),
        ("SELECT * FROM transaction", 'near "transaction": syntax error; did you mean transactions?'),
        ("SELECT 1; SELECT 2", "that is more than one statement; ask one at a time"),
        ("SELECT '\udcff'", "the query is not UTF-8"),
        ("SELECT from_hex('zz')", "non-hexadecimal number found"),
        ("SELECT CAST(tx AS TEXT) AS t FROM transactions", "Could not decode to UTF-8 column 't'"),
    ],
)
def test_a_bad_query_is_one_line(store, query, line):
    with pytest.raises(LedgerError) as caught:
        ask(store, query)
    assert str(caught.value).startswith(line)
    assert str(caught.value) == line or "hexadecimal" in line


def test_the_columns_of_the_tables_in_a_query_are_named(store):
    proposers, transactions = "proposers has height, node", "transactions has height, position, tx, text, bytes"
    query = "SELECT nope FROM Proposers JOIN transactions USING (height)"
    for asked, says in {query: f"{proposers}; {transactions}", "SELECT nope": "blocks has height, epoch, "}.items():
        with pytest.raises(LedgerError) as caught, open_for_sql(store.path, asked) as connection:
            connection.execute(asked)
        line = str(caught.value)
        assert line.startswith(f"no such column: nope; {says}") and line.endswith(transactions)


# A thread, since no signal ends a query that ignores them.
@pytest.mark.timeout(60, method="thread")
def test_ctrl_c_stops_a_query_without_end(store):
    """Wherever it arrives: between SQLite's steps, or in a function of ours, whose exceptions SQLite hides."""
    endless = "WITH RECURSIVE n (i) AS (SELECT press() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    for press in (later, lambda: signal.raise_signal(signal.SIGINT)):
        with pytest.raises(KeyboardInterrupt), open_for_sql(store.path) as connection:
            connection.create_function("press", 0, press)
            connection.execute(endless)


def later() -> int:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    return 0


def test_a_damaged_file_is_told_from_a_bad_query(store):
    store.close()
    data = store.path.read_bytes()
    page = 4096
    store.path.write_bytes(data[: 2 * page] + bytes([7]) * page + data[3 * page :])
    with pytest.raises(LedgerError, match="malformed; the database file itself is damaged"):
        ask(store, "SELECT * FROM blocks")
