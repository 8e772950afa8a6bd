"""`honeybadger local`: a whole cluster on this machine, measured and checked."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from bench.plan.attentions import attentions
from bench.plan.build_run import build_run
from bench.plan.experiment import is_experiment
from bench.plan.fields import Given, SettingsError, given_in
from bench.plan.run_settings import every_field
from honeybadger.cli.options import FileIn, GroupedCommand, field_options, given
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import refuse_overwriting
from honeybadger.cluster.toml_file import other_kind, read_toml
from honeybadger.console import signals

#: how long the work that no node can avoid is timed after a run, seconds
LIMIT_S = 0.5


@click.command("local", cls=GroupedCommand, params=field_options(every_field()))
@click.option(
    "--config",
    type=FileIn("run.toml"),
    help="TOML file with any of these options as keys; environment and flags win over it.",
)
@click.pass_context
def command(context: click.Context, /, config: Path | None, **_: Any) -> int:
    """Run a whole cluster on this machine under load, measure it, and compare the ledgers.

    Exit status 0 only if the result is valid: the ledgers of all correct nodes agree, every committed transaction was
    offered and is committed once, and something was committed after the last fault.

    Byzantine nodes are the last ones; they get no load and count neither as correct nor as crashed. The
    seconds of link faults start when all nodes are connected, so they include the warm-up.
    """
    # Here and not above: what measures is needed by this command only.
    from bench.run.single_run import SingleRun
    from bench.studies.limit import unavoidable_s_per_tx
    from honeybadger.cli.local_display import Display
    from honeybadger.cli.local_table import print_tables

    settings = build_run({**(options_in(config) if config else {}), **given(context)})
    if settings.out is not None:
        refuse_overwriting(settings.out)
    for line in attentions(settings):
        click.echo(f"attention: {line}", err=True)
    signals.end_like_an_interrupt()
    try:
        with Display(sys.stderr) as display:
            summary = SingleRun(settings, display.show, watch=True).run()
    except ValueError as error:
        raise ClusterError(str(error)) from None
    finally:
        if settings.out is not None and settings.out.is_dir() and not (settings.out / "summary.json").exists():
            click.echo(f"{settings.out} holds a run that was not finished", err=True)
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2))
        for warning in summary["warnings"]:
            click.echo(f"attention: {warning}", err=True)
    else:
        # The nodes have ended, so this disturbs no measurement.
        print_tables(summary, unavoidable_s_per_tx(summary, LIMIT_S))
    if not summary["valid"]:
        click.echo(f"invalid: {summary['reason']}", err=True)
        return 1
    return 0


def options_in(config: Path) -> dict[str, Given]:
    raw = read_toml(config)
    if kind := other_kind(raw):
        raise SettingsError(f"{config} is {kind}; --config takes a file with options of a run, such as nodes = 4")
    if is_experiment(raw):
        raise SettingsError(f"{config} is an experiment: use honeybadger bench run {config}")
    return given_in(raw, config)
