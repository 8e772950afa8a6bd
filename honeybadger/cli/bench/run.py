"""`honeybadger bench run`: an experiment, or the part of it that is not done yet."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bench.plan.fields import Given, SettingsError, fields_of
from bench.plan.place_settings import PlaceSettings
from bench.plan.simulation_settings import SimulationSettings, refuse_unsimulated
from bench.plan.sweep_settings import SweepSettings
from honeybadger.cli.bench.warn import warn
from honeybadger.cli.options import Directory, FileIn, GroupedCommand, field_options, given
from honeybadger.cluster.errors import ClusterError
from honeybadger.console import signals
from honeybadger.wording import counted

if TYPE_CHECKING:
    from bench.measure.results import Result
    from bench.plan.experiment import Experiment
    from bench.run.experiment_runner import Step, Work
    from bench.run.sweep.caller import Sweep
    from honeybadger.cli.local_display import Display


@click.command(
    "run",
    short_help="Run an experiment, or the part of it that is not done yet.",
    cls=GroupedCommand,
    params=[
        one for record in (PlaceSettings, SimulationSettings, SweepSettings) for one in field_options(fields_of(record))
    ],
)
@click.argument("manifest", type=FileIn("experiment.toml", "run.toml", "*.toml"))
@click.option("--out", type=Directory(), help="Directory of the results.  [default: runs/NAME of the manifest]")
@click.option("--keep", is_flag=True, help="Keep ledgers, keys and raw files of each run too (large).")
@click.option("--watch", is_flag=True, help="Serve a page and metrics of each run over HTTP (costs a little).")
@click.option("--dry-run", is_flag=True, help="Only say what would be run and how long it would take.")
@click.option("--simulate", is_flag=True, help="In virtual time, as `honeybadger simulate` does.")
@click.pass_context
def run(
    context: click.Context,
    /,
    manifest: Path,
    out: Path | None,
    keep: bool,
    watch: bool,
    dry_run: bool,
    simulate: bool,
    **_: Any,
) -> int:
    """Run the experiment that MANIFEST (TOML) describes, or the part of it that is not done yet.

    With --containers the nodes run in containers of this machine's Docker engine instead of plain processes; with
    --hosts on other machines, which need an SSH server and Python only. The load comes from here. With --simulate, or a
    table [simulation] in MANIFEST, there are no nodes but simulated ones; options win over that table, and --scheduler
    or --workers does several runs at once.
    Exit status 0 only if all its runs are valid.
    """
    from bench.places.choice import PROCESSES, choose, choose_virtual, refuse_other_places
    from bench.plan.attentions import attentions
    from bench.plan.estimate import Estimate, VirtualEstimate, in_words
    from bench.plan.experiment import SIMULATION, Experiment
    from bench.run.experiment_runner import Runner, one_by_one
    from bench.run.simulated_run import SimulatedRun, refuse_other_simulations
    from bench.run.single_run import SingleRun
    from bench.show.report import validity
    from honeybadger.cli.local_display import Display
    from honeybadger.cli.local_table import latency_ms

    experiment = Experiment.load(manifest)
    runs = [one.settings for one in experiment.runs]
    of_sweep, chosen_else = _split(given(context), SweepSettings)
    how, of_place = _simulation(chosen_else, simulate, experiment)
    sweep = SweepSettings.make(of_sweep, how, runs)
    if how is not None:
        chosen = choose_virtual(of_place, "--simulate" if simulate else f"[{SIMULATION}] in {manifest}")
    else:
        chosen = choose(PlaceSettings.make(of_place), runs)
    # The name says where it ran, unless the experiment itself does.
    as_written = chosen.name == PROCESSES or experiment.simulation is not None
    kind = "" if as_written else f"-{chosen.name.replace(' ', '-')}"
    out = out or Path("runs") / f"{experiment.name}{kind}"
    signals.end_like_an_interrupt()
    with Display(sys.stderr) as display, ExitStack() as stack:

        def begin(step: Step) -> None:
            left = in_words(step.remaining_s)
            label = _label(experiment.varied, step.run.options, step.run.repeat, experiment.repeats)
            display.say(f"run {step.number} of {step.total}: {label} (about {left} left)")

        def end(result: Result) -> None:
            summary = result.summary
            if not result.valid:
                display.say(f"  INVALID: {summary['reason']}")
                return
            latency = f"latency p50 {latency_ms(summary, 'p50')} ms, p99 {latency_ms(summary, 'p99')} ms"
            display.say(f"  {summary['throughput_tx_per_s']:,.0f} tx/s, {latency}")
            for warning in summary["warnings"]:
                display.say(f"  attention: {warning}")

        runner = Runner(experiment, out, begin=begin, end=end, say=display.say)
        done = runner.finished()
        refuse_other_places(out, chosen.name, (result.summary for result in done.values()))
        if how is not None:
            refuse_other_simulations(out, how, (result.summary for result in done.values()))
        rest = [one for one in experiment.runs if one.key not in done]
        for line in attentions(*(one.settings for one in rest)):
            display.say(f"attention: {line}")
        estimate = VirtualEstimate(lambda: sweep.workers or 1 if sweep else 1) if how else Estimate()
        left = in_words(estimate.remaining_s([(one.settings.nodes, one.planned_s) for one in rest]))
        to_go = f"about {left} to go" if rest else "nothing to do"
        total = counted(len(experiment.runs), "run")
        display.say(f"{experiment.name}: {total}, {len(done)} done already, {to_go}")
        if dry_run:
            for one in experiment.runs:
                state = "done" if one.key in done else "to do"
                display.say(f"  {state}: {_label(experiment.varied, one.options, one.repeat, experiment.repeats)}")
            return 0
        work: Work
        if how is not None and sweep is not None and rest:
            work = swept = _sweep(stack, sweep, how, keep, display)
            estimate = VirtualEstimate(swept.side_by_side)
        elif how is not None:
            simulated = partial(SimulatedRun, how=how, show=display.show_live)
            work = one_by_one(lambda settings: simulated(settings).run(), keep=keep)
        else:
            place = chosen.make(stack, [one.settings for one in rest], keep, display.say) if rest else None
            real = partial(SingleRun, show=display.show_live, place=place, watch=watch)
            work = one_by_one(lambda settings: real(settings).run(), keep=keep)
        results = runner.run(work, estimate)
    invalid = [result for result in results if not result.valid]
    click.echo(f"{counted(len(results), 'run')} in {out}, {validity(results)}")
    warn(*(f"invalid: {result.directory.name}: {result.summary['reason']}" for result in invalid))
    return 1 if invalid else 0


def _sweep(stack: ExitStack, sweep: SweepSettings, how: SimulationSettings, keep: bool, display: Display) -> Sweep:
    """On a cluster that is left with the stack."""
    from honeybadger.simulation.virtual_time.table import SHIPPED, CostTable

    try:
        from bench.run.sweep.caller import Sweep, cluster
    except ImportError:
        option = "--workers" if sweep.scheduler is None else "--scheduler"
        raise ClusterError(f"{option} needs Dask; in the project's folder: pip install -e '.[distributed]'") from None
    table = CostTable.load(how.calibration or SHIPPED)
    client = stack.enter_context(cluster(sweep))
    return Sweep(client, how, table, keep=keep, say=display.say, show=display.show_live)


def _split(chosen: dict[str, Given], record: type[msgspec.Struct]) -> tuple[dict[str, Given], dict[str, Given]]:
    """What was chosen of this record, and what else."""
    of_record = {key: one for key, one in chosen.items() if key in fields_of(record)}
    return of_record, {key: one for key, one in chosen.items() if key not in of_record}


def _simulation(
    chosen: dict[str, Given], simulate: bool, experiment: Experiment
) -> tuple[SimulationSettings | None, dict[str, Given]]:
    """How to simulate, None for real nodes; and what was chosen besides. Options win over the experiment's table."""
    of_simulation, others = _split(chosen, SimulationSettings)
    if not simulate and experiment.simulation is None:
        for one in of_simulation.values():
            raise SettingsError(f"{one.written} needs --simulate, or a table [simulation] in the experiment")
        return None, others
    of_simulation = {**(experiment.simulation or {}), **of_simulation}
    if "trace" in of_simulation:
        raise SettingsError(f"{of_simulation['trace'].written} is for one run, with honeybadger simulate")
    how = SimulationSettings.make(of_simulation)
    for run in experiment.runs:
        refuse_unsimulated(run.settings, how)
    return how, others


def _label(varied: list[str], options: dict[str, Any], repeat: int, repeats: int) -> str:
    from bench.measure.results import label

    parts = [label(options, varied)] if varied else []
    parts += [f"repeat {repeat + 1} of {repeats}"] if repeats > 1 else []
    return ", ".join(parts) or "the only run"
