"""A ledger that answers questions in SQL, and nothing else: a connection that cannot write.

Besides the tables of the file, it has views of what the tables do not say in words:

- `transactions`, a row per transaction. SQLite carries a condition on `height` into the view, so that only the bodies
  of those blocks are read and decoded, one at a time.
- `bodies`, a row per block: the body, from the body log.
- `proposers`, a row per block and node.

A block's transactions pass through SQLite as JSON, in hexadecimal: that takes about five times the body's size in
memory, and SQLite's limit for one value makes a body of more than 490 MB an error.

Measured for 100,000 transactions of 250 bytes in 25 blocks: 0.04 s for one block, 0.5 s to look for one transaction by
its bytes, 0.9 s by its text, 3 s and 75 MB for all columns of all rows.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from honeybadger.ledger.block import decode_body
from honeybadger.ledger.body_log import FileLog, Place
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.sqlite_open import BEYOND_REPAIR, SCHEMA, connect_anywhere, is_corrupt
from honeybadger.wording import nearest

VIEWS = """
CREATE TEMP VIEW transactions AS
    SELECT bodies.height AS height, key AS position, from_hex(value) AS tx, text_of(value) AS text,
        length(value) / 2 AS bytes
    FROM bodies CROSS JOIN json_each(transactions_of(height, body));
CREATE TEMP VIEW bodies AS
    SELECT height, body_of(height, segment, body_at, body_bytes) AS body FROM main.blocks;
CREATE TEMP VIEW proposers AS
    SELECT height, value AS node FROM main.blocks CROSS JOIN json_each(proposers);
"""
#: tables and views
TABLES = sorted(re.findall(r"CREATE (?:TABLE|TEMP VIEW) (\w+)", SCHEMA + VIEWS))
#: what a statement may do; it may not write, attach, or change a setting
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
#: SQLite runs Python after so many of its steps, which is when Ctrl-C is noticed
STEPS = 100_000


@contextmanager
def open_for_sql(path: Path, query: str = "") -> Iterator[sqlite3.Connection]:
    """Open a ledger, also that of a running node. Within the `with`, every failure of a statement is a `LedgerError`,
    and Ctrl-C ends a statement with `KeyboardInterrupt`.

    `query`: what will be asked; with it, the error of a column that does not exist names those of its tables only.
    """
    failures: list[Exception] = []
    try:
        with closing(connect_anywhere(path)) as connection:
            for function in (_body_of(path), transactions_of, from_hex, text_of):
                noting = _noting(function, failures)
                connection.create_function(function.__name__, function.__code__.co_argcount, noting, deterministic=True)
            connection.executescript(VIEWS)
            # The file is opened for reading already; a copy of it, or a view, is not.
            connection.execute("PRAGMA query_only = ON")
            connection.set_authorizer(
                lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY
            )
            connection.set_progress_handler(lambda: None, STEPS)
            try:
                yield connection
            except sqlite3.OperationalError as error:
                if not str(error).startswith("no such column"):
                    raise
                raise LedgerError(f"{printable(error)}; {_columns(connection, query)}") from None
    # `sqlite3.Warning`: several statements, in Python 3.11
    except (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError) as error:
        if failures:
            raise LedgerError(printable(failures[0])) from None
        # SQLite hides what Python raises in a callback. Any failure but Ctrl-C has been noted.
        if str(error) in ("interrupted", "user-defined function raised exception"):
            raise KeyboardInterrupt from None
        raise LedgerError(_explained(error)) from None


def _body_of(path: Path) -> Callable[[int, object, object, object], bytes]:
    """The function that reads a body of this ledger from its log."""
    log = FileLog(path.resolve().parent, fsync=False)

    def body_of(height: int, segment: object, position: object, length: object) -> bytes:
        try:
            with log.open_body(Place.of((segment, position, length))) as body:
                return body[slice(0, None)]
        except (LedgerError, OSError) as error:
            raise LedgerError(f"block {height}: {printable(error)}") from None

    return body_of


def transactions_of(height: int, body: bytes) -> str:
    """JSON: the transactions of a body, in hexadecimal."""
    try:
        return json.dumps([transaction.hex() for transaction in decode_body(body)])
    except (LedgerError, TypeError) as error:
        raise LedgerError(f"block {height}: {error}") from None


def from_hex(value: str) -> bytes:
    return bytes.fromhex(value)


def text_of(value: str) -> str | None:
    """None for what is not UTF-8."""
    try:
        return bytes.fromhex(value).decode()
    except UnicodeDecodeError:
        return None


def _columns(connection: sqlite3.Connection, query: str) -> str:
    """The columns of the tables that `query` reads; of all, if it names none."""
    words = re.findall(r"\w+", query.lower())
    told = []
    for name in [name for name in TABLES if name in words] or TABLES:
        cursor = connection.execute(f"SELECT * FROM {name} LIMIT 0")
        told.append(f"{name} has {', '.join(column for column, *_ in cursor.description)}")
    return "; ".join(told)


def _noting(function: Callable[..., Any], failures: list[Exception]) -> Callable[..., Any]:
    @wraps(function)
    def noting(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            failures.append(error)
            raise

    return noting


def _explained(error: Exception) -> str:
    """What SQLite says about a statement, and what to do about it."""
    # It quotes a value that is no text.
    text = printable(str(error).partition(" with text ")[0])
    # `transaction` is a word of SQL.
    if near := re.fullmatch(r'near "(\w+)": syntax error', text):
        return text + nearest(near[1], TABLES)
    if isinstance(error, UnicodeEncodeError):
        return "the query is not UTF-8"
    if text.startswith("no such table"):
        return f"{text}; there are {', '.join(TABLES)}"
    if "one statement" in text:
        return "that is more than one statement; ask one at a time"
    if "not authorized" in text or "authorization denied" in text:
        return f"a ledger can only be read here, with SELECT ({text})"
    return f"{text}; {BEYOND_REPAIR}" if is_corrupt(error) else text
