"""`honeybadger bench`: experiments, their tables and figures, and the limit of this machine."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from honeybadger.cli import signals
from honeybadger.cli.console import PlainConsole
from honeybadger.cli.load_options import TxSize
from honeybadger.cli.options import Directory
from honeybadger.cli.place_options import PROCESSES, chosen_place, place_options, refuse_other_places
from honeybadger.cluster.errors import ClusterError
from honeybadger.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.place import Place
    from bench.results import Result
    from bench.runner import Step
    from bench.settings import LocalSettings, Progress

_existing = click.Path(path_type=Path, exists=True)


@click.group("bench")
def command() -> None:
    """Run experiments, report, compare and plot them.

    Start with `honeybadger bench run bench/experiments/quick.toml`.
    """


@command.command("run")
@click.argument("manifest", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=Directory(), help="Directory of the results.  [default: runs/NAME of the manifest]")
@click.option("--keep", is_flag=True, help="Keep ledgers, keys and raw files of each run too (large).")
@click.option("--dry-run", is_flag=True, help="Only say what would be run and how long it would take.")
@place_options
def run(manifest: Path, out: Path | None, keep: bool, dry_run: bool, **places: Any) -> int:
    """Run the experiment that MANIFEST (TOML) describes, or what of it is not done yet.

    With --containers the nodes run in containers of this machine's Docker engine instead of plain processes; with
    --hosts on other machines, which need an SSH server and Python only. The load comes from here.
    Exit status 0 only if all its runs are valid.
    """
    from bench.estimate import Estimate, in_words
    from bench.experiment import Experiment
    from bench.local_run import LocalRun
    from bench.runner import Runner
    from honeybadger.cli.local_display import Display, latency_ms

    experiment = Experiment.load(manifest)
    chosen = chosen_place(experiment, **places)
    out = out or Path("runs") / (experiment.name if chosen.name == PROCESSES else f"{experiment.name}-{chosen.name}")
    signals.end_like_an_interrupt()
    with Display(sys.stderr) as display, ExitStack() as stack:

        def begin(step: Step) -> None:
            left = in_words(step.remaining_s)
            label = _label(experiment.varied, step.run.options, step.run.repeat, experiment.repeats)
            display.say(f"run {step.number} of {step.total}: {label} (about {left} left)")

        def end(_: Step, result: Result) -> None:
            if result.valid:
                summary = result.summary
                latency = f"latency p50 {latency_ms(summary, 'p50')} ms, p99 {latency_ms(summary, 'p99')} ms"
                display.say(f"  {summary['throughput_tx_per_s']:,.0f} tx/s, {latency}")
                for warning in summary["warnings"]:
                    display.say(f"  attention: {warning}")
            else:
                display.say(f"  INVALID: {result.summary['reason']}")

        place: Place | None = None

        def execute(settings: LocalSettings, show: Callable[[Progress], None]) -> dict[str, Any]:
            return LocalRun(settings, show, place).run()

        runner = Runner(
            experiment,
            out,
            begin=begin,
            end=end,
            show=display.show_live,
            say=display.say,
            keep=keep,
            execute=execute,
        )
        done = runner.finished()
        refuse_other_places(out, chosen.name, done.values())
        rest = [(r.settings.nodes, r.planned_s) for r in experiment.runs if r.key not in done]
        estimate = in_words(Estimate().remaining_s(rest))
        total = counted(len(experiment.runs), "run")
        display.say(f"{experiment.name}: {total}, {len(done)} done already, about {estimate} to go")
        if dry_run:
            for one in experiment.runs:
                state = "done" if one.key in done else "to do"
                display.say(f"  {state}: {_label(experiment.varied, one.options, one.repeat, experiment.repeats)}")
            return 0
        to_do = [one.settings for one in experiment.runs if one.key not in done]
        if to_do:
            place = chosen.make(stack, to_do, keep, display.say)
        results = runner.run()
    invalid = [result for result in results if not result.valid]
    click.echo(f"{counted(len(results), 'run')} in {out}, {len(invalid)} of them invalid")
    for result in invalid:
        click.echo(f"invalid: {result.directory.name}: {result.summary['reason']}", err=True)
    return 1 if invalid else 0


@command.command("report")
@click.argument("directory", type=_existing)
@click.option("--format", "form", type=click.Choice(["table", "markdown", "csv"]), default="table", show_default=True)
def report(directory: Path, form: str) -> None:
    """Show an experiment's figures: medians over repeats, [smallest … largest]."""
    from bench.report import as_markdown, csv_rows, notes, table
    from bench.results import grouped, read_results
    from bench.series import csv_text

    apart: list[str] = []
    groups = grouped(read_results(directory, apart.append))
    if form == "markdown":
        click.echo(as_markdown(groups, apart), nl=False)
    elif form == "csv":
        click.echo(csv_text(csv_rows(groups)), nl=False)
        for line in apart:
            _warn(line)
    else:
        _print_table(*table(groups, narrow=True))
        for line in [*notes(groups), *apart]:
            click.echo(line)


