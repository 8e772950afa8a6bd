"""A whole cluster on this machine: keys, real node processes on loopback, load, faults, measurement, cross-check,
summary.

The controller is not a node: it draws no random bits of the protocol and takes no part in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench import load
from bench.fault_plan import FaultPlan, Window
from bench.load_process import Clients
from bench.local_cluster import LocalCluster
from bench.local_summary import Outcome, summarise
from bench.offers import client_directory
from bench.settings import LocalSettings, Progress
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.preflight import check_machine
from honeybadger.protocols.quorums import Quorums

__all__ = ["LocalRun", "LocalSettings", "Progress"]

#: how often the fault plan is asked, seconds
TICK_S = 0.05
#: how long the load generator waits without news after the window, seconds; longer if nodes come back meanwhile
PATIENCE_S = 5.0
PATIENCE_AFTER_FAULTS_S = 15.0


class LocalRun:
    """One run. `run` returns the summary; `show(progress)` is called about twice a second.

    `place(directory, settings)`: where the nodes live.
    """

    def __init__(
        self,
        settings: LocalSettings,
        show: Callable[[Progress], None],
        place: Callable[[Path, LocalSettings], LocalCluster] = LocalCluster,
    ) -> None:
        self._settings = settings
        self._show = show
        self._place = place
        self._progress = Progress(total_s=settings.warmup_s + settings.duration_s, byzantine=sorted(settings.byzantine))
        if settings.restart:
            self._plan = FaultPlan.restarts(
                settings.correct, settings.restart, settings.restart_rounds, settings.restart_after_s, settings.seed
            )
        else:
            self._plan = FaultPlan.crash(settings.correct, settings.crash)
        self._recent: list[tuple[float, int]] = []

    def run(self) -> dict[str, Any]:
        """Run, stop everything, check, summarise. Raises ClusterError, in one line, if the cluster cannot start."""
        settings = self._settings
        check_machine(settings.nodes, settings.runtime.curve)
        with ExitStack() as stack:
            directory = settings.out or Path(stack.enter_context(TemporaryDirectory(prefix="honeybadger-")))
            self._say("dealing keys")
            cluster = self._place(directory, settings)
            stack.callback(cluster.stop, 5)
            self._say("starting nodes")
            cluster.start()
            window = self._offer(directory, cluster, stack)
            same_height = self._settle(cluster)
            self._say("stopping nodes")
            cluster.stop(30)
            self._say("checking ledgers")
            died = list(cluster.died.values())
            outcome = Outcome(window, cluster.schedule_zero, self._plan, died, same_height)
            summary = {**summarise(directory, settings, cluster.nodes, outcome), **cluster.about()}
            if settings.out is not None:
                (directory / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
            return summary

    # -- load and faults -----------------------------------------------------------------------------------

    def _offer(self, directory: Path, cluster: LocalCluster, stack: ExitStack) -> Window:
        """Run the load generator to its end, and the fault plan beside it; returns the measured window."""
        generator = Clients([self._load_settings(directory, client) for client in range(self._settings.clients)])
        stack.callback(generator.kill)
        window: Window | None = None
        while not generator.finished:
            event = generator.event(TICK_S)
            now = time.monotonic()
            if event is not None and event["event"] == "window":
                window = (event["start"], event["end"])
            elif event is not None and window is not None:
                self._show_progress(now, window, event["acknowledged"], cluster)
            self._inject(cluster, generator, window)
            if dead := cluster.look_for_deaths():
                generator.tell(down=dead)
        if failure := generator.failure():
            raise ClusterError(next(iter(cluster.died.values()), failure))
        # Who was to come back comes back, although nobody offers anything any more.
        while self._plan.restart_is_owed:
            self._inject(cluster, generator, window)
            time.sleep(TICK_S)
        return window or (0.0, 0.0)

    def _load_settings(self, directory: Path, client: int) -> load.Settings:
        settings = self._settings
        per_node = settings.parameters.transactions_per_node(settings.nodes)
        ends = [fault.end_s for fault in settings.link_faults if fault.end_s is not None]
        patience_s = PATIENCE_AFTER_FAULTS_S if settings.restart or ends else PATIENCE_S
        # One batch in each epoch in progress, one on its way to the disk and back, one waiting.
        usual_window = per_node * (settings.parameters.pipeline_depth + 2)
        return load.Settings(
            manifest=str(directory / "cluster.toml"),
            output=str(client_directory(directory, client)),
            curve=settings.runtime.curve,
            seed=settings.seed,
            tx_size=settings.tx_sizes.text,
            warmup_s=settings.warmup_s,
            duration_s=settings.duration_s,
            rate=settings.rate,
            window=max(1, (settings.window or usual_window) // settings.clients),
            warm_tx=max(1, settings.parameters.batch_size // settings.clients) if settings.rate is None else 1,
            skip=sorted(settings.byzantine),
            # Faults that outlast the window are waited for.
            patience_s=patience_s + max(0.0, max(ends, default=0.0) - settings.warmup_s - settings.duration_s),
            arrivals=settings.arrivals,
            client=client,
            clients=settings.clients,
            copies=settings.submit_to,
        )

    def _inject(self, cluster: LocalCluster, generator: Clients, window: Window | None) -> None:
        """Do what the fault plan wants done now."""
        while window is not None and (action := self._plan.due(time.monotonic(), window)) is not None:
            if action.kill:
                cluster.kill(action.nodes)
                generator.tell(down=list(action.nodes))
            else:
                cluster.restart(action.nodes)
                generator.tell(up=list(action.nodes))
                self._progress.restarts += len(action.nodes)
            self._plan.done(action, time.monotonic())
            self._progress.crashed = self._plan.down

    # -- afterwards ----------------------------------------------------------------------------------------

    def _settle(self, cluster: LocalCluster) -> bool:
        """Let all correct nodes reach the same height; False if they do not, and the result will say so."""
        settings = self._settings
        self._say("waiting for all nodes to reach the same height")
        ends = [fault.end_s for fault in settings.link_faults if fault.end_s is not None]
        alive = len(settings.correct) - len(self._plan.down) - len(cluster.died)
        for_ever = any(f.end_s is None and f.kind in ("partition", "one-way") for f in settings.link_faults)
        hopeless = for_ever or alive < Quorums(settings.nodes, settings.faults).quorum
        return cluster.await_same_height(
            cluster.schedule_zero + max(ends, default=0.0), hopeless, lambda: self._show(self._progress)
        )

    # -- display -------------------------------------------------------------------------------------------

    def _show_progress(self, now: float, window: Window, acknowledged: int, cluster: LocalCluster) -> None:
        progress = self._progress
        self._recent = [*self._recent[-6:], (now, acknowledged)]
        progress.phase = "warming up" if now < window[0] else "running" if now < window[1] else "draining"
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
