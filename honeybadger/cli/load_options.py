"""Options that say what load a cluster is offered."""

from __future__ import annotations

from typing import Any

import click

from honeybadger.cli.options import F, FiniteFloat, option
from honeybadger.cluster.manifest import Runtime


class TxSize(click.ParamType[Any]):
    """Sizes of transactions, as text or as a number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from bench.workload import TxSizes

        if isinstance(value, TxSizes):
            return value
        try:
            return TxSizes.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SubmitTo(click.ParamType[Any]):
    """ "1", "f+1" or "all"; a number is fine for the first."""

    name = "1|f+1|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) not in ("1", "f+1", "all"):
            self.fail(f"{value!r:.60} is not 1, f+1 or all", param, ctx)
        return str(value)

    @staticmethod
    def nodes(choice: str, correct: int, faults: int) -> int:
        """To how many nodes each transaction is sent."""
        return {"1": 1, "f+1": min(faults + 1, correct)}.get(choice, correct)


#: transactions per second: no process offers more
Rate = FiniteFloat(min=0.1, max=1e6)
#: transactions that a load offers in all: times and answers of each are kept until its end
MOST_OFFERED = 200_000_000


def check_offer(rate: float, seconds: float) -> None:
    """UsageError if so much cannot be offered."""
    if rate * seconds > MOST_OFFERED:
        raise click.UsageError(
            f"{rate:g} transactions per second for {seconds:g} s are more than the {MOST_OFFERED:,} that can be offered"
        )


def check_window(window: int, largest: int, runtime: Runtime) -> None:
    """UsageError if a node does not take so many unanswered transactions, which have up to `largest` bytes."""
    most = min(runtime.mempool_transactions, runtime.mempool_bytes // largest)
    if window > most:
        raise click.UsageError(f"--window {window}: a node takes {most:,} unanswered transactions of this size")


def load_options(function: F) -> F:
    """What is offered, and when."""
    for decorate in reversed(
        (
            option("--tx-size", default="250", type=TxSize(), help="Bytes per transaction: 250, 100-500 or exp:250."),
            option("--duration", default=10.0, type=FiniteFloat(min=0.1), help="Measured seconds."),
            option("--warmup", default=2.0, type=FiniteFloat(min=0), help="Seconds before measuring."),
            option("--rate", type=Rate, help="Offered transactions per second.  [default: saturate]"),
            option(
                "--arrivals",
                type=click.Choice(["fixed", "poisson"]),
                default="fixed",
                help="With --rate: evenly spaced, or a Poisson process.",
            ),
            option(
                "--window",
                type=click.IntRange(1, 10_000_000),
                help="Without --rate: unanswered transactions per node.  [default: as many as keep it busy]",
            ),
            option("--clients", default=1, type=click.IntRange(1, 64), help="Processes that offer transactions."),
            option(
                "--submit-to",
                default="1",
                type=SubmitTo(),
                help="Nodes that each transaction is sent to; latency is to the first that has it on disk.",
            ),
        )
    ):
        function = decorate(function)
    return function
