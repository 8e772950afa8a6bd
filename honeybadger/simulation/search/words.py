"""A finding in words, for a person who wants to understand it."""

from collections.abc import Iterator

from honeybadger.simulation.search.case import Case
from honeybadger.simulation.search.message_words import in_words
from honeybadger.simulation.search.play import Outcome
from honeybadger.simulation.search.running import Delivery
from honeybadger.wording import counted


def described(case: Case) -> str:
    """The case in one line."""
    order = case.schedule if case.late is None else "a recorded order"
    what = f"{case.protocol}, N = {case.nodes}, f = {case.faults}, {order}"
    if case.part == "whole":
        what += f", {counted(case.transactions * case.waves, 'transaction')}"
    else:
        what = f"one {case.part} of {what}"
    parts = [what, *(f"node {node} {name}" for node, name in sorted(case.liars.items()))]
    if case.outages:
        parts.append(counted(len(case.outages), "crash", "crashes"))
    return ", ".join(parts)


def deviations(case: Case, outcome: Outcome) -> str:
    """How far the run is from the simplest one."""
    text = f"{counted(outcome.late, 'delivery', 'deliveries')} of {outcome.step:,} out of the order of sending"
    liars = len(outcome.said)
    return text + (f", {counted(liars, 'message')} of liars" if case.liars else "")


def trail(case: Case, outcome: Outcome, last: int) -> Iterator[str]:
    """The `last` deliveries, and those that were out of order before them: as many again. One line each."""
    shown = (
        {delivery.step: delivery for delivery in [*outcome.last_late[-last:], *outcome.last[-last:]]} if last else {}
    )
    before = 0
    for step, delivery in sorted(shown.items()):
        if step > before + 1:
            yield "…"
        before = step
        yield _words(delivery, case)


def _words(delivery: Delivery, case: Case) -> str:
    liar = ", a liar" if delivery.sender in case.liars else ""
    text = (
        f"step {delivery.step}: node {delivery.recipient} gets {in_words(delivery.message)} of node {delivery.sender}"
    )
    steps = round(delivery.late)
    if not delivery.late:
        return text + liar
    return f"{text}{liar}; {counted(abs(steps), 'step')} {'late' if delivery.late > 0 else 'early'}"
