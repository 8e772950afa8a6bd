"""`honeybadger simulate`: a whole cluster in virtual time, measured and checked like a real one."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from bench.plan.build_run import build_run
from bench.plan.fields import SettingsError, fields_of
from bench.plan.run_settings import every_field
from bench.plan.simulation_settings import SimulationSettings, refuse_unsimulated
from honeybadger.cli.local import options_in
from honeybadger.cli.options import FileIn, GroupedCommand, field_options, given
from honeybadger.cli.suggest_batch import suggest_batch, suggest_batch_option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import refuse_overwriting
from honeybadger.console import signals

#: where --calibrate writes unless --calibration says
CALIBRATION = Path("calibration.toml")
#: how long the primitives are measured, seconds
CALIBRATION_S = 20.0
#: exit status, as of every command that Ctrl-C ends
INTERRUPTED = 130


@click.command(
    "simulate", cls=GroupedCommand, params=field_options(every_field()) + field_options(fields_of(SimulationSettings))
)
@click.option(
    "--config",
    type=FileIn("run.toml"),
    help="TOML file with any options of a run as keys; environment and flags win over it.",
)
@click.option(
    "--calibrate", is_flag=True, help=f"Measure the costs here and write them to --calibration, or {CALIBRATION}."
)
@suggest_batch_option
@click.pass_context
def command(
    context: click.Context, /, config: Path | None, calibrate: bool, suggest_batch_share: float | None, **_: Any
) -> int:
    """Run a whole cluster in virtual time under load, measure it, and compare the ledgers.

    The nodes are real ones; processors, links and the waits for disks are simulated. The options are those of
    `honeybadger local`, but for what means nothing here. docs/simulate.md says what is simulated.

    Ctrl-C ends the run there: the figures are then of the time so far, and the result is not valid.
    """
    # Here and not above: what measures is needed by this command only.
    from bench.run.simulated_run import SimulatedRun
    from honeybadger.cli.local_display import Display
    from honeybadger.cli.local_table import print_tables

    every = given(context)
    if suggest_batch_share is not None:
        if calibrate:
            raise SettingsError("--calibrate contradicts --suggest-batch")
        return suggest_batch({**(options_in(config) if config else {}), **every}, suggest_batch_share)
    chosen = {key: one for key, one in every.items() if key in fields_of(SimulationSettings)}
    how = SimulationSettings.make(chosen)
    if calibrate:
        return _calibrate(how.calibration or CALIBRATION)
    of_run = {**(options_in(config) if config else {}), **{k: one for k, one in every.items() if k not in chosen}}
    settings = build_run(of_run)
    refuse_unsimulated(settings, how, of_run)
    if settings.out is not None:
        refuse_overwriting(settings.out)
        if settings.out.is_dir() and any(settings.out.iterdir()):
            raise ClusterError(f"{settings.out} is not empty; choose another directory")
    with Display(sys.stderr) as display, signals.noted() as interrupted:
        summary = SimulatedRun(settings, how, display.show, interrupted=interrupted).run()
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2))
        for warning in summary["warnings"]:
            click.echo(f"attention: {warning}", err=True)
    else:
        print_tables(summary, None)
    if summary["simulation"]["interrupted"]:
        click.echo(f"{summary['reason']}: the figures are of that time", err=True)
        return INTERRUPTED
    if not summary["valid"]:
        click.echo(f"invalid: {summary['reason']}", err=True)
        return 1
    return 0


def _calibrate(path: Path) -> int:
    from bench.studies.calibration import calibrated
    from honeybadger.node.allocator import keep_freed_memory

    # As nodes do: without it, clearing new pages takes longer than an erasure code.
    keep_freed_memory()
    if path.exists():
        raise ClusterError(f"{path} exists already; choose another --calibration")
    calibrated(CALIBRATION_S).save(path)
    click.echo(f"{path} holds what work costs here; --calibration {path} uses it")
    return 0
