"""A whole run in virtual time: the same files, the same checks and the same summary as those of real processes."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.load.offers import client_directory
from bench.load.virtual_load import VirtualLoad
from bench.measure.summary import Outcome, summarise
from bench.places.choice import VIRTUAL
from bench.plan.outage_plan import OutagePlan
from bench.plan.run_settings import RunSettings
from bench.plan.simulation_settings import SimulationSettings
from bench.run.progress import Progress
from bench.run.single_run import TICK_S, load_settings, phase_at
from crypto.suites import find_suite
from honeybadger.cluster.errors import ClusterError
from honeybadger.simulation.virtual_time.costs import Costs
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.simulation.virtual_time.ideal import IDEAL
from honeybadger.simulation.virtual_time.links import Network
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import SHIPPED, CostTable
from honeybadger.simulation.virtual_time.world import Description, World

#: nodes that are not at the same height after so long will not be, virtual seconds
CATCH_UP_S = 20.0
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
    restarts: int = 0
    exit_status: int = 0
    traceback: str = ""

    @property
    def events(self) -> Path:
        return self.data / "events.jsonl"


class SimulatedRun:
    """One run. `run` returns the summary; `show(progress)` is called about twice a second. `table`: where the file that
    `how` names is not at hand."""

    def __init__(
        self,
        settings: RunSettings,
        how: SimulationSettings,
        show: Callable[[Progress], None],
        table: CostTable | None = None,
    ) -> None:
        self._settings = settings
        self._how = how
        self._show = show
        self._table = table or CostTable.load(how.calibration or SHIPPED)
        self._progress = Progress(total_s=settings.warmup_s + settings.duration_s, byzantine=sorted(settings.liars))
        self._plan = OutagePlan.crash(settings.correct, settings.crash)
        self._shown_at = 0.0

    def run(self) -> dict[str, Any]:
        """Simulate, check, summarise. ClusterError, in one line, for a table that cannot be read; OSError for a file
        that cannot be written."""
        settings, how = self._settings, self._how
        with ExitStack() as stack:
            directory = settings.out or Path(stack.enter_context(TemporaryDirectory(prefix="honeybadger-")))
            trace = Trace(stack.enter_context(how.trace.open("wb")) if how.trace else None)
            payload = how.payload(settings)
            # Simulated mempools have room for whatever the closed loop needs, as queues of the paper's nodes have.
            offered = load_settings(settings, room=MOST_WAITING)
            load = VirtualLoad(offered, self._table.node.client, payload)
            self._say("dealing keys")
            world = World(self._description(payload, 0 if settings.rate else offered.window), directory, load, trace)
            began = time.monotonic()
            world.begin()
            load.begin(world)
            self._each_tick(world, load)
            world.run(until=lambda: load.finished)
            same_height = self._settle(world)
            took_s = time.monotonic() - began
            world.close()
            load.save(client_directory(directory, 0))
            self._say("checking ledgers")
            nodes: Any = [SimulatedFiles(n.me, directory / f"node-{n.me}", not n.alive) for n in world.nodes]
            summary = summarise(directory, settings, nodes, Outcome(load.window, 0.0, self._plan, [], same_height))
            summary |= self._facts(world, took_s)
            if settings.out is not None:
                (directory / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
            return summary

    def _description(self, payload: Payload, window: int) -> Description:
        settings, how = self._settings, self._how
        runtime = settings.runtime
        return Description(
            specification=settings.specification,
            parameters=payload.parameters(settings.parameters),
            quorums=settings.quorums,
            suite=IDEAL if how.crypto == "ideal" else find_suite(settings.parameters.suite),
            costs=Costs(self._table, how.costs, how.factor),
            seed=settings.seed,
            cores=how.cores,
            own_hosts=how.own_hosts,
            network=Network(how.latency_s, settings.profile, how.uplink, how.downlink, settings.link_faults),
            mempool=payload.mempool(
                max(runtime.mempool_transactions, window),
                max(runtime.mempool_bytes, window * settings.tx_sizes.high),
            ),
            liars=settings.liars,
            recovery=settings.recovery,
            payload=payload,
        )

    def _facts(self, world: World, took_s: float) -> dict[str, Any]:
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
            },
        }

    def _each_tick(self, world: World, load: VirtualLoad) -> None:
        """Kill who is to be killed, and tell a person now and then how it goes."""
        now = world.clock.now
        while (action := self._plan.due(now, load.window)) is not None:
            for node in action.nodes:
                world.nodes[node].kill()
                load.down(node)
            self._plan.done(action, now)
            self._progress.crashed = self._plan.down
        if time.monotonic() >= self._shown_at + SHOW_S:
            self._shown_at = time.monotonic()
            self._progress.phase = phase_at(now, load.window, warm=load.warm)
            self._progress.elapsed_s = max(0.1, now - load.window[0] + self._settings.warmup_s)
            self._progress.rate_tx_per_s = load.acknowledged / max(0.1, now)
            self._progress.committed = load.acknowledged
            self._show(self._progress)
        if not load.finished:
            world.clock.after(TICK_S, lambda: self._each_tick(world, load))

    def _settle(self, world: World) -> bool:
        """Let all correct nodes that are up reach the same height on disk; False if they do not."""
        up = [world.nodes[index] for index in self._settings.correct if world.nodes[index].alive]

        def same() -> bool:
            return len({node.chain.durable_height for node in up} | {node.chain.height for node in up}) <= 1

        limit = world.clock.now + CATCH_UP_S
        while not same() and world.clock.now < limit and world.clock.step():
            pass
        return same()

    def _say(self, phase: str) -> None:
        self._progress.phase = phase
        self._progress.elapsed_s = 0.0
        self._show(self._progress)
