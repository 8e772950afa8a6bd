"""`honeybadger bench`: experiments, their tables and figures, and the limit of this machine."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.plan.build_run import build_run
from bench.plan.fields import Given, SettingsError, fields_of
from bench.plan.place_settings import PlaceSettings
from bench.plan.run_settings import RunSettings, every_field
from bench.plan.simulation_settings import SimulationSettings, refuse_unsimulated
from crypto.suites import SUITE_NAMES
from honeybadger.cli.bench_table import print_table
from honeybadger.cli.options import (
    FILE,
    Directory,
    FileIn,
    FiniteFloat,
    GroupedCommand,
    Results,
    Whole,
    field_options,
    given,
)
from honeybadger.cluster.errors import ClusterError
from honeybadger.console import signals
from honeybadger.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.measure.results import Result
    from bench.places.place import Place
    from bench.plan.experiment import Experiment
    from bench.run.experiment_runner import Step
    from bench.run.progress import Progress

_existing = Results()


@click.group("bench")
def command() -> None:
    """Run experiments, report, compare and plot them.

    Start with `honeybadger bench run bench/experiments/quick.toml`.
    """


@command.command(
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
    --hosts on other machines, which need an SSH server and Python only. The load comes from here. With --simulate, or a
    table [simulation] in MANIFEST, there are no nodes but simulated ones; its options win over that table.
    Exit status 0 only if all its runs are valid.
    """
    from bench.places.choice import PROCESSES, choose, choose_virtual, refuse_other_places
    from bench.plan.attentions import attentions
    from bench.plan.estimate import Estimate, in_words
    from bench.plan.experiment import SIMULATION, Experiment
    from bench.run.experiment_runner import Runner
    from bench.run.simulated_run import SimulatedRun, refuse_other_simulations
    from bench.run.single_run import SingleRun
    from bench.show.report import validity
    from honeybadger.cli.local_display import Display
    from honeybadger.cli.local_table import latency_ms

    experiment = Experiment.load(manifest)
    how, of_place = _simulation(given(context), simulate, experiment)
    if how is not None:
        chosen = choose_virtual(of_place, "--simulate" if simulate else f"[{SIMULATION}] in {manifest}")
    else:
        chosen = choose(PlaceSettings.make(of_place), [one.settings for one in experiment.runs])
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
    _warn(*(f"invalid: {result.directory.name}: {result.summary['reason']}" for result in invalid))
    return 1 if invalid else 0


@command.command("report", short_help="Show an experiment's figures.")
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
        _warn(*apart)
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


@command.command("compare", short_help="Show the ratios of one result to another.")
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
    from bench.measure.results import commits, grouped, read_results
    from bench.plan.experiment import varied_keys
    from bench.show import compare as comparing

    first, second = _wanted("--a", of_a), _wanted("--b", of_b)
    declared = sorted(first.keys() & second.keys())
    groups_a = comparing.chosen(grouped(read_results(a, _warn)), first)
    groups_b = comparing.chosen(grouped(read_results(b, _warn)), second)
    comparisons, unlike = comparing.pair(groups_a, groups_b, declared)
    _warn(*(f"not the same: {line}" for line in unlike))
    if unlike and not anyway:
        ways = counted(len(unlike), "more way")
        raise ClusterError(f"the runs differ in {ways} than their code; --anyway compares them all the same")
    keys = varied_keys([comparison.a.options for comparison in comparisons])
    measured = [one for one in comparing.CRYPTO_FIGURES if any(each.ratios[one[0]] for each in comparisons)]
    for figures in filter(None, (comparing.FIGURES, measured)):
        rows = []
        for one in comparisons:
            runs = f"{len(one.a.valid)}, {len(one.b.valid)}"
            rows.append([one.a.label(keys), runs, *(_ratio(one.ratios[name]) for name, _ in figures)])
        headings = ["runs", "valid A, B", *(heading for _, heading in figures)]
        title = "processor time of cryptography in an epoch:" if figures is measured else ""
        print_table(
            (headings, rows), [(headings, [[cell.replace(" [", "\n[") for cell in row] for row in rows])], title
        )
    click.echo("ratios B / A: median [smallest … largest]; * repeats not paired: extremes of any run over any other")
    for one in comparisons:
        for name, heading in comparing.FIGURES:
            if (ratio := one.ratios[name]) is not None and ratio.error is not None:
                what = "no difference (≈): within" if ratio.is_none else "a difference: beyond"
                click.echo(f"{one.a.label(keys)}: {heading} {ratio.median:.2f} ± {ratio.error:.2f}, {what} the error")
    for name, groups in (("A", groups_a), ("B", groups_b)):
        for figure, heading in comparing.FIGURES:
            if any(group.is_bound(figure) for group in groups):
                click.echo(f"attention: {heading} of {name} is a lower bound: not all that was offered was answered")
        made_by = commits(result for group in groups for result in group.results)
        click.echo(f"code of {name}: {', '.join(f'commit {one}' for one in made_by) or 'unknown'}")
    return 0


