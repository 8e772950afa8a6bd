"""Finds options of a run that contradict each other or the cluster."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from bench.plan import link_faults
from bench.plan.outage_plan import why_too_tight
from bench.plan.run_settings import RunSettings
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.wan.namespaces import MOST_NODES
from honeybadger.wording import counted

#: transactions that a load offers in all: times and answers of each are kept until its end
MOST_OFFERED = 200_000_000

#: the option with a key as the person wrote it, and its value if that is given too
Written = Callable[..., str]


def contradictions(run: RunSettings, w: Written, given: Collection[str]) -> Iterator[str]:
    """One line for each, the first that matters first; later ones rely on the earlier ones. `given`: keys of options
    that the person wrote."""
    yield from _nonsense(run, w)
    if run.liars and not run.correct:
        liars, nodes = counted(len(run.liars), "liar"), counted(run.nodes, "node")
        yield f"{w('byzantine')}: {liars} would leave no correct one of {nodes}"
    yield from _of_liars(run, w)
    yield from _of_outages(run, w, given)
    yield from _of_link_faults(run, w)
    yield from _of_load(run, w)
    if run.base_port is not None and run.base_port + 2 * run.nodes > 65535:
        yield f"{w('base-port', run.base_port)} leaves no room for {2 * run.nodes + 1} ports up to 65535"
    if run.wan and run.nodes > MOST_NODES:
        yield f"{w('wan')}: {run.nodes} nodes are too many; it has room for {MOST_NODES}"


def _nonsense(run: RunSettings, w: Written) -> Iterator[str]:
    """Texts that do not follow their grammar."""
    texts: dict[str, Callable[[], object]] = {
        "tx-size": lambda: run.tx_sizes,
        "byzantine": lambda: run.liars,
        "wan": lambda: run.profile,
    }
    texts |= {kind: partial(link_faults.parse, kind, getattr(run, kind), run.nodes) for kind in link_faults.KINDS}
    for key, read in texts.items():
        try:
            read()
        except (ValueError, ClusterError) as error:
            yield f"{w(key)}: {error}"


def _of_liars(run: RunSettings, w: Written) -> Iterator[str]:
    for name in dict.fromkeys(run.liars.values()):
        # Here and not above: few runs have liars, and strategies take long to import.
        from honeybadger.adversary import find_strategy

        try:
            strategy = find_strategy(run.protocol, name)
        except LookupError as error:
            yield f"{w('byzantine')}: {error}"
        else:
            if why := strategy.unfit(run.parameters):
                yield f"{w('byzantine')}: {name} {why}"


def _of_outages(run: RunSettings, w: Written, given: Collection[str]) -> Iterator[str]:
    correct = len(run.correct)
    ways = f"{w('restart')}, {w('restart-all')} or {w('restart-primary')}"
    if (run.crash or run.restart_count) and not run.instrumentation:
        yield f"{w('instrumentation')}: nodes must report their phases to show what they commit after a crash"
    if run.restart > correct:
        yield f"{w('restart', run.restart)}: the cluster has only {counted(correct, 'correct node')}"
    if run.crash and run.restart_count:
        yield f"{w('crash')} cannot be combined with {ways}"
    if run.restart_primary and (run.restart or run.restart_all or run.liars):
        yield f"{w('restart-primary')} cannot be combined with {w('restart')}, {w('restart-all')} or {w('byzantine')}"
    if run.restart_primary and not run.specification.has_leader:
        yield f"{w('restart-primary')}: protocol {run.protocol} has no leader"
    if run.crash >= correct:
        yield f"{w('crash', run.crash)} would leave none of {counted(correct, 'correct node')}"
    if not run.restart_count:
        for key in ("restart-rounds", "restart-after"):
            # An experiment with restart = [0, 1] or restart-all = [false, true] has runs without restarts on purpose.
            if run.differs(key) and {"restart", "restart-all", "restart-primary"}.isdisjoint(given):
                yield f"{w(key)} needs {ways}"
    elif run.durability == "memory":
        yield f"{w('durability', 'memory')}: a killed node would forget its votes and its ledger"
    elif why := why_too_tight(run.restart_rounds, run.restart_after_s, run.duration_s):
        rounds, after = w("restart-rounds", run.restart_rounds), w("restart-after", f"{run.restart_after_s:g}")
        yield f"{rounds} with {after}: {why}"


def _of_link_faults(run: RunSettings, w: Written) -> Iterator[str]:
    end_s = run.warmup_s + run.duration_s
    for fault in run.link_faults:
        if fault.start_s >= end_s:
            begins = f"a {fault.kind} fault would begin at {fault.start_s:g} s"
            yield f"{begins}, but warm-up and measured time end at {end_s:g} s"
    if run.link_faults and not run.instrumentation:
        yield f"{w('instrumentation')}: nodes must report their phases to show what they commit after a fault"


def _of_load(run: RunSettings, w: Written) -> Iterator[str]:
    longest, largest = run.parameters.max_tx_bytes, run.tx_sizes.high
    if largest > longest:
        yield f"{w('tx-size', run.tx_size)} exceeds the longest transaction, {w('max-tx-bytes', longest)}"
    if run.rate is None:
        if run.arrivals != "fixed":
            yield f"{w('arrivals')} is for the open loop, with {w('rate')}"
        if run.window is not None and run.window > (most := run.mempool_room):
            yield f"{w('window', run.window)}: a node takes {most:,} unanswered transactions of this size"
        return
    if run.window is not None:
        yield f"{w('window')} is for the closed loop, without {w('rate')}"
    seconds = run.warmup_s + run.duration_s
    if run.rate * seconds > MOST_OFFERED:
        rate = w("rate", f"{run.rate:g}")
        yield f"{rate} for {seconds:g} s: more than the {MOST_OFFERED:,} transactions that can be offered"
