"""What a person may do on purpose but may not mean: one line for each, said before anything starts."""

from collections.abc import Iterator

from bench.plan.link_faults import KINDS
from bench.plan.run_settings import RunSettings
from honeybadger.protocols.quorums import BYZANTINE
from honeybadger.wording import counted


def attentions(*runs: RunSettings) -> list[str]:
    """The lines of all these runs, each of them once."""
    return list(dict.fromkeys(line for run in runs for line in (*_of_liars(run), *_of_kills(run), *_of_leaders(run))))


def _of_liars(run: RunSettings) -> Iterator[str]:
    liars, faults = len(run.liars), run.quorums.faults
    speaking, quorum = run.nodes - _silent(run), run.quorums.quorum
    harm = "ledgers may differ, or nothing may be committed"
    if speaking < quorum:
        leave = f"{counted(_silent(run), 'silent node')} {'leaves' if _silent(run) == 1 else 'leave'}"
        too_few = f"{leave} {speaking} of {run.nodes} nodes, but an epoch needs N-f = {quorum}"
        yield f"{too_few}: nothing will be committed, and the run will fail"
    elif liars and run.specification.fault_model.kind != BYZANTINE.kind:
        yield f"protocol {run.protocol} tolerates crashes but no liars; {harm}"
    elif liars > faults:
        are = "is" if liars == 1 else "are"
        yield f"{counted(liars, 'liar')} {are} more than the f = {faults} that {run.nodes} nodes tolerate; {harm}"


def _of_kills(run: RunSettings) -> Iterator[str]:
    """What is certain not to go on with the nodes that are left, and what may not."""
    silent = _silent(run)
    killed = run.crash or (0 if run.recovery else run.restart_count)
    left, quorum, faults = run.nodes - killed - silent, run.quorums.quorum, run.quorums.faults
    gone = f"{killed} killed" + (f", {silent} silent" if silent else "")
    too_few = f"leaves {left} of {run.nodes} nodes ({gone}), but an epoch needs N-f = {quorum}"
    if run.nodes - silent < quorum:
        # Nothing is committed before it either, which has been said.
        return
    if run.crash and left < quorum:
        yield f"the crash {too_few}: nothing will be committed after it, and the run will fail"
    elif run.crash and run.crash + len(run.liars) > faults >= len(run.liars):
        together = f"{counted(run.crash, 'crash', 'crashes')} and {counted(len(run.liars), 'liar')}"
        yield f"{together} together are more than f = {faults}; nothing may be committed after the crash"
    elif killed and left < quorum:
        yield f"without recovery, restarted nodes stay silent; this {too_few}: nothing may be committed after it"
    elif killed and not run.crash:
        yield "without recovery, a restarted node stays silent and may never catch up; the run may fail"


def _silent(run: RunSettings) -> int:
    """Liars that say nothing: to the others, they are gone."""
    return list(run.liars.values()).count("silent")


def _of_leaders(run: RunSettings) -> Iterator[str]:
    if not run.specification.has_leader:
        for kind in KINDS:
            if any(fault.leader for fault in run.link_faults if fault.kind == kind):
                yield f"protocol {run.protocol} has no leader; {kind} leader:… strikes node 0 instead"
