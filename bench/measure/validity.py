"""Decides whether a result counts, from the summary and the ledger check, and whether it has enough blocks."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from bench.measure.ledger_check import LedgerCheck
from honeybadger.wording import counted

#: with fewer blocks in the measured time there is a warning; with none, the result is invalid
FEWEST_BLOCKS = 10
#: the measured time that is recommended then holds about so many: rounded to one digit, still enough
ENOUGH_BLOCKS = 15


def how_to_get_blocks(durable_at: Sequence[float], began: float, ended: float, duration_s: float) -> str:
    """What to do for more blocks in the measured `duration_s`; "" if the time that a block takes is not the reason.

    `durable_at`: when each block of the whole run, with warm-up and drain, was durable at all correct nodes; the nodes
    could agree on blocks from `began` until `ended`.
    """
    if not durable_at:
        return f"no block in {ended - began:.0f} s; try a longer --duration or fewer nodes"
    # The median, for during an outage there may be none for long.
    block_s = median(after - before for before, after in pairwise([began, *sorted(durable_at)]))
    longer_s = float(f"{ENOUGH_BLOCKS * block_s:.1g}")
    if longer_s <= duration_s:
        return ""
    shown = f"{block_s:.0f}" if block_s >= 10 else f"{block_s:.1g}"
    return f"a block takes about {shown} s here; try --duration {longer_s:g}"


def too_few_blocks(blocks: int, duration_s: float, error: float | None, advice: str) -> list[str]:
    """The warning about so few blocks in the measured time, if they are too few. `error`: of throughput, relative;
    `advice`: of `how_to_get_blocks`."""
    if not 0 < blocks < FEWEST_BLOCKS:
        return []
    few = f"too few epochs: only {counted(blocks, 'block')} in the measured {duration_s:g} s, so its figures say little"
    few += "" if error is None else f" (throughput ± {100 * error:.2g} %)"
    return [f"{few}: {advice}" if advice else few]


def why_invalid(
    summary: dict[str, Any],
    check: LedgerCheck,
    quorum: int,
    died: Sequence[str],
    rounds_left: int,
    same_height: bool,
    advice: str,
) -> str:
    """The first reason why the result is invalid, for people; "" if it is valid.

    `quorum`: N-f; `died`: last output of correct nodes that ended by themselves; `rounds_left`: restart rounds that
    never began; `same_height`: all correct nodes that were up at the end reached the same height; `advice`: of
    `how_to_get_blocks`.
    """
    return next(filter(None, _reasons(summary, check, quorum, died, rounds_left, same_height, advice)), "")


def _reasons(
    summary: dict[str, Any],
    check: LedgerCheck,
    quorum: int,
    died: Sequence[str],
    rounds_left: int,
    same_height: bool,
    advice: str,
) -> Iterator[str]:
    byzantine = set(map(int, summary["byzantine"]))
    gone = {*summary["crashed"], *byzantine}
    alive = f"{summary['nodes'] - len(gone)} of {summary['nodes']} nodes are left"
    too_few = f"{alive}, but an epoch needs N-f = {quorum}" if summary["nodes"] - len(gone) < quorum else ""
    faults = summary["link_faults"]
    for_good = [fault["kind"] for fault in faults if fault.get("end_s") is None]
    # A node that stays cut off counts as slow, not as crashed: it need not have everything.
    cut_to_the_end = "partition" in for_good or "one-way" in for_good
    left_behind = [
        f"node {row['node']}, restarted at {row['restarted_at_s']:.1f} s, never caught up"
        for row in summary["restarts"]
        if row["recovery_s"] is None and not row["killed_again"]
    ]
    yield check.problem
    yield from died
    for row in summary["per_node"]:
        # A liar may end as it likes, but not by a mistake in its strategy: then the run tested something else.
        strategy = summary["byzantine"].get(str(row["id"]))
        if strategy and (why := row["traceback"]).startswith("StrategyError: "):
            yield f"node {row['id']} stopped: {strategy} failed: {why.removeprefix('StrategyError: ')}"
    for row in summary["per_node"]:
        if row["id"] not in gone and row["exit"] != 0:
            yield f"node {row['id']} ended with status {row['exit']}"
    if accused := {fault["node"] for fault in summary["faults_recorded"]} - byzantine:
        yield f"correct nodes were accused: {sorted(accused)}"
    if not same_height:
        # If the others went on without them, this is the reason to give.
        yield from left_behind
    if summary["committed_tx_after_crash"] == 0:
        what = "restart" if summary["restarts"] else "crash"
        yield f"nothing was committed after the {what}: {too_few or alive}"
    if rounds_left:
        yield f"{rounds_left} restart rounds did not take place"
    yield from left_behind
    if summary["committed_tx_after_link_faults"] == 0:
        yield "nothing was committed after the link faults"
    if not same_height and not cut_to_the_end:
        yield f"correct nodes did not reach the same height: {summary['final_heights']}"
    if check.missing and not cut_to_the_end:
        yield f"{check.missing} acknowledged transactions are not in the ledgers of all correct nodes"
    if not summary["committed_tx"]:
        cut = "some links stay cut until the end" if cut_to_the_end else ""
        refused_all = summary["refused_tx"] and not summary["unanswered_tx"]
        slow = "" if summary["epochs"] or refused_all else advice
        why = too_few or cut or slow or _fate(summary)
        yield "nothing was committed in the measured window" + (f": {why}" if why else "")
    # After the last link fault, a node must commit every transaction that it still has.
    waiting = summary["unanswered_tx"] - summary["abandoned_tx"]
    if faults and waiting and not for_good:
        yield f"{counted(waiting, 'transaction')} still unanswered after the link faults"


def _fate(summary: dict[str, Any]) -> str:
    """What happened to the transactions that were not committed."""
    fates = [f'{count} were refused as "{reason}"' for reason, count in sorted(summary["refused_tx"].items())]
    if summary["unanswered_tx"]:
        fates.append(f"{summary['unanswered_tx']} were still unanswered at the end")
    return " and ".join(fates)
