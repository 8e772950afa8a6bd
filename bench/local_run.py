"""A whole cluster on this machine: keys, real node processes on loopback, load, faults, measurement, cross-check,
summary.

The controller is not a node: it draws no random bits of the protocol and takes no part in it. Processes are ended
by their ids.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from bench import load
from bench.checks import LedgerCheck, check_ledgers
from bench.machine import machine, versions
from bench.observations import NodeObservations, everywhere_durable, read_node
from bench.summary import (
    SCHEMA,
    committed_in,
    distribution,
    epoch_durations,
    epoch_intervals,
    memory_growth,
    node_row,
    phase_means,
)
from bench.workload import Workload
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.cluster.preflight import check_machine
from honeybadger.cluster.processes import NodeProcess, free_ports, require_free
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Status, StatusRequest
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums

START_TIMEOUT_S = 30.0
START_TIMEOUT_PER_NODE_S = 4.0
CATCH_UP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class LocalSettings:
    """What to run.

    `rate`: offered transactions per second in all, None for the closed loop; `crash`: nodes to kill half-way.
    `restart`: nodes to kill half-way and to start again after `restart_after_s`.
    """

    nodes: int
    faults: int
    parameters: Parameters
    runtime: Runtime
    tx_bytes: int
    duration_s: float
    warmup_s: float
    rate: float | None
    crash: int
    restart: int
    restart_after_s: float
    base_port: int | None
    seed: int
    out: Path | None


@dataclass
class Progress:
    """What the run is doing now, for a display."""

    phase: str = "starting"
    elapsed_s: float = 0.0
    total_s: float = 0.0
    committed: int = 0
    rate_tx_per_s: float = 0.0
    crashed: list[int] = field(default_factory=list)


class LocalRun:
    """One run. `run` returns the summary; `show(progress)` is called about twice a second."""

    def __init__(self, settings: LocalSettings, show: Callable[[Progress], None]) -> None:
        self._settings = settings
        self._show = show
        self._progress = Progress(total_s=settings.warmup_s + settings.duration_s)
        self._nodes: list[NodeProcess] = []
        self._load: subprocess.Popen[str] | None = None
        self._crash_at: float | None = None
        self._restart_at: float | None = None
        self._victims: list[NodeProcess] = []
        self._died: list[str] = []

    def run(self) -> dict[str, Any]:
        """Run, stop everything, check, summarise. Raises ClusterError, in one line, if the cluster cannot start."""
        settings = self._settings
        Workload(settings.seed, settings.tx_bytes)
        check_machine(settings.nodes, settings.runtime.curve)
        with ExitStack() as stack:
            if settings.out is None:
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="honeybadger-")))
            else:
                directory = settings.out
            manifest = self._prepare(directory)
            stack.callback(self._stop_everything)
            self._start_nodes(directory, manifest)
            window = self._offer(directory)
            if self._victims and settings.restart:
                self._await_catch_up(manifest)
            self._stop_nodes()
            self._say("checking ledgers")
            summary = self._summarise(directory, window)
            if settings.out is not None:
                (directory / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
            return summary

    # -- start ---------------------------------------------------------------------------------------------

    def _prepare(self, directory: Path) -> Manifest:
        settings = self._settings
        if settings.base_port is None:
            ports = free_ports(2 * settings.nodes)
        else:
            ports = list(range(settings.base_port, settings.base_port + 2 * settings.nodes))
            require_free(ports)
        addresses = [("127.0.0.1", ports[2 * i], ports[2 * i + 1]) for i in range(settings.nodes)]
        self._say("dealing keys")
        manifest, keys = make_cluster(settings.nodes, settings.faults, settings.parameters, addresses, settings.runtime)
        write_cluster(directory, manifest, keys)
        return manifest

    def _start_nodes(self, directory: Path, manifest: Manifest) -> None:
        self._say("starting nodes")
        self._nodes = [NodeProcess(directory, index) for index in range(self._settings.nodes)]
        limit = time.monotonic() + START_TIMEOUT_S + START_TIMEOUT_PER_NODE_S * len(self._nodes)
        with self._clients(manifest) as clients:
            for node, client in zip(self._nodes, clients, strict=True):
                while not self._is_ready(client):
                    for other in self._nodes:
                        if other.exit_status is not None:
                            raise ClusterError(_plain(other.last_words) or f"node {other.index} ended at once")
                    if time.monotonic() > limit:
                        raise ClusterError(f"node {node.index} was not ready in time: {_plain(node.last_words)}")

    @contextmanager
    def _clients(self, manifest: Manifest) -> Iterator[list[NodeClient]]:
        """A client of each node, closed in the end."""
        context: Any = zmq.Context()
        clients = [
            NodeClient(context, m.host, m.client_port, m.public_key, self._settings.runtime.curve)
            for m in manifest.members
        ]
        try:
            yield clients
        finally:
            for client in clients:
                client.close()
            context.term()

    def _is_ready(self, client: NodeClient) -> bool:
        client.send(StatusRequest(0))
        reply = client.receive(0.5)
        while (newer := client.receive_now()) is not None:
            reply = newer
        if isinstance(reply, Status) and reply.status["peers_connected"] == self._settings.nodes - 1:
            return True
        time.sleep(0.05)
        return False

    # -- run -----------------------------------------------------------------------------------------------

    def _offer(self, directory: Path) -> tuple[float, float]:
        """Run the load generator to its end, crash nodes half-way; returns the measured window."""
        settings = self._settings
        per_node = settings.parameters.transactions_per_node(settings.nodes)
        load_settings = load.Settings(
            manifest=str(directory / "cluster.toml"),
            output=str(directory),
            curve=settings.runtime.curve,
            seed=settings.seed,
            tx_bytes=settings.tx_bytes,
            warmup_s=settings.warmup_s,
            duration_s=settings.duration_s,
            rate=settings.rate,
            # One batch in each epoch in progress, one on its way to the disk and back, one waiting.
            window=per_node * (settings.parameters.pipeline_depth + 2),
            warm_tx=settings.parameters.batch_size if settings.rate is None else 1,
        )
        with (directory / "load.log").open("wb") as log:
            self._load = subprocess.Popen(
                [sys.executable, "-m", "bench.load", msgspec.json.encode(load_settings).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        window = (0.0, 0.0)
        recent: list[tuple[float, int]] = []
        if self._load.stdout is None:
            raise RuntimeError("the load generator has no output")
        for line in self._load.stdout:
            event = msgspec.json.decode(line)
            now = time.monotonic()
            if event["event"] == "window":
                window = (event["start"], event["end"])
                continue
            recent = [*recent[-6:], (now, event["acknowledged"])]
            self._progress.phase = "warming up" if now < window[0] else "running" if now < window[1] else "draining"
            self._progress.elapsed_s = max(0.1, now - window[0] + settings.warmup_s)
            self._progress.committed = event["acknowledged"]
            if len(recent) > 1:
                (t0, c0), (t1, c1) = recent[0], recent[-1]
                self._progress.rate_tx_per_s = (c1 - c0) / max(1e-9, t1 - t0)
            self._show(self._progress)
            self._crash_if_due(now, window)
            self._restart_if_due(now)
            self._look_for_deaths()
        if self._load.wait():
            self._look_for_deaths()
            if self._died:
                raise ClusterError(self._died[0])
            words = (directory / "load.log").read_text(errors="replace").strip().splitlines()
            raise ClusterError(f"the load generator failed: {words[-1] if words else 'no reason given'}")
        return window

    def _crash_if_due(self, now: float, window: tuple[float, float]) -> None:
        count = max(self._settings.crash, self._settings.restart)
        if self._crash_at is not None or not count or now < sum(window) / 2:
            return
        self._victims = self._nodes[len(self._nodes) - count :]
        for node in self._victims:
            node.kill()
        self._crash_at = time.monotonic()
        self._progress.crashed = [node.index for node in self._victims]
        self._tell_load({"down": self._progress.crashed})
        if self._settings.restart:
            self._restart_at = self._crash_at + self._settings.restart_after_s

    def _restart_if_due(self, now: float) -> None:
        if self._restart_at is None or now < self._restart_at:
            return
        self._restart_at = None
        for node in self._victims:
            node.restart()
        self._progress.crashed = []
        self._tell_load({"up": [node.index for node in self._victims]})

    def _look_for_deaths(self) -> None:
        for node in self._nodes:
            if node.exit_status is not None and not node.killed:
                word = f"node {node.index} ended unasked: {_plain(node.last_words)}"
                if word not in self._died:
                    self._died.append(word)
                    self._tell_load({"down": [node.index]})

    def _tell_load(self, message: dict[str, Any]) -> None:
        if self._load is not None and self._load.stdin is not None:
            try:
                self._load.stdin.write(msgspec.json.encode(message).decode() + "\n")
                self._load.stdin.flush()
            except BrokenPipeError:
                # It has just finished: there is nothing left to tell it.
                return

    def _await_catch_up(self, manifest: Manifest) -> None:
        """Give restarted nodes time to reach the others' height; if they do not, the result will say so."""
        self._say("waiting for restarted nodes")
        limit = time.monotonic() + CATCH_UP_TIMEOUT_S
        with self._clients(manifest) as clients:
            while time.monotonic() < limit:
                for client in clients:
                    client.send(StatusRequest(0))
                replies = [client.receive(1.0) for client in clients]
                heights = {reply.status["height"] for reply in replies if isinstance(reply, Status)}
                if len(heights) == 1 and None not in replies:
                    return
                time.sleep(0.2)

    # -- stop ----------------------------------------------------------------------------------------------

    def _stop_nodes(self) -> None:
        self._say("stopping nodes")
        for node in self._nodes:
            node.terminate()
        for node in self._nodes:
            node.wait(30)

    def _stop_everything(self) -> None:
        if self._load is not None and self._load.poll() is None:
            self._load.kill()
            self._load.wait()
        for node in self._nodes:
            if node.exit_status is None:
                node.terminate()
        for node in self._nodes:
            node.wait(5)

    # -- result --------------------------------------------------------------------------------------------

    def _summarise(self, directory: Path, window: tuple[float, float]) -> dict[str, Any]:
        settings = self._settings
        seen = [read_node(node.events) for node in self._nodes]
        correct = [node.index for node in self._nodes if not node.killed]
        live = [seen[index] for index in correct]
        offered = msgspec.json.decode((directory / "load.json").read_bytes(), type=load.Result)
        ledgers = {
            node.index: node.data / "ledger.sqlite"
            for node in self._nodes
            if (node.data / "ledger.sqlite").exists() or not node.killed
        }
        acknowledged = np.load(directory / "acknowledged.npy")
        workload = Workload(settings.seed, settings.tx_bytes)
        check = check_ledgers(ledgers, set(correct), workload, offered.batches, acknowledged)
        transactions, size, blocks = committed_in(window, live)
        length = window[1] - window[0]
        latencies = np.load(directory / "latencies.npy")
        if latencies.size:
            latencies = latencies[1][(latencies[0] >= window[0]) & (latencies[0] < window[1])]
        quantiles = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
        summary: dict[str, Any] = {
            "schema": SCHEMA,
            "protocol": settings.parameters.protocol,
            "nodes": settings.nodes,
            "faults_tolerated": settings.faults,
            "batch_size": settings.parameters.batch_size,
            "tx_bytes": settings.tx_bytes,
            "duration_s": settings.duration_s,
            "warmup_s": settings.warmup_s,
            "load": "closed loop" if settings.rate is None else "open loop",
            "window": {"start": window[0], "end": window[1]},
            "offered_tx_per_s": offered.offered_in_window / length,
            "late_sends": offered.late,
            "refused_tx": offered.refused,
            "unanswered_tx": offered.unanswered,
            "accepted_tx_per_s": (offered.offered_in_window - sum(offered.refused.values())) / length,
            "committed_tx": transactions,
            "throughput_tx_per_s": transactions / length,
            "throughput_bytes_per_s": size / length,
            "latency_s": distribution(latencies, quantiles),
            "epochs": blocks,
            "epoch_s": distribution(epoch_durations(window, live), {"p50": 0.5, "p99": 0.99}),
            "epoch_interval_s": distribution(epoch_intervals(window, live), {"p50": 0.5, "p99": 0.99}),
            "phase_s": phase_means(window, live),
            "agreement": _agreement(live),
            "ledger": {"height": check.height, "tip": check.tip, "agree": check.agree},
            "crashed": [node.index for node in self._nodes if node.killed],
            "restarted": [node.index for node in self._nodes if node.restarts],
            "recovery_s": self._recovery_times(seen),
            "final_heights": [max(node.durable_at, default=0) for node in seen],
            "committed_tx_after_crash": self._after_crash(live),
            "faults_recorded": _faults(seen),
            "memory_growth": [memory_growth(window, node) for node in live],
            "durability": settings.runtime.durability,
            "curve": settings.runtime.curve,
            "recovery": settings.runtime.recovery,
            "encrypt": settings.parameters.encryption != "never",
            "parameters": msgspec.to_builtins(settings.parameters),
            "seed": settings.seed,
            "per_node": [node_row(n.index, seen[n.index], n.exit_status) for n in self._nodes],
            "machine": machine(),
            "versions": versions(),
            "commit": _commit(),
        }
        summary["reason"] = self._why_invalid(check, summary)
        summary["valid"] = not summary["reason"]
        return summary

    def _after_crash(self, live: list[NodeObservations]) -> int | None:
        """Transactions of epochs that every correct node began after the crash; they needed no word of the dead."""
        if self._crash_at is None:
            return None
        return sum(
            int(live[0].block[height]["transactions"])
            for height in everywhere_durable(live)
            if self._began_after(self._crash_at, live[0].block[height]["epoch"], live)
        )

    @staticmethod
    def _began_after(moment: float, epoch: int, live: list[NodeObservations]) -> bool:
        began = [node.phases[epoch]["proposed"] for node in live if "proposed" in node.phases.get(epoch, {})]
        return bool(began) and min(began) > moment

    def _recovery_times(self, seen: list[NodeObservations]) -> list[float | None]:
        """Per restarted node: from the kill to the first block that it had on disk no later than 1 s after the first
        of the others, so that it keeps up again; None if that never happened."""
        times: list[float | None] = []
        restarted = [node.index for node in self._nodes if node.restarts]
        others = [seen[node.index] for node in self._nodes if not node.restarts] or seen
        for index in restarted:
            first = {h: min(o.durable_at[h] for o in others if h in o.durable_at) for o in others for h in o.durable_at}
            after = [
                at
                for height, at in seen[index].durable_at.items()
                if self._crash_at is not None
                and at > self._crash_at
                and at <= first.get(height, at) + 1.0
                and first.get(height, 0.0) > self._crash_at
            ]
            times.append(min(after) - self._crash_at if after and self._crash_at is not None else None)
        return times

    def _why_invalid(self, check: LedgerCheck, summary: dict[str, Any]) -> str:
        quorum = Quorums(self._settings.nodes, self._settings.faults).quorum
        alive = len(self._nodes) - len(summary["crashed"])
        if check.problem:
            return check.problem
        if self._died:
            return self._died[0]
        for row in summary["per_node"]:
            if row["id"] not in summary["crashed"] and row["exit"] != 0:
                return f"node {row['id']} ended with status {row['exit']}"
        if self._crash_at is not None and not summary["committed_tx_after_crash"]:
            why = f", but an epoch needs N-f = {quorum}" if alive < quorum else ""
            return f"nothing was committed after the crash: {alive} of {len(self._nodes)} nodes are left{why}"
        if not summary["committed_tx"]:
            return "nothing was committed in the measured window"
        accused = {int(fault["node"]) for fault in summary["faults_recorded"]}
        if accused:
            return f"correct nodes were accused: {sorted(accused)}"
        return ""

    def _say(self, phase: str) -> None:
        self._progress.phase = phase
        self._show(self._progress)


def _faults(seen: list[NodeObservations]) -> list[dict[str, Any]]:
    counts = Counter((fault["node"], fault["kind"]) for node in seen for fault in node.faults)
    return [{"node": node, "kind": kind, "records": count} for (node, kind), count in sorted(counts.items())]


def _agreement(live: list[NodeObservations]) -> dict[str, float | None]:
    events = [event for node in live for event in node.agreed]
    if not events:
        return {"rounds_mean": None, "coins_per_epoch_mean": None, "accepted_mean": None}
    return {
        "rounds_mean": float(np.mean([event["rounds"] for event in events])),
        "coins_per_epoch_mean": float(np.mean([event["coins"] for event in events])),
        "accepted_mean": float(np.mean([event["accepted"] for event in events])),
    }


def _commit() -> str:
    """The commit of this code if it runs from a git checkout, marked if it was changed; else ""."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def _plain(line: str) -> str:
    return line.removeprefix("error: ")
