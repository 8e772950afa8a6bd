"""The nodes of a run as real processes, wherever their `Place` is: dealt keys, started, killed, started again, asked,
stopped.

Processes are ended by their ids.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench.measure.observations import read_node
from bench.places.place import Place, RunningNode
from bench.plan.run_settings import RunSettings
from honeybadger.client.connections import Connections
from honeybadger.client.status import ask_status
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import signal_name, without_module

START_TIMEOUT_S = 30.0
START_TIMEOUT_PER_NODE_S = 4.0
#: nodes that do not get any further in this time will not, seconds: with and without enough of them for an epoch
STALLED_S = 20.0
HOPELESS_S = 3.0
#: but do not wait longer than this for nodes that do get further without ever meeting
CATCH_UP_TIMEOUT_S = 60.0
#: how long nodes may take to say how they are, seconds
STATUS_TIMEOUT_S = 1.0


class RunningCluster:
    """The node processes of one run.

    `schedule_zero`: second 0 of the schedule of link faults, on the monotonic clock: all nodes were connected to all.
    `died`: who ended unasked, with its last words; Byzantine nodes may.
    """

    def __init__(self, directory: Path, settings: RunSettings, place: Place) -> None:
        self._directory = directory
        self._settings = settings
        self.place = place
        self._manifest = self._deal()
        self.nodes: list[RunningNode] = []
        self.schedule_zero = 0.0
        self.died: dict[int, str] = {}

    def _deal(self) -> Manifest:
        """Choose addresses, deal keys, write manifest and key files; ClusterError if a port is in use."""
        settings = self._settings
        addresses = [a[:3] for a in self.place.addresses(settings.nodes, settings.base_port)]
        faults = settings.quorums.faults
        manifest, keys = make_cluster(settings.nodes, faults, settings.parameters, addresses, settings.runtime)
        if settings.link_faults:
            manifest = manifest.with_faults(settings.link_faults)
        write_cluster(self._directory, manifest, keys)
        self.place.distribute(self._directory, manifest)
        return manifest

    def start(self) -> None:
        """Start all nodes and wait until each has been connected to all others; ClusterError if that fails.

        Has been, not is: a link fault may cut them off again at once.
        """
        lies = [self._settings.liars.get(index) for index in range(self._settings.nodes)]
        extras = [("--byzantine", strategy) if strategy else () for strategy in lies]
        self.nodes += self.place.start(self._directory, extras)
        limit = time.monotonic() + START_TIMEOUT_S + START_TIMEOUT_PER_NODE_S * len(self.nodes)
        waiting = list(self.nodes)
        while waiting:
            for why in self.place.lost().values():
                raise ClusterError(why)
            for node in self.nodes:
                if node.exit_status is not None:
                    raise ClusterError(_obituary(node, "ended at once"))
            if time.monotonic() > limit:
                words = waiting[0].last_words.removeprefix("error: ")
                raise ClusterError(f"node {waiting[0].index} was not ready in time: {words}")
            time.sleep(0.1)
            waiting = [node for node in waiting if not self._has_met_all(node)]

    def kill(self, indices: Iterable[int]) -> None:
        for index in indices:
            self.nodes[index].kill()

    def restart(self, indices: Iterable[int]) -> None:
        """Start these nodes again on their data; the schedule of link faults goes on where it is."""
        extra: tuple[str, ...] = ()
        if self._settings.link_faults:
            unix = time.time() - (time.monotonic() - self.schedule_zero)
            extra = ("--schedule-start", f"{unix:.3f}")
        for index in indices:
            self.nodes[index].restart(*extra)

    def look_for_deaths(self) -> list[int]:
        """Correct nodes that have ended unasked since the last call."""
        known = {*self.died, *self._settings.liars}
        ended = [node for node in self.nodes if node.exit_status is not None and not node.killed]
        news = {node.index: _obituary(node, "ended unasked") for node in ended if node.index not in known}
        self.died |= news
        return [*news, *self._look_for_losses()]

    def stop(self, patience_s: float) -> None:
        """Ask all nodes to stop; those that do not are killed after `patience_s`."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.wait(patience_s)

    def collect(self) -> None:
        """After `stop`: bring what the nodes left to this machine."""
        self.place.collect()
        self._look_for_losses()

    def _look_for_losses(self) -> list[int]:
        """Correct nodes that went out of reach since the last call."""
        known = {*self.died, *self._settings.liars}
        lost = {index: why for index, why in self.place.lost().items() if index not in known}
        self.died.update(lost)
        return list(lost)

    def _has_met_all(self, node: RunningNode) -> bool:
        seen = read_node(node.events)
        if not seen.started_at or len(seen.met_at) < self._settings.nodes - 1:
            return False
        self.schedule_zero = max(self.schedule_zero, seen.started_at[0], *seen.met_at.values())
        return True

    def await_same_height(self, not_before: float, hopeless: bool, tick: Callable[[], None]) -> bool:
        """Wait until all correct nodes that are up have the same height; False if they do not get there.

        Until `not_before` (monotonic) link faults may hold them up. `hopeless`: too few nodes are left for an epoch,
        so there is little to wait for. `tick` is called each time they were asked.
        """
        up = [node.index for node in self.nodes if node.index in self._settings.correct and node.exit_status is None]
        patience_s = HOPELESS_S if hopeless else STALLED_S
        before: list[int | None] = []
        begin = changed_at = time.monotonic()
        with self._connections() as connections:
            while True:
                told = ask_status(connections, up, STATUS_TIMEOUT_S)
                heights = [told[index]["height"] if index in told else None for index in up]
                now = time.monotonic()
                tick()
                if now >= not_before and None not in heights and len(set(heights)) <= 1:
                    return True
                if heights != before:
                    before, changed_at = heights, now
                if now > max(changed_at, not_before) + patience_s or now > max(begin, not_before) + CATCH_UP_TIMEOUT_S:
                    return False
                time.sleep(0.2)

    def leader(self) -> int | None:
        """The node that N-f nodes follow, itself among them; None if they do not agree on one now."""
        up = [node.index for node in self.nodes if node.exit_status is None]
        with self._connections() as connections:
            told = ask_status(connections, up, STATUS_TIMEOUT_S)
        leaders = {index: status["leader"] for index, status in told.items()}
        return agreed_leader(leaders, self._settings.quorums.quorum)

    def _connections(self) -> Connections:
        return Connections(self._manifest.members, self._settings.runtime.curve)


def agreed_leader(leaders: Mapping[int, int | None], quorum: int) -> int | None:
    """Whom `quorum` nodes follow, itself among them. `leaders`: node → whom it follows now, None for nobody."""
    for leader, count in Counter(leaders.values()).items():
        if leader is not None and count >= quorum and leaders.get(leader) == leader:
            return leader
    return None


def _obituary(node: RunningNode, what: str) -> str:
    """Why a node ended, for people. One that was killed had no say in it, but what it said last may help."""
    status, words = node.exit_status, without_module(node.last_words.removeprefix("error: "))
    if status is not None and status < 0:
        said = f"; its last words: {words}" if words else ""
        return f"node {node.index} {what}, killed by {signal_name(-status)}{said}"
    return f"node {node.index} {what}: {words.removeprefix(f'node {node.index}: ') or f'status {status}'}"
