"""A whole run in virtual time: the same files, the same checks and the same summary as those of real processes."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.load.virtual_loads import VirtualLoads
from bench.measure.summary import Outcome, summarise
from bench.places.choice import VIRTUAL
from bench.plan.outage_plan import PRIMARY, Action, OutagePlan
from bench.plan.run_settings import RunSettings
from bench.plan.simulation_settings import SimulationSettings
from bench.run.cluster import CATCH_UP_TIMEOUT_S, HOPELESS_S, STALLED_S, agreed_leader
from bench.run.progress import Progress
from bench.run.single_run import TICK_S, load_settings, phase_at
from crypto.suites import find_suite
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.preflight import check_machine
from honeybadger.simulation.virtual_time.costs import Costs
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.simulation.virtual_time.ideal import IDEAL
from honeybadger.simulation.virtual_time.links import Network
from honeybadger.simulation.virtual_time.node import VirtualNode
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import SHIPPED, CostTable
from honeybadger.simulation.virtual_time.world import Description, World

#: more unanswered transactions than this no node is given
MOST_WAITING = 10_000_000
#: how often a person hears of it, seconds of the real clock
SHOW_S = 0.5


def described(how: SimulationSettings, table: CostTable) -> dict[str, Any]:
    """What the summary says of `how` a run was simulated."""
    return {
        "mode": how.costs,
        "crypto": how.crypto,
        "cores": how.cores,
        "own_hosts": how.own_hosts,
        "bundle": how.bundle,
        "factor": how.factor,
        "table": str(how.calibration) if how.calibration else "shipped with the package",
        "table_machine": table.machine,
        "table_version": table.version,
        "latency_ms": how.latency_s * 1e3,
        "schedule": how.schedule,
        "uplink_mbit": how.uplink_mbit,
        "downlink_mbit": how.downlink_mbit,
    }


def refuse_other_simulations(out: Path, how: SimulationSettings, summaries: Iterable[Mapping[str, Any]]) -> None:
    """ClusterError if results that are in `out` were simulated in another way: they would be taken for done."""
    mine = described(how, CostTable.load(how.calibration or SHIPPED))
    for summary in summaries:
        # A run that could not start was not simulated at all.
        theirs = summary.get("simulation", mine)
        if other := next((key for key in mine if theirs.get(key) != mine[key]), ""):
            there = f"{other} = {theirs.get(other)}"
            raise ClusterError(f"{out} holds runs simulated with {there}, not {mine[other]}; choose another --out")


@dataclass
class SimulatedFiles:
    """What the summary wants to know of a node. Implements `RunningNode` as far as that goes."""

    index: int
    data: Path
    killed: bool
    restarts: int
    exit_status: int
    traceback: str

    @staticmethod
    def of(node: VirtualNode, directory: Path) -> "SimulatedFiles":
        """`killed`: on purpose. A node that failed has ended with a status."""
        home, failure = directory / f"node-{node.me}", node.failure
        killed = not node.alive and not failure
        return SimulatedFiles(node.me, home, killed, node.lives - 1, int(bool(failure)), node.life.traceback)

    @property
    def events(self) -> Path:
        return self.data / "events.jsonl"


class SimulatedRun:
    """One run. `run` returns the summary; `show(progress)` is called about twice a second.

    `table`: where the file that `how` names is not at hand. `interrupted()`: whether somebody wants the run to end now,
    with a summary of the time so far.
    """

    def __init__(
        self,
        settings: RunSettings,
        how: SimulationSettings,
        show: Callable[[Progress], None],
        table: CostTable | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._how = how
        self._show = show
        self._interrupted = interrupted
        self._table = table or CostTable.load(how.calibration or SHIPPED)
        self._progress = Progress(total_s=settings.warmup_s + settings.duration_s, byzantine=sorted(settings.liars))
        self._plan = OutagePlan.of(settings)
        self._shown_at = 0.0
        self._died: dict[int, str] = {}

    def run(self) -> dict[str, Any]:
        """Simulate, check, summarise. ClusterError, in one line, for a table that cannot be read; OSError for a file
        that cannot be written."""
        settings, how = self._settings, self._how
        check_machine(settings.nodes, curve=False)
        with ExitStack() as stack:
            directory = settings.out or Path(stack.enter_context(TemporaryDirectory(prefix="honeybadger-")))
            trace = Trace(stack.enter_context(how.trace.open("wb")) if how.trace else None)
            payload = how.payload(settings)
            # Simulated mempools have room for whatever the closed loop needs, as queues of the paper's nodes have.
            offered = [load_settings(settings, client, room=MOST_WAITING) for client in range(settings.clients)]
            loads = VirtualLoads(offered, self._table.node.client, payload)
            unanswered = 0 if settings.rate else sum(one.window for one in offered)
            self._say("dealing keys")
            world = World(self._description(payload, unanswered), directory, loads, trace)
            began = time.monotonic()
            stack.enter_context(_rare_collections())
            world.begin()
            loads.begin(world)
            self._each_tick(world, loads)
            # Nodes that are to come back do so, although nobody offers anything any more.
            world.run(lambda: self._interrupted() or (loads.finished and not self._plan.restart_is_owed))
            stopped = not loads.finished
            loads.interrupt()
            same_height = self._settle(world)
            stopped = stopped or (not same_height and self._interrupted())
            took_s = time.monotonic() - began
            nodes: Any = [SimulatedFiles.of(node, directory) for node in world.nodes]
            world.close()
            loads.save(directory)
            self._say("checking ledgers")
            window = _so_far(loads.window, world) if stopped else loads.window
            died = list(self._died.values())
            outcome = Outcome(window, world.schedule_zero, self._plan, died, same_height)
            summary = summarise(directory, settings, nodes, outcome)
            summary |= self._facts(world, took_s, stopped)
            if stopped:
                summary |= {"valid": False, "reason": f"interrupted after {world.clock.now:.1f} s of virtual time"}
            if settings.out is not None:
                (directory / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
            return summary

    def _description(self, payload: Payload, window: int) -> Description:
        settings, how = self._settings, self._how
        return Description(
            parameters=payload.parameters(settings.parameters),
            quorums=settings.quorums,
            suite=IDEAL if how.crypto == "ideal" else find_suite(settings.parameters.suite),
            costs=Costs(self._table, how.costs, how.factor),
            seed=settings.seed,
            cores=how.cores,
            own_hosts=how.own_hosts,
            network=Network(how.latency_s, settings.profile, how.uplink, how.downlink),
            runtime=self._runtime(payload, window),
            faults=settings.link_faults,
            liars=settings.liars,
            payload=payload,
            schedule=how.schedule or "",
        )

    def _runtime(self, payload: Payload, window: int) -> Runtime:
        """That of the nodes, whose mempools have room for `window` unanswered transactions at least."""
        settings, runtime = self._settings, self._settings.runtime
        most, most_bytes = payload.mempool(
            max(runtime.mempool_transactions, window),
            max(runtime.mempool_bytes, window * settings.tx_sizes.high),
        )
        return msgspec.structs.replace(runtime, mempool_transactions=most, mempool_bytes=most_bytes)

    def _facts(self, world: World, took_s: float, stopped: bool) -> dict[str, Any]:
        """What makes it a simulation, and what of a real run it has no word for."""
        how = self._how
        return {
            "place": VIRTUAL,
            "durability": "simulated",
            "suite": how.crypto if how.crypto == "ideal" else self._settings.parameters.suite,
            "simulation": {
                **described(how, self._table),
                "virtual_s": world.clock.now,
                "events": world.clock.events,
                "took_s": took_s,
                "interrupted": stopped,
            },
        }

    def _each_tick(self, world: World, loads: VirtualLoads) -> None:
        """Kill who is to be killed, start who is to come back, and tell a person now and then how it goes."""
        now = world.clock.now
        self._inject(world, loads)
        self._look_for_deaths(world, loads)
        if time.monotonic() >= self._shown_at + SHOW_S:
            self._shown_at = time.monotonic()
            self._progress.phase = phase_at(now, loads.window, warm=loads.warm)
            self._progress.elapsed_s = max(0.1, now - loads.window[0] + self._settings.warmup_s)
            self._progress.rate_tx_per_s = loads.acknowledged / max(0.1, now)
            self._progress.committed = loads.acknowledged
            second = now - world.schedule_zero
            self._progress.link_faults = [fault.kind for fault in self._settings.link_faults if fault.active(second)]
            self._show(self._progress)
        if not loads.finished or self._plan.restart_is_owed:
            world.clock.after(TICK_S, lambda: self._each_tick(world, loads))

    def _inject(self, world: World, loads: VirtualLoads) -> None:
        now = world.clock.now
        while (action := self._plan.due(now, loads.window)) is not None:
            if action.nodes == PRIMARY:
                leaders = {node.me: node.protocol.leader for node in world.nodes if node.alive}
                primary = agreed_leader(leaders, self._settings.quorums.quorum)
                if primary is None:
                    # Asked again with the next tick.
                    return
                action = Action(True, (primary,))
            for index in action.nodes:
                if action.kill:
                    world.nodes[index].kill()
                else:
                    world.restart(index)
            (loads.down if action.kill else loads.up)(action.nodes)
            self._progress.restarts += 0 if action.kill else len(action.nodes)
            self._plan.done(action, now)
            self._progress.crashed = self._plan.down

    def _look_for_deaths(self, world: World, loads: VirtualLoads) -> None:
        """Correct nodes that have ended unasked."""
        for node in world.nodes:
            if node.failure and node.me not in self._died and node.me not in self._settings.liars:
                self._died[node.me] = f"node {node.me} ended unasked: {node.failure}"
                loads.down([node.me])

    def _settle(self, world: World) -> bool:
        """Let all correct nodes that are up reach the same height on disk; False if they do not, or nobody waits."""
        settings, clock = self._settings, world.clock
        up = [world.nodes[index] for index in settings.correct if world.nodes[index].alive]
        stay_cut = any(f.end_s is None and f.kind in ("partition", "one-way") for f in settings.link_faults)
        patience_s = HOPELESS_S if stay_cut or len(up) < settings.quorums.quorum else STALLED_S
        not_before = world.schedule_zero + settings.link_faults_end_s
        began = changed_at = clock.now
        heights: list[int] = []
        while not self._interrupted():
            before, heights = (
                heights,
                [height for node in up for height in (node.chain.height, node.chain.durable_height)],
            )
            if clock.now >= not_before and len(set(heights)) <= 1:
                return True
            if heights != before:
                changed_at = clock.now
            if clock.now > max(changed_at, not_before) + patience_s:
                return False
            if clock.now > max(began, not_before) + CATCH_UP_TIMEOUT_S:
                return False
            next_look = clock.now + TICK_S
            world.run(lambda: self._interrupted() or clock.now >= next_look)  # noqa: B023
        return False

    def _say(self, phase: str) -> None:
        self._progress.phase = phase
        self._progress.elapsed_s = 0.0
        self._progress.link_faults = []
        self._show(self._progress)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """As in a real node: little of what a run makes is in cycles, and looking for those takes a tenth of the time."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _so_far(window: tuple[float, float], world: World) -> tuple[float, float]:
    """The part of the measured time that has passed; of a run that was still warming up, all since the load began."""
    start, now = window[0], world.clock.now
    return (start if start < now else min(now, world.schedule_zero) - 1e-9, min(window[1], now))
