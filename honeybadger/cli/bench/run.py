"""`honeybadger bench run`: an experiment, or the part of it that is not done yet."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.plan.fields import Given, SettingsError, fields_of
from bench.plan.place_settings import PlaceSettings
from bench.plan.run_settings import RunSettings
from bench.plan.simulation_settings import SimulationSettings, refuse_unsimulated
from honeybadger.cli.bench.warn import warn
from honeybadger.cli.options import Directory, FileIn, GroupedCommand, field_options, given
from honeybadger.console import signals
from honeybadger.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measure.results import Result
    from bench.places.place import Place
    from bench.run.experiment_runner import Step
    from bench.run.progress import Progress


@click.command(
    "run",
    short_help="Run an experiment, or the part of it that is not done yet.",
    cls=GroupedCommand,
    params=field_options(fields_of(PlaceSettings)) + field_options(fields_of(SimulationSettings)),
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
    --hosts on other machines, which need an SSH server and Python only. The load comes from here. With --simulate there
    are no nodes but simulated ones.
    Exit status 0 only if all its runs are valid.
    """
    from bench.places.choice import PROCESSES, choose, choose_virtual, refuse_other_places
    from bench.plan.attentions import attentions
    from bench.plan.estimate import Estimate, in_words
    from bench.plan.experiment import Experiment
    from bench.run.experiment_runner import Runner
    from bench.run.simulated_run import SimulatedRun, refuse_other_simulations
    from bench.run.single_run import SingleRun
    from bench.show.report import validity
    from honeybadger.cli.local_display import Display
    from honeybadger.cli.local_table import latency_ms

    experiment = Experiment.load(manifest)
    runs = [one.settings for one in experiment.runs]
    how, of_place = _simulation(given(context), simulate, runs)
    chosen = choose_virtual(of_place) if how else choose(PlaceSettings.make(of_place), runs)
    kind = "" if chosen.name == PROCESSES else f"-{chosen.name.replace(' ', '-')}"
    out = out or Path("runs") / f"{experiment.name}{kind}"
    signals.end_like_an_interrupt()
    with Display(sys.stderr) as display, ExitStack() as stack:

        def begin(step: Step) -> None:
            left = in_words(step.remaining_s)
            label = _label(experiment.varied, step.run.options, step.run.repeat, experiment.repeats)
            display.say(f"run {step.number} of {step.total}: {label} (about {left} left)")

        def end(_: Step, result: Result) -> None:
            summary = result.summary
            if not result.valid:
                display.say(f"  INVALID: {summary['reason']}")
                return
            latency = f"latency p50 {latency_ms(summary, 'p50')} ms, p99 {latency_ms(summary, 'p99')} ms"
            display.say(f"  {summary['throughput_tx_per_s']:,.0f} tx/s, {latency}")
            for warning in summary["warnings"]:
                display.say(f"  attention: {warning}")

        place: Place | None = None

        def execute(settings: RunSettings, show: Callable[[Progress], None]) -> dict[str, Any]:
            if how is not None:
                return SimulatedRun(settings, how, show).run()
            return SingleRun(settings, show, place, watch=watch).run()

        runner = Runner(
            experiment, out, execute, begin=begin, end=end, show=display.show_live, say=display.say, keep=keep
        )
        done = runner.finished()
        refuse_other_places(out, chosen.name, (result.summary for result in done.values()))
        if how is not None:
            refuse_other_simulations(out, how, (result.summary for result in done.values()))
        rest = [one for one in experiment.runs if one.key not in done]
        for line in attentions(*(one.settings for one in rest)):
            display.say(f"attention: {line}")
        estimate = in_words(Estimate().remaining_s([(one.settings.nodes, one.planned_s) for one in rest]))
        to_go = f"about {estimate} to go" if rest else "nothing to do"
        total = counted(len(experiment.runs), "run")
        display.say(f"{experiment.name}: {total}, {len(done)} done already, {to_go}")
        if dry_run:
            for one in experiment.runs:
                state = "done" if one.key in done else "to do"
                display.say(f"  {state}: {_label(experiment.varied, one.options, one.repeat, experiment.repeats)}")
            return 0
        if rest:
            place = chosen.make(stack, [one.settings for one in rest], keep, display.say)
        results = runner.run()
    invalid = [result for result in results if not result.valid]
    click.echo(f"{counted(len(results), 'run')} in {out}, {validity(results)}")
    warn(*(f"invalid: {result.directory.name}: {result.summary['reason']}" for result in invalid))
    return 1 if invalid else 0


def _simulation(
    chosen: dict[str, Given], simulate: bool, runs: Sequence[RunSettings]
) -> tuple[SimulationSettings | None, dict[str, Given]]:
    """How to simulate, None for real nodes; and what was chosen besides."""
    of_simulation = {key: one for key, one in chosen.items() if key in fields_of(SimulationSettings)}
    others = {key: one for key, one in chosen.items() if key not in of_simulation}
    if not simulate:
        for one in of_simulation.values():
            raise SettingsError(f"{one.written} needs --simulate")
        return None, others
    if "trace" in of_simulation:
        raise SettingsError(f"{of_simulation['trace'].written} is for one run, with honeybadger simulate")
    how = SimulationSettings.make(of_simulation)
    for run in runs:
        refuse_unsimulated(run, how)
    return how, others


def _label(varied: list[str], options: dict[str, Any], repeat: int, repeats: int) -> str:
    from bench.measure.results import label

    parts = [label(options, varied)] if varied else []
    parts += [f"repeat {repeat + 1} of {repeats}"] if repeats > 1 else []
    return ", ".join(parts) or "the only run"
