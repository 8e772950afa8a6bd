"""`honeybadger bench report`: the figures of an experiment, as tables."""

from __future__ import annotations

from pathlib import Path

import click

from honeybadger.cli.bench.table import print_table
from honeybadger.cli.bench.warn import warn
from honeybadger.cli.options import Results


@click.command("report", short_help="Show an experiment's figures.")
@click.argument("directory", type=Results(local=True))
@click.option("--format", "form", type=click.Choice(["table", "markdown", "csv"]), default="table", show_default=True)
@click.option("--runs", is_flag=True, help="A row for each run; as CSV, plain numbers in SI units.")
def report(directory: Path, form: str, runs: bool) -> None:
    """Show an experiment's figures: medians over repeats, [smallest … largest].

    With five valid repeats or more also the mean ± half of its 95 % confidence interval. DIRECTORY may also be that of
    one run, or of `honeybadger local --out`.
    """
    from bench.measure.results import grouped
    from bench.measure.timeline import csv_text
    from bench.show.report import (
        CRYPTO_TITLE,
        as_markdown,
        crypto_table,
        csv_rows,
        narrower,
        notes,
        one_by_one,
        run_rows,
        table,
    )
    from honeybadger.results import read

    apart: list[str] = []
    groups = grouped(read(directory, apart.append))
    if form == "csv":
        click.echo(csv_text(run_rows(groups) if runs else csv_rows(groups)), nl=False)
        warn(*apart)
        return
    if runs:
        groups = one_by_one(groups)
    if form == "markdown":
        click.echo(as_markdown(groups, apart), nl=False)
    else:
        if not print_table(table(groups), narrower(groups)):
            click.echo("--format markdown shows every figure with its spread")
        crypto = crypto_table(groups, spread_rank=0)
        if crypto and not print_table(crypto, title=CRYPTO_TITLE, or_blocks=False):
            click.echo("--format markdown shows the processor time of cryptography too")
        for line in [*notes(groups), *apart]:
            click.echo(line)
