"""`honeybadger search`: random schedules, liars and crashes, until something goes wrong."""

import secrets
import sys
from collections import Counter
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.plan.fields import SettingsError
from bench.plan.search_settings import SearchSettings, build_search, search_fields
from honeybadger.cli.options import GroupedCommand, field_options, given
from honeybadger.cluster.errors import ClusterError
from honeybadger.console import signals
from honeybadger.console.plain import PlainConsole

#: options that --replay goes with
WITH_REPLAY = {"replay", "shrink", "last", "out"}


@click.command("search", cls=GroupedCommand, params=field_options(search_fields()))
@click.pass_context
def command(context: click.Context, /, **_: Any) -> int:
    """Search small simulated clusters for runs in which a protocol stalls or nodes diverge.

    Each run has a seed, which decides all that is not chosen. What fails is written to a file, which --replay plays
    again, and made smaller. Exit status 1 if any run diverged, or stalled without --expect-stalls. See docs/search.md.
    """
    chosen = given(context)
    settings, wishes = build_search(chosen)
    signals.end_like_an_interrupt()
    if settings.out is not None and settings.out.exists():
        raise ClusterError(f"{settings.out} exists already; choose another --out")
    if settings.replay is not None:
        if others := [one.written for key, one in chosen.items() if key not in WITH_REPLAY]:
            raise SettingsError(f"{others[0]} has no meaning with --replay: the file says all")
        return _replay(settings, settings.shrink if "shrink" in chosen else 0.0)
    return _Search(settings, wishes).run()


class _Search:
    """Counts verdicts, and keeps the first run of each way to fail."""

    def __init__(self, settings: SearchSettings, wishes: Any) -> None:
        self._settings, self._wishes = settings, wishes
        self._first = secrets.randbelow(10**9) if settings.seed is None else settings.seed
        self._verdicts: Counter[str] = Counter()
        self._ways: dict[str, Any] = {}
        self._steps = 0

    def run(self) -> int:
        from honeybadger.adversary.corrupt import StrategyError
        from honeybadger.simulation.schedulers import UnfairScheduler
        from honeybadger.simulation.search import search

        settings = self._settings
        click.echo(f"seeds {self._first} to {self._first + settings.runs - 1}", err=True)
        seeds = range(self._first, self._first + settings.runs)
        interrupted = False
        with _progress() as progress:
            task = progress.add_task("", total=settings.runs, told="")
            try:
                for case, outcome in search(self._wishes, seeds, settings.jobs):
                    self._count(case, outcome)
                    progress.update(task, advance=1, told=self._totals())
            except KeyboardInterrupt:
                interrupted = True
            except (StrategyError, UnfairScheduler) as error:
                raise ClusterError(str(error)) from None
        played = self._verdicts.total()
        what = "interrupted: " if interrupted else ""
        click.echo(f"{what}{played:,} runs: {self._totals()}; {self._steps:,} deliveries")
        if self._ways and not interrupted:
            case, outcome = next(iter(self._ways.values()))
            _report(case, outcome, settings, settings.shrink)
        return 130 if interrupted else 1 if self._ways else 0

    def _count(self, case: Any, outcome: Any) -> None:
        from honeybadger.simulation.search.words import described

        self._verdicts[outcome.verdict] += 1
        self._steps += outcome.step
        expected = {"progressed", "stalled"} if self._settings.expect_stalls else {"progressed"}
        if outcome.verdict not in expected and outcome.way not in self._ways:
            self._ways[outcome.way] = case, outcome
            click.echo(f"seed {case.seed} {outcome.verdict}: {outcome.why} ({described(case)})", err=True)

    def _totals(self) -> str:
        return ", ".join(f"{self._verdicts[name]:,} {name}" for name in ("progressed", "stalled", "diverged"))


def _replay(settings: SearchSettings, shrink_s: float) -> int:
    from honeybadger.simulation.search.finding import Ended, Finding

    path = Path(settings.replay or "")
    try:
        finding = Finding.load(path)
        outcome = finding.replay()
    except ValueError as error:
        raise ClusterError(str(error)) from None
    if (now := Ended.of(outcome)) != finding.ended:
        was = finding.ended
        click.echo(
            f"{path} {was.verdict} at step {was.step} ({was.why}) with honeybadger {finding.honeybadger}; now it"
            f" {now.verdict} at step {now.step}: the code has changed",
        )
        return int(now.verdict != "progressed")
    if shrink_s:
        _report(finding.case, outcome, settings, shrink_s)
    else:
        _show(finding.case, outcome, settings.last)
    return int(outcome.verdict != "progressed")


def _report(case: Any, outcome: Any, settings: SearchSettings, shrink_s: float) -> None:
    """Make it smaller, write it, and say so."""
    from honeybadger.simulation.search import shrink
    from honeybadger.simulation.search.finding import Ended, Finding

    path = settings.out or next(path for k in count(1) if not (path := Path(f"found-{k}.json")).exists())
    Finding(honeybadger=version("honeybadger"), case=case, ended=Ended.of(outcome)).save(path)
    if shrink_s:
        with _progress() as progress:
            progress.add_task("", total=None, told="shrinking")
            shrunk = shrink(case, outcome, shrink_s)
        case, outcome = shrunk.case, shrunk.outcome
        Finding(honeybadger=version("honeybadger"), case=case, ended=Ended.of(outcome)).save(path)
        click.echo(
            f"shrunk in {shrunk.tries:,} tries{'' if shrunk.finished else ', and not to the end: more --shrink'}"
        )
    _show(case, outcome, settings.last)
    click.echo(f"replay it with: honeybadger search --replay {path}")


def _show(case: Any, outcome: Any, last: int) -> None:
    from honeybadger.simulation.search import words

    click.echo(words.described(case))
    click.echo(f"{outcome.verdict} at step {outcome.step}{': ' if outcome.why else ''}{outcome.why}")
    click.echo(words.deviations(case, outcome))
    for line in words.trail(case, outcome, last):
        click.echo(f"  {line}")


def _progress() -> Progress:
    """On a terminal only."""
    console = PlainConsole(file=sys.stderr)
    return Progress(
        BarColumn(),
        TextColumn("{task.completed:,.0f} / {task.total} runs  {task.fields[told]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
