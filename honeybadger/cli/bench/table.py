"""Tables of `honeybadger bench`, as wide as the terminal and no wider: no word and no number is ever broken."""

import os
from collections.abc import Iterable, Sequence

import click
from rich.table import Table

from honeybadger.console.plain import PlainConsole

#: columns of text in a file or pipe: nothing needs to be squeezed there, unless COLUMNS says so
PIPE_WIDTH = 200

Cells = tuple[Sequence[str], Sequence[Sequence[str]]]


def print_table(best: Cells, narrower: Iterable[Cells] = (), title: str = "", *, or_blocks: bool = True) -> bool:
    """Print the first of these tables (headings, rows) that fits; whether it says all that the best one does.

    If none fits, the best one becomes a block of lines `name: value` for each row; nothing at all if not `or_blocks`.
    """
    console = PlainConsole()
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = PIPE_WIDTH
    for cells in (best, *narrower):
        table = _table(*cells)
        unlimited = console.options.update(max_width=10**6)
        if console.measure(table, options=unlimited).maximum <= console.width:
            if title:
                click.echo(title)
            console.print(table)
            return cells is best
    if not or_blocks:
        return False
    if title:
        click.echo(title)
    headings, rows = best
    for row in rows:
        values = [value.replace("\n", "; ") for value in row]
        for heading, value in zip(headings, values, strict=True):
            # The console would break lines that the terminal breaks anyway.
            console.print(f"{heading}: {value}", soft_wrap=True)
        click.echo()
    return True


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for number, heading in enumerate(headings):
        widest = max((len(line) for row in rows for line in row[number].split("\n")), default=0)
        table.add_column(
            heading if len(heading) <= widest else _in_two_lines(heading),
            justify="right" if number else "left",
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _in_two_lines(heading: str) -> str:
    """Broken at the space that makes it narrowest."""
    words = heading.split(" ")
    broken = [f"{' '.join(words[:at])}\n{' '.join(words[at:])}" for at in range(1, len(words))]
    return min([heading, *broken], key=lambda text: max(map(len, text.split("\n"))))
