"""`honeybadger ledger sql`: print what a ledger answers. Bytes become hexadecimal in every format."""

import csv
import io
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from honeybadger.cli.terminal_text import escaped
from honeybadger.console.plain import PlainConsole
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.sql import open_for_sql

#: rows of a table, which must be in memory to be laid out
MOST_ROWS = 1000


def print_answer(path: Path, query: str, form: str | None) -> None:
    """`form`: one of `FORMS`; None is a table on a terminal, and CSV anywhere else."""
    write = FORMS[form or ("table" if sys.stdout.isatty() else "csv")]
    with open_for_sql(path, query) as connection:
        cursor = connection.execute(query)
        if cursor.description is None:
            raise LedgerError("the query is empty")
        write([name for name, *_ in cursor.description], cursor)


def _write_table(names: list[str], cursor: sqlite3.Cursor) -> None:
    rows = cursor.fetchmany(MOST_ROWS + 1)
    numeric = [all(isinstance(value, int | float) for value in column) for column in zip(*rows, strict=True)]
    columns = (
        Column(escaped(name), justify="right" if is_number else "left", overflow="fold")
        for name, is_number in zip(names, numeric or [False] * len(names), strict=True)
    )
    table = Table(*columns)
    for row in rows[:MOST_ROWS]:
        table.add_row(*("" if value is None else escaped(str(_plain(value))) for value in row))
    PlainConsole().print(table)
    if len(rows) > MOST_ROWS:
        click.echo(f"only the first {MOST_ROWS:,} rows; --format csv or json has all", err=True)


def _write_csv(names: list[str], cursor: sqlite3.Cursor) -> None:
    for row in chain([names], cursor):
        line = io.StringIO()
        # Its usual end of a line, CR LF, makes it quote values that hold either of them.
        csv.writer(line).writerow(map(_plain, row))
        sys.stdout.write(line.getvalue()[:-2] + "\n")


def _write_json(names: list[str], cursor: sqlite3.Cursor) -> None:
    """A list of objects, one on a line. If something fails half-way, it has no end and no program takes it for all."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise LedgerError(f"two columns are called {printable(twice[0])}; name one of them with AS")
    before = "[\n"
    for row in cursor:
        sys.stdout.write(before + json.dumps(dict(zip(names, map(_plain, row), strict=True))))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


FORMS: dict[str, Callable[[list[str], sqlite3.Cursor], None]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
}
