"""A whole cluster, on this machine or in another `Place`: keys, real node processes, load, faults, measurement,
cross-check, summary.

The controller is not a node: it draws no random bits of the protocol and takes no part in it.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.load.client import Settings
from bench.load.clients import Clients
from bench.load.offers import client_directory
from bench.measure.summary import Outcome, summarise
from bench.places.place import Place
from bench.places.processes import ThisMachine
from bench.plan.outage_plan import PRIMARY, Action, OutagePlan, Window
from bench.plan.run_settings import RunSettings
from bench.run.cluster import RunningCluster
from bench.run.progress import Progress
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.preflight import check_machine
from honeybadger.cluster.processes import WatchProcess, free_ports
from honeybadger.cluster.wan.emulation import Emulation

#: how often the outage plan is asked, seconds
TICK_S = 0.05
#: how long the load generator waits without news after the window, seconds; longer if nodes come back meanwhile or
#: are far apart
PATIENCE_S = 5.0
PATIENCE_AFTER_FAULTS_S = 15.0


def phase_at(now: float, window: Window, *, warm: bool) -> str:
    """A window that can still move has not begun, whatever the clock says."""
    if not warm or now < window[0]:
        return "warming up"
    return "running" if now < window[1] else "draining"


def load_settings(settings: RunSettings, client: int = 0, room: int | None = None) -> Settings:
    """What a client offers; `manifest` and `output` are empty.

    `room`: unanswered transactions that a node takes; by default, what a mempool has room for.
    """
    per_node = settings.parameters.transactions_per_node(settings.nodes)
    faults_end_s = settings.link_faults_end_s
    patience_s = PATIENCE_AFTER_FAULTS_S if settings.restart_count or faults_end_s or settings.wan else PATIENCE_S
    most = settings.mempool_room if room is None else room
    # One batch in each epoch in progress, one on its way to the disk and back, one waiting. What several nodes hold is
    # waited for at each of them, so each needs more.
    usual_window = per_node * (settings.parameters.pipeline_depth + 2) * settings.copies
    return Settings(
        manifest="",
        output="",
        curve=settings.runtime.curve,
        seed=settings.seed,
        tx_size=settings.tx_sizes.text,
        warmup_s=settings.warmup_s,
        duration_s=settings.duration_s,
        rate=settings.rate,
        window=max(1, (settings.window or min(usual_window, most)) // settings.clients),
        warm_tx=max(1, settings.parameters.batch_size // settings.clients) if settings.rate is None else 1,
        skip=sorted(settings.liars),
        # Faults that outlast the window are waited for.
        patience_s=patience_s + max(0.0, faults_end_s - settings.warmup_s - settings.duration_s),
        arrivals=settings.arrivals,
        client=client,
        clients=settings.clients,
        copies=settings.copies,
    )


class SingleRun:
    """One run. `run` returns the summary; `show(progress)` is called about twice a second.

    `place`: where the nodes live; None: on this machine. `watch`: with HTTP for the cluster, on this machine.
    """

    def __init__(
        self,
        settings: RunSettings,
        show: Callable[[Progress], None],
        place: Place | None = None,
        *,
        watch: bool = False,
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._show = show
        self._place = place
        self._progress = Progress(total_s=settings.warmup_s + settings.duration_s, byzantine=sorted(settings.liars))
        self._plan = OutagePlan.of(settings)
        self._recent: list[tuple[float, int]] = []

    def run(self) -> dict[str, Any]:
        """Run, stop everything, check, summarise. Raises ClusterError, in one line, if the cluster cannot start."""
        settings = self._settings
        check_machine(settings.nodes, settings.runtime.curve)
        with ExitStack() as stack:
            directory = settings.out or Path(stack.enter_context(TemporaryDirectory(prefix="honeybadger-")))
            place = self._choose_place(stack)
            stack.callback(place.clean_up)
            self._say("dealing keys")
            cluster = RunningCluster(directory, settings, place)
            stack.callback(cluster.stop, 5)
            if self._watch:
                base = settings.base_port
                # The one after those of the nodes, if these were chosen by a person.
                port = free_ports(1)[0] if base is None else base + 2 * settings.nodes
                watcher = WatchProcess(directory, port, settings.runtime.curve)
                stack.callback(watcher.close)
                self._progress.page = watcher.page
            self._say("starting nodes")
            cluster.start()
            window = self._offer(directory, cluster, stack)
            same_height = self._settle(cluster)
            self._say("stopping nodes")
            cluster.stop(30)
            cluster.collect()
            self._say("checking ledgers")
            died = list(cluster.died.values())
            outcome = Outcome(window, cluster.schedule_zero, self._plan, died, same_height)
            summary = summarise(directory, settings, cluster.nodes, outcome) | place.facts()
            if settings.out is not None:
                (directory / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
            return summary

    def _choose_place(self, stack: ExitStack) -> Place:
        """Where the nodes live. An emulated WAN has its round trips measured, and is removed at the end."""
        wan = self._settings.profile
        if self._place is not None:
            if wan is not None:
                raise ClusterError("--wan is for nodes on this machine, neither in containers nor on other hosts")
            return self._place
        if wan is None:
            return ThisMachine()
        self._say("making the WAN")
        emulation = stack.enter_context(Emulation(wan, self._settings.nodes))
        self._say("measuring round trips")
        emulation.measure()
        return ThisMachine(emulation)

    def _offer(self, directory: Path, cluster: RunningCluster, stack: ExitStack) -> Window:
        """Run the load generator to its end, and the outage plan at the same time; returns the measured window."""
        clients = range(self._settings.clients)
        generator = Clients([self._load_settings(directory, cluster, client) for client in clients])
        stack.callback(generator.kill)
        window: Window | None = None
        while not generator.finished:
            event = generator.event(TICK_S)
            if event is not None and event["event"] == "window":
                window = (event["start"], event["end"])
            elif event is not None and window is not None:
                self._show_progress(window, event, cluster)
            self._inject(cluster, generator, window)
            if dead := cluster.look_for_deaths():
                generator.tell(down=dead)
        if failure := generator.failure():
            raise ClusterError(next(iter(cluster.died.values()), failure))
        # Nodes that are to come back do so, although nobody offers anything any more.
        while self._plan.restart_is_owed:
            self._inject(cluster, generator, window)
            time.sleep(TICK_S)
        return window or (0.0, 0.0)

    def _load_settings(self, directory: Path, cluster: RunningCluster, client: int) -> Settings:
        return msgspec.structs.replace(
            load_settings(self._settings, client),
            manifest=str(directory / "cluster.toml"),
            output=str(client_directory(directory, client)),
            shares_clock=cluster.place.shares_clock,
        )

    def _inject(self, cluster: RunningCluster, generator: Clients, window: Window | None) -> None:
        while window is not None and (action := self._plan.due(time.monotonic(), window)) is not None:
            if action.nodes == PRIMARY:
                primary = cluster.leader()
                if primary is None:
                    # Asked again with the next tick.
                    return
                action = Action(True, (primary,))
            if action.kill:
                cluster.kill(action.nodes)
                generator.tell(down=list(action.nodes))
            else:
                cluster.restart(action.nodes)
                generator.tell(up=list(action.nodes))
                self._progress.restarts += len(action.nodes)
            self._plan.done(action, time.monotonic())
            self._progress.crashed = self._plan.down

    def _settle(self, cluster: RunningCluster) -> bool:
        """Let all correct nodes reach the same height; False if they do not, and the result will say so."""
        settings = self._settings
        self._say("waiting for all nodes to reach the same height")
        alive = len(settings.correct) - len(self._plan.down) - len(cluster.died)
        stay_cut = any(f.end_s is None and f.kind in ("partition", "one-way") for f in settings.link_faults)
        hopeless = stay_cut or alive < settings.quorums.quorum
        return cluster.await_same_height(
            cluster.schedule_zero + settings.link_faults_end_s, hopeless, lambda: self._show(self._progress)
        )

    def _show_progress(self, window: Window, event: dict[str, Any], cluster: RunningCluster) -> None:
        now, progress, acknowledged = time.monotonic(), self._progress, event["acknowledged"]
        self._recent = [*self._recent[-6:], (now, acknowledged)]
        progress.phase = phase_at(now, window, warm=event["warm"])
        progress.elapsed_s = max(0.1, now - window[0] + self._settings.warmup_s)
        progress.committed = acknowledged
        (t0, c0), (t1, c1) = self._recent[0], self._recent[-1]
        progress.rate_tx_per_s = (c1 - c0) / max(1e-9, t1 - t0)
        second = now - cluster.schedule_zero
        progress.link_faults = [fault.kind for fault in self._settings.link_faults if fault.active(second)]
        self._show(progress)

    def _say(self, phase: str) -> None:
        self._progress.phase = phase
        self._progress.elapsed_s = 0.0
        self._progress.link_faults = []
        self._show(self._progress)
