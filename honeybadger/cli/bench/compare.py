"""`honeybadger bench compare`: the ratios of one result to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from honeybadger.cli.bench.table import print_table
from honeybadger.cli.bench.warn import warn
from honeybadger.cli.options import Results
from honeybadger.cluster.errors import ClusterError
from honeybadger.wording import counted

_existing = Results()


@click.command("compare", short_help="Show the ratios of one result to another.")
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
    groups_a = comparing.chosen(grouped(read_results(a, warn)), first)
    groups_b = comparing.chosen(grouped(read_results(b, warn)), second)
    comparisons, unlike = comparing.pair(groups_a, groups_b, declared)
    warn(*(f"not the same: {line}" for line in unlike))
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
