"""`honeybadger bench limit`, `crypto` and `agreements`: studies that need no cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.plan.build_run import build_run
from bench.plan.fields import Given
from bench.plan.run_settings import every_field
from crypto.suites import SUITE_NAMES
from honeybadger.cli.bench.table import print_table
from honeybadger.cli.options import FILE, FileIn, FiniteFloat, GroupedCommand, Whole, field_options, given
from honeybadger.cluster.errors import ClusterError


@click.command(
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


@click.command(
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


@click.command("agreements", short_help="Count the rounds of each agreement, calm and under attack.")
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
