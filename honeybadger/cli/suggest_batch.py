"""`honeybadger simulate --suggest-batch`: the batch size from which on overhead is small, and how that was found."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
import msgspec

from bench.plan.fields import Given, SettingsError, fields_of
from bench.plan.simulation_settings import SimulationSettings, refuse_unsimulated
from honeybadger.cli.bench.table import print_table
from honeybadger.cli.options import F, FiniteFloat
from honeybadger.console import signals

if TYPE_CHECKING:
    from bench.plan.run_settings import RunSettings
    from bench.studies.suggest_batch import Suggestion

#: a share of overhead that is asked for: smaller ones ask for batches that no one sends
LEAST, MOST = 0.001, 0.99
#: a line that misses the middle run by more is no straight one
ROUGH = 0.05
#: why the batch size grows with N as it does, in Honey Badger
WHY = """the fixed part is votes, proofs and shares of keys, which grow as λN³ log N; payload grows as N × B,
so the batch that hides the fixed part grows as λN² log N (Miller et al., CCS 2016, section 4)"""


def suggest_batch_option(command: F) -> F:
    return click.option(
        "--suggest-batch",
        "suggest_batch_share",
        type=FiniteFloat(LEAST, MOST),
        metavar="SHARE",
        help="Suggest a batch size: the smallest with at most this share of overhead in the bytes sent, such as 0.1.",
    )(command)


def suggest_batch(every: Mapping[str, Given], share: float) -> int:
    """Simulate, and print the suggestion. `every`: what a person chose, of the run and of its simulation."""
    from bench.plan.build_run import build_run
    from bench.studies.suggest_batch import CHOSEN_HERE, PER_NODE, suggest
    from honeybadger.cli.local_display import Display

    for key in (key for key in every if key in CHOSEN_HERE):
        raise SettingsError(f"{every[key].written} contradicts --suggest-batch, which chooses the runs itself")
    of_simulation = fields_of(SimulationSettings)
    chosen = {"crypto": Given("ideal", "--crypto"), **{k: one for k, one in every.items() if k in of_simulation}}
    of_run = {key: one for key, one in every.items() if key not in of_simulation}
    how = SimulationSettings.make(chosen)
    refuse_unsimulated(build_run(of_run), how, of_run)
    signals.end_like_an_interrupt()
    with Display(sys.stderr) as display:
        runs = iter(range(1, len(PER_NODE) + 1))

        def begin(batch_size: int) -> None:
            display.say(f"run {next(runs)} of {len(PER_NODE)}: B = {batch_size:,}")

        settings, found = suggest(of_run, how, share, begin=begin, show=display.show_live)
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        _print(settings, how, share, found)
    if abs(found.line.error) > ROUGH:
        click.echo("attention: bytes do not grow in a straight line here, so the batch size is rough", err=True)
    return 0


def _print(settings: "RunSettings", how: SimulationSettings, share: float, found: "Suggestion") -> None:
    line = found.line
    what = f"{settings.specification.display_name}, N = {settings.nodes}, f = {settings.quorums.faults}"
    where = f"{settings.wan}, " if settings.wan else ""
    suite = how.crypto if how.crypto == "ideal" else settings.parameters.suite
    headings = ["B", "payload bytes", "sent bytes", "messages", "overhead"]
    rows = [
        [
            f"{one.batch_size:,}",
            *(f"{figure:,.0f}" for figure in (one.payload_bytes, one.sent_bytes, one.messages)),
            f"{line.overhead(one.payload_bytes) * 100:.1f} %",
        ]
        for one in found.samples
    ]
    print_table((headings, rows), title=f"{what}, {where}suite {suite}, virtual time; an epoch, all nodes together:")
    click.echo(f"sent bytes = {line.fixed_bytes:,.0f} + {line.copies:,.2f} × payload bytes")
    click.echo(f"the line goes through the first and last run; it misses the one between by {line.error * 100:+.2f} %")
    if settings.protocol == "honeybadger":
        click.echo(WHY)
    click.echo(
        f"B = {found.batch_size:,} is the smallest batch size with at most {share * 100:.3g} % of overhead: "
        f"{found.overhead * 100:.3g} %, with transactions of {settings.tx_size} bytes"
    )