@command.command("plot", short_help="Draw an experiment's figures.")
@click.argument("directory", type=_existing)
@click.option("--out", type=Directory(), help="Where to write figures.  [default: figures/ in DIRECTORY]")
@click.option("--format", "form", default="png,svg", show_default=True, help="pdf, svg, png, or several with commas.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only this figure, named as its file; repeat it or use commas."
)
@click.option("--width", default="7.5in", show_default=True, help="Such as 84mm (a paper's column), 17.8cm, 7in.")
@click.option("--published", type=FileIn("*.csv"), help="Draw the points of this CSV file too, as hollow marks.")
@click.option("--log-y", is_flag=True, help="Logarithmic y axes, in figures of throughput and latency.")
@click.option("--no-title", is_flag=True, help="Leave out the title, for a figure that has a caption.")
@click.option("--no-notes", is_flag=True, help="Leave out the small print, and print it here for the caption.")
def plot(
    directory: Path,
    out: Path | None,
    form: str,
    only: tuple[str, ...],
    width: str,
    published: Path | None,
    log_y: bool,
    no_title: bool,
    no_notes: bool,
) -> None:
    """Draw an experiment's figures, and write a CSV with the numbers of each.

    For a paper: --format pdf --width 84mm --no-title --no-notes.
    """
    from bench.measure.results import grouped, read_results
    from bench.show import plot as plotting
    from bench.show.figures.style import Style
    from bench.show.published import read_points

    formats, names = plotting.formats_of(form), plotting.names_of(only)
    style = Style(plotting.width_of(width), log_y=log_y, title=not no_title, notes=not no_notes)
    points = read_points(published) if published else []
    groups = grouped(read_results(directory, _warn))
    for drawn in plotting.draw_all(groups, out or directory / "figures", formats, names, style, points):
        for path in drawn.paths:
            click.echo(path)
        if no_notes:
            click.echo(f"{drawn.name}: {drawn.notes}")


@command.command(
    "limit",
    short_help="Time the work that nobody can avoid.",
    cls=GroupedCommand,
    params=field_options(every_field(), "nodes", "batch-size", "tx-size"),
)
@click.option("--seconds", default=5.0, show_default=True, type=FiniteFloat(0.05, 600), help="Time to measure for.")
@click.option("--summary", type=FileIn("summary.json"), help="Compare with this summary.json.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
@click.pass_context
def limit(context: click.Context, /, seconds: float, summary: Path | None, as_json: bool, **_: Any) -> None:
    """Time the work that nobody can avoid, and print two throughputs that this machine cannot exceed.

    The limit of this design: shards to all, erasure code, hashes, encryption. The limit of any design: the payload to
    each node once. With --summary, the run decides nodes, batch size and size of transactions.
    """
    import msgspec

    from bench.studies.limit import limit_of, limit_of_any_design, setting_of

    reached = None
    if summary is not None:
        nodes, batch_size, tx_bytes, reached = setting_of(summary)
    else:
        settings = build_run(given(context))
        nodes, batch_size, tx_bytes = settings.nodes, settings.parameters.batch_size, settings.tx_sizes.mean
    found = limit_of(nodes, batch_size, tx_bytes, seconds / 2, reached)
    any_design = limit_of_any_design(nodes, batch_size, tx_bytes, seconds / 2, reached)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found | {"any_design": any_design}), indent=2))
        return
    for name, limit in (("this", found), ("any", any_design)):
        rows = [
            [one["what"], f"{one['times']:g}", f"{one['seconds'] * 1e6:,.1f}", f"{one['share']:.0%}"]
            for one in limit["primitives"]
        ]
        print_table((["per node and epoch", "times", "µs each", "share"], rows))
        click.echo(
            f"limit of {name} design, N = {nodes}, B = {batch_size:,}, {tx_bytes} bytes: at least "
            f"{limit['cpu_s_per_epoch'] * 1000:,.1f} ms of processor per epoch at all {nodes} nodes; with "
            f"{found['cores']} cores no more than {limit['bound_tx_per_s']:,.0f} tx/s"
        )
        if reached is not None:
            click.echo(f"achieved: {reached:,.0f} tx/s, {limit['achieved_ratio']:.1%} of the limit of {name} design")


