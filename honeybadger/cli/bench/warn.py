"""Lines for people, on standard error."""

import click


def warn(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)
