"""`honeybadger bench`: experiments, their tables and figures, and the limit of this machine."""

import click

from honeybadger.cli.bench.compare import compare
from honeybadger.cli.bench.plot import plot
from honeybadger.cli.bench.report import report
from honeybadger.cli.bench.run import run
from honeybadger.cli.bench.studies import agreements, crypto, limit


@click.group("bench")
def command() -> None:
    """Run experiments, report, compare and plot them.

    Start with `honeybadger bench run bench/experiments/quick.toml`.
    """


for one in (run, report, compare, plot, limit, crypto, agreements):
    command.add_command(one)
