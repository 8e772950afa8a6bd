"""Whether a result counts: the first reason why it does not, from what the summary says and what was checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.checks import LedgerCheck
from honeybadger.wording import counted


def why_invalid(
    summary: dict[str, Any], check: LedgerCheck, quorum: int, died: Sequence[str], rounds_left: int, same_height: bool
) -> str:
    """For people, or "" if the result is valid.

    `quorum`: N-f; `died`: last words of correct nodes that ended unasked; `rounds_left`: restart rounds that never
    began; `same_height`: all correct nodes that were up in the end reached the same height.
    """
    gone = {*summary["crashed"], *map(int, summary["byzantine"])}
    alive = summary["nodes"] - len(gone)
    left = f"{alive} of {summary['nodes']} nodes are left, but an epoch needs N-f = {quorum}" if alive < quorum else ""
    # Who is cut off for ever counts as slow, not as crashed: it is not asked to have everything.
    cut_for_ever = any(f["kind"] in ("partition", "one-way") and f.get("end_s") is None for f in summary["link_faults"])
    left_behind = [
        f"node {row['node']}, restarted at {row['restarted_at_s']:.1f} s, never caught up"
        for row in summary["restarts"]
        if row["recovery_s"] is None and not row["killed_again"]
    ]
    reasons = (
        check.problem,
        *died,
        *(
            f"node {row['id']} ended with status {row['exit']}"
            for row in summary["per_node"]
            if row["id"] not in gone and row["exit"] != 0
        ),
        _accused(summary),
        # If the others went on without them, that is what is wrong.
        *(left_behind if not same_height else ()),
        _nothing_after_crash(summary, alive, left),
        f"{rounds_left} restart rounds did not take place" if rounds_left else "",
        *left_behind,
        "nothing was committed after the link faults" if summary["committed_tx_after_link_faults"] == 0 else "",
        _unequal(summary, check, same_height) if not cut_for_ever else "",
        _nothing(summary, left, cut_for_ever) if not summary["committed_tx"] else "",
        _unanswered(summary),
    )
    return next((reason for reason in reasons if reason), "")


def _accused(summary: dict[str, Any]) -> str:
    accused = {fault["node"] for fault in summary["faults_recorded"]} - set(map(int, summary["byzantine"]))
    return f"correct nodes were accused: {sorted(accused)}" if accused else ""


def _nothing_after_crash(summary: dict[str, Any], alive: int, left: str) -> str:
    if summary["committed_tx_after_crash"] != 0:
        return ""
    what = "restart" if summary["restarts"] else "crash"
    left = left or f"{alive} of {summary['nodes']} nodes are left"
    return f"nothing was committed after the {what}: {left}"


def _unequal(summary: dict[str, Any], check: LedgerCheck, same_height: bool) -> str:
    if not same_height:
        return f"correct nodes did not reach the same height: {summary['final_heights']}"
    if check.missing:
        return f"{check.missing} acknowledged transactions are not in the ledgers of all correct nodes"
    return ""


def _nothing(summary: dict[str, Any], left: str, cut_for_ever: bool) -> str:
    why = left or ("links are cut for ever" if cut_for_ever else _fate(summary))
    return "nothing was committed in the measured window" + (f": {why}" if why else "")


def _fate(summary: dict[str, Any]) -> str:
    """What became of the transactions that were not committed."""
    fates = [f'{count} were refused as "{reason}"' for reason, count in sorted(summary["refused_tx"].items())]
    if summary["unanswered_tx"]:
        fates.append(f"{summary['unanswered_tx']} were still unanswered at the end")
    return " and ".join(fates)


def _unanswered(summary: dict[str, Any]) -> str:
    """When all link faults have ended, everything that a node still has must come through."""
    faults = summary["link_faults"]
    count = summary["unanswered_tx"] - summary["abandoned_tx"]
    if faults and count and all(fault.get("end_s") is not None for fault in faults):
        return f"{counted(count, 'transaction')} still unanswered after the link faults"
    return ""
