"""Entry point of the `honeybadger` command.

Errors that a person can do something about end in one line on standard error and a non-zero status, never in a
traceback.
"""

from __future__ import annotations

import importlib
import re
import sys

import click

from honeybadger.cli import streams

#: command → (module, one line for the overview)
COMMANDS = {
    "keygen": ("honeybadger.cli.keygen", "Make a cluster's manifest and key files (trusted dealer)."),
    "node": ("honeybadger.cli.node", "Run one node."),
    "local": ("honeybadger.cli.local", "Run a whole cluster on this machine under load, measure and check it."),
    "bench": ("honeybadger.cli.bench", "Run experiments, report, compare and plot them; the limit of this machine."),
    "cluster": ("honeybadger.cli.cluster", "Write a Compose file for containers; offer load to a running cluster."),
    "submit": ("honeybadger.cli.submit", "Submit transactions and wait until they are committed."),
    "status": ("honeybadger.cli.status", "Show one row per node of a running cluster."),
    "ledger": ("honeybadger.cli.ledger", "Show, verify, repair, export or prove from a node's ledger."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="honeybadger")
def cli() -> None:
    """Honey Badger BFT: nodes that agree on transactions, measured honestly.

    Start with `honeybadger local`, which runs four nodes on this machine.
    """


def main() -> None:
    """Run the command; the only place where errors become exit statuses."""
    streams.prepare()
    status = _run()
    try:
        streams.finish()
    except OSError as error:
        # The reader of our output has gone (`… | head`), or there is no room for it.
        status = _failed(error)
    sys.exit(status)


def _run() -> int:
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
        else:
            _complain(error.format_message())
        return error.exit_code
    except Exception as error:
        if not _is_for_people(error):
            raise
        return _failed(error)
    return status if isinstance(status, int) else 0


def _failed(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        # Whoever read our output wants no more of it.
        return 141
    _complain(str(error))
    return int(getattr(error, "exit_status", 1))


def _complain(message: str) -> None:
    """One line, whatever is quoted in it: nothing unprintable, long words cut unless they are paths."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    line = re.sub(r"[^\s/]{61,}", lambda word: word[0][:60] + "…", line)
    click.echo(f"error: {line[:1000]}", err=True)


def _is_for_people(error: Exception) -> bool:
    """Whether an exception's text is a line for the person at the keyboard, not a bug of ours."""
    from honeybadger.cluster.errors import ClusterError
    from honeybadger.ledger.errors import LedgerError

    return isinstance(error, ClusterError | LedgerError | OSError)


if __name__ == "__main__":
    main()