@command.command(
    "crypto",
    short_help="Time the operations of each cryptographic suite.",
    cls=GroupedCommand,
    params=field_options(every_field(), "nodes"),
)
@click.option("--suite", type=click.Choice(SUITE_NAMES), help="Only this suite.  [default: all that are installed]")
@click.option("--seconds", default=10.0, show_default=True, type=FiniteFloat(0.05, 600), help="Time to measure for.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
@click.pass_context
def crypto(context: click.Context, /, suite: str | None, seconds: float, as_json: bool, **_: Any) -> None:
    """Time the operations of each cryptographic suite, with the keys of --nodes nodes.

    Medians, in µs of one core. A suite that is not measured is named, with the reason.
    """
    import msgspec

    from bench.studies.suite_costs import suite_costs
    from honeybadger.node.allocator import keep_freed_memory

    # As nodes do: without it, clearing new pages takes longer than an erasure code.
    keep_freed_memory()
    chosen = {key: one for key, one in given(context).items() if key == "nodes"}
    nodes = build_run(chosen | ({"suite": Given(suite, "--suite")} if suite else {})).nodes
    found = suite_costs(nodes, seconds, suite)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    costs = {name: {row["what"]: row["seconds"] for row in rows} for name, rows in found["suites"].items()}
    rows = [
        [what, *(f"{of[what] * 1e6:,.1f}" if what in of else "–" for of in costs.values())]
        for what in dict.fromkeys(what for of in costs.values() for what in of)
    ]
    print_table((["µs, median", *costs], rows))
    click.echo(f"keys of N = {nodes}, f = {found['faults']}; {found['machine']['processor']}, one core")
    if missing := found["missing"]:
        click.echo(f"not measured: {', '.join(missing)}: {'; '.join(dict.fromkeys(missing.values()))}")


@command.command("agreements", short_help="Count the rounds of each agreement, calm and under attack.")
@click.option("--seeds", default=1000, show_default=True, type=Whole(1, 10**6), help="Runs of each.")
@click.option("--most-rounds", default=200, show_default=True, type=Whole(1, 10**5), help="Then a run is given up.")
@click.option(
    "--coin-schedule",
    type=click.Choice(every_field()["coin-schedule"].choices),
    default="every-round",
    show_default=True,
    help="Which rounds toss a common coin.",
)
@click.option("--figure", type=FILE, help="Draw the distribution into this new .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def agreements(seeds: int, most_rounds: int, coin_schedule: Any, figure: Path | None, as_json: bool) -> None:
    """Simulate one binary agreement among four nodes, with and without the scheduler that learns the coin early.

    The same seeds give the same figures. One core; no node runs, and no coin takes a pairing.
    """
    import msgspec

    from bench.studies.agreement_rounds import agreement_rounds, mean, quantile

    if figure is not None:
        if figure.suffix not in (".png", ".svg", ".pdf"):
            raise click.UsageError(f"--figure {figure}: write a name that ends with .png, .svg or .pdf")
        try:
            from bench.studies.rounds_figure import draw
        except ImportError:
            raise ClusterError("figures need matplotlib; in the project's folder: pip install -e '.[plot]'") from None
    found = agreement_rounds(seeds, most_rounds, coin_schedule, lambda name: click.echo(name, err=True))
    if figure is not None:
        draw(found, figure)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}"

    rows = [
        [
            row["agreement"],
            "attacked" if row["attacked"] else "calm",
            f"{row['undecided']:,}",
            *(shown(of) for of in (mean(row["rounds"]), quantile(row["rounds"], 0.5), quantile(row["rounds"], 0.99))),
            shown(max(row["rounds"], default=None)),
            f"{row['unsafe']:,}",
        ]
        for row in found["rows"]
    ]
    undecided = f"undecided after {most_rounds}"
    print_table((["agreement", "network", undecided, "mean rounds", "p50", "p99", "most", "unsafe"], rows))
    click.echo(f"N = 4, f = 1, inputs two against one, coins: {coin_schedule}; {seeds:,} seeds each; simulated")


def _simulation(
    chosen: dict[str, Given], simulate: bool, experiment: Experiment
) -> tuple[SimulationSettings | None, dict[str, Given]]:
    """How to simulate, None for real nodes; and what was chosen besides. Options win over the experiment's table."""
    of_simulation = {key: one for key, one in chosen.items() if key in fields_of(SimulationSettings)}
    others = {key: one for key, one in chosen.items() if key not in of_simulation}
    if not simulate and experiment.simulation is None:
        for one in of_simulation.values():
            raise SettingsError(f"{one.written} needs --simulate")
        return None, others
    of_simulation = {**(experiment.simulation or {}), **of_simulation}
    if "trace" in of_simulation:
        raise SettingsError(f"{of_simulation['trace'].written} is for one run, with honeybadger simulate")
    how = SimulationSettings.make(of_simulation)
    for run in experiment.runs:
        refuse_unsimulated(run.settings, how)
    return how, others


def _warn(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)


def _label(varied: list[str], options: dict[str, Any], repeat: int, repeats: int) -> str:
    from bench.measure.results import label

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
    spread = "" if ratio.pairs == 1 else f" [{ratio.low:.2f} … {ratio.high:.2f}]"
    return ("≈ " if ratio.is_none else "") + f"{ratio.median:.2f}{spread}" + ("" if ratio.pairs else " *")
