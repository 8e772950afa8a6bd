"""Entry point of the `honeybadger` command.

Errors that a person can do something about end in one line on standard error and a non-zero status, never in a
traceback.
"""

import importlib
import os
import re
import sys

import click

from honeybadger.cli.usage import in_words
from honeybadger.console import streams
from honeybadger.wording import nearest

#: command → (module, one line for the overview)
COMMANDS = {
    "keygen": ("honeybadger.cli.keygen", "Make a cluster's manifest and key files (trusted dealer)."),
    "node": ("honeybadger.cli.node", "Run one node."),
    "local": ("honeybadger.cli.local", "Run a whole cluster on this machine, measure and check it."),
    "simulate": ("honeybadger.cli.simulate", "Run a whole cluster in virtual time, measure and check it."),
    "search": ("honeybadger.cli.search", "Search random schedules, liars and crashes for runs that go wrong."),
    "bench": ("honeybadger.cli.bench", "Run, report, compare and plot experiments."),
    "cluster": ("honeybadger.cli.cluster", "Run a cluster in containers; offer load to a cluster."),
    "submit": ("honeybadger.cli.submit", "Submit transactions and wait until they are committed."),
    "status": ("honeybadger.cli.status", "Show one row per node of a running cluster."),
    "watch": ("honeybadger.cli.watch", "Serve a page, metrics and blocks of a cluster over HTTP."),
    "ledger": ("honeybadger.cli.ledger", "Show, query, verify, repair, export or prove from a node's ledger."),
}


def variables(command: click.Command, ctx: click.Context) -> set[str]:
    """The environment variables that a command and its subcommands read."""
    names = {parameter.envvar for parameter in command.params if isinstance(parameter.envvar, str)}
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            names |= variables(command.get_command(ctx, name) or click.Command(None), ctx)
    return names


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Before a command begins, mistyped environment variables are pointed out."""
        name, command, rest = super().resolve_command(ctx, args)
        present = {variable for variable in os.environ if variable.startswith("HONEYBADGER_")}
        if command is not None and (unknown := present - variables(command, ctx)):
            # All commands are looked at only where this one knows too few.
            known = variables(self, ctx)
            for variable in sorted(unknown - known):
                _tell("attention", f"no option reads {variable}{nearest(variable, known)}")
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="honeybadger")
def cli() -> None:
    """Honey Badger BFT: run, attack and measure nodes that agree on transactions.

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
        status = cli.main(prog_name="honeybadger", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
        else:
            _tell("error", in_words(error))
        return error.exit_code
    except Exception as error:
        from honeybadger.client.errors import ClientError
        from honeybadger.cluster.errors import ClusterError
        from honeybadger.ledger.errors import LedgerError

        # The text of any other one is not a line for the person at the keyboard, but a bug of ours.
        if not isinstance(error, ClientError | ClusterError | LedgerError | OSError):
            raise
        return _failed(error)
    return status if isinstance(status, int) else 0


def _failed(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        # Whoever read our output wants no more of it.
        return 141
    _tell("error", str(error))
    return int(getattr(error, "exit_status", 1))


def _tell(kind: str, message: str) -> None:
    """One line on standard error, whatever it quotes: nothing unprintable, long words cut unless they are paths."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    line = re.sub(r"[^\s/]{61,}", lambda word: word[0][:60] + "…", line)
    click.echo(f"{kind}: {line[:1000]}", err=True)


if __name__ == "__main__":
    main()