@command.command("compare")
@click.argument("a", type=_existing)
@click.argument("b", type=_existing)
@click.option("--a", "of_a", multiple=True, metavar="KEY=VALUE", help="Only runs of A with this setting.")
@click.option("--b", "of_b", multiple=True, metavar="KEY=VALUE", help="Only runs of B with this setting.")
@click.option("--anyway", is_flag=True, help="Compare although settings differ.")
def compare(a: Path, b: Path, of_a: tuple[str, ...], of_b: tuple[str, ...], anyway: bool) -> int:
    """Ratios of B to A, with their spread. A and B are directories of experiments or of single runs.

    Kinds of runs with the same settings are compared. Keys given both with --a and with --b may differ:
    `bench compare DIR DIR --a protocol=honeybadger --b protocol=pbft`.
    """
    from bench import compare as comparing
    from bench.experiment import varied_keys
    from bench.results import grouped, read_results

    first, second = _wanted("--a", of_a), _wanted("--b", of_b)
    declared = sorted(first.keys() & second.keys())
    groups_a = comparing.chosen(grouped(read_results(a, _warn)), first)
    groups_b = comparing.chosen(grouped(read_results(b, _warn)), second)
    comparisons, unlike = comparing.pair(groups_a, groups_b, declared)
    for line in unlike:
        click.echo(f"not the same: {line}", err=True)
    if unlike and not anyway:
        ways = counted(len(unlike), "more way")
        raise ClusterError(f"the runs differ in {ways} than their code; --anyway compares them all the same")
    keys = varied_keys([comparison.a.options for comparison in comparisons])
    rows = []
    for one in comparisons:
        runs = f"{len(one.a.valid)}, {len(one.b.valid)}"
        rows.append([one.a.label(keys), runs, *(_ratio(one.ratios[name]) for name, _ in comparing.FIGURES)])
    _print_table(["runs", "valid A, B", *(heading for _, heading in comparing.FIGURES)], rows)
    click.echo("ratios B / A: median [smallest … largest]; * repeats not paired: extremes of any run over any other")
    for name, groups in (("A", groups_a), ("B", groups_b)):
        for figure, heading in comparing.FIGURES:
            if any(group.is_bound(figure) for group in groups):
                click.echo(f"attention: {heading} of {name} is a lower bound: not all that was offered was answered")
        click.echo(f"code of {name}: {', '.join(comparing.commits(groups)) or 'unknown'}")
    return 0


@command.command("plot")
@click.argument("directory", type=_existing)
@click.option("--out", type=Directory(), help="Where to write figures.  [default: figures/ in DIRECTORY]")
def plot(directory: Path, out: Path | None) -> None:
    """Draw an experiment's figures: PNG and SVG, and a CSV with the numbers beside each."""
    from bench.plot import draw_all
    from bench.results import grouped, read_results

    for path in draw_all(grouped(read_results(directory, _warn)), out or directory / "figures"):
        click.echo(path)


@command.command("limit")
@click.option("-n", "--nodes", default=4, show_default=True, type=click.IntRange(1, 1000), help="Number of nodes (N).")
@click.option("--batch-size", default=10_000, show_default=True, type=click.IntRange(1, 10_000_000))
@click.option("--tx-size", default="250", show_default=True, type=TxSize(), help="Bytes per transaction.")
@click.option(
    "--seconds", default=5.0, show_default=True, type=click.FloatRange(0.05, 600), help="Time to measure for."
)
@click.option("--summary", type=click.Path(path_type=Path, dir_okay=False), help="Compare with this summary.json.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def limit(nodes: int, batch_size: int, tx_size: Any, seconds: float, summary: Path | None, as_json: bool) -> None:
    """Time what cannot be avoided, with the libraries used here, and print the bound of this machine.

    With --summary, nodes, batch size and size of transactions are those of that run.
    """
    import msgspec

    from bench.limit import limit_of, setting_of

    reached = None
    if summary is not None:
        nodes, batch_size, tx_bytes, reached = setting_of(summary)
    else:
        tx_bytes = tx_size.mean
    found = limit_of(nodes, batch_size, tx_bytes, seconds, reached)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    rows = [
        [one["what"], f"{one['times']:g}", f"{one['seconds'] * 1e6:,.1f}", f"{one['share']:.0%}"]
        for one in found["primitives"]
    ]
    _print_table(["per node and epoch", "times", "µs each", "share"], rows)
    click.echo(
        f"N = {nodes}, B = {batch_size:,}, {tx_bytes} bytes: at least {found['cpu_s_per_epoch'] * 1000:,.1f} ms of "
        f"processor per epoch at all {nodes} nodes; with {found['cores']} cores no more than "
        f"{found['bound_tx_per_s']:,.0f} tx/s"
    )
    if reached is not None:
        click.echo(f"achieved: {reached:,.0f} tx/s, {found['achieved_ratio']:.1%} of the bound")


def _warn(line: str) -> None:
    click.echo(line, err=True)


def _label(varied: list[str], options: dict[str, Any], repeat: int, repeats: int) -> str:
    from bench.results import label

    parts = [label(options, varied)] if varied else []
    parts += [f"repeat {repeat + 1} of {repeats}"] if repeats > 1 else []
    return ", ".join(parts) or "the only run"


def _wanted(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{flag} {text!r:.80}: write KEY=VALUE")
        found[key.strip().replace("_", "-")] = value.strip()
    return found


def _ratio(ratio: Any) -> str:
    if ratio is None:
        return "–"
    if ratio.pairs == 1:
        return f"{ratio.median:.2f}"
    return f"{ratio.median:.2f} [{ratio.low:.2f} … {ratio.high:.2f}]" + ("" if ratio.pairs else " *")


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    console = PlainConsole()
    if not console.is_terminal:
        # Into a file or pipe, nothing needs to be squeezed.
        console.width = 200
    table = Table()
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if not number else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
