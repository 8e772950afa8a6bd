"""The nodes of a run as real processes on loopback: dealt keys, started, killed, started again, asked, stopped.

Processes are ended by their ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from bench.observations import read_node
from bench.settings import LocalSettings
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import NodeProcess, free_ports, require_free
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Status, StatusRequest

START_TIMEOUT_S = 30.0
START_TIMEOUT_PER_NODE_S = 4.0
#: nodes that do not get any further in this time will not, seconds: with and without enough of them for an epoch
STALLED_S = 20.0
HOPELESS_S = 3.0
#: but do not wait longer than this for nodes that do get further without ever meeting
CATCH_UP_TIMEOUT_S = 60.0


def loopback_addresses(settings: LocalSettings) -> list[tuple[str, int, int]]:
    """Host, port for peers and port for clients of each node; ClusterError if a port is in use."""
    if settings.base_port is None:
        ports = free_ports(2 * settings.nodes)
    else:
        ports = list(range(settings.base_port, settings.base_port + 2 * settings.nodes))
        require_free(ports)
    return [("127.0.0.1", ports[2 * i], ports[2 * i + 1]) for i in range(settings.nodes)]


def deal(directory: Path, settings: LocalSettings, addresses: list[tuple[str, int, int]]) -> Manifest:
    """Deal keys for nodes at `addresses`; write manifest and key files."""
    manifest, keys = make_cluster(settings.nodes, settings.faults, settings.parameters, addresses, settings.runtime)
    if settings.link_faults:
        manifest = manifest.with_faults(settings.link_faults)
    write_cluster(directory, manifest, keys)
    return manifest


class LocalCluster:
    """The node processes of one run.

    `schedule_zero`: second 0 of the schedule of link faults, on the monotonic clock: all nodes were connected to all.
    `died`: who ended unasked, with its last words; Byzantine nodes may.
    """

    def __init__(self, directory: Path, settings: LocalSettings) -> None:
        self._directory = directory
        self._settings = settings
        self._manifest = self._deal()
        self.nodes: list[Any] = []
        self.schedule_zero = 0.0
        self.died: dict[int, str] = {}

    # -- processes -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all nodes and wait until each has been connected to all others; ClusterError if that fails.

        Has been, not is: a link fault may cut them off again at once.
        """
        self._start_nodes()
        limit = time.monotonic() + START_TIMEOUT_S + START_TIMEOUT_PER_NODE_S * len(self.nodes)
        waiting = list(self.nodes)
        while waiting:
            for node in self.nodes:
                if node.exit_status is not None:
                    raise ClusterError(_plain(node.last_words) or f"node {node.index} ended at once")
            if time.monotonic() > limit:
                raise ClusterError(f"node {waiting[0].index} was not ready in time: {_plain(waiting[0].last_words)}")
            time.sleep(0.1)
            waiting = [node for node in waiting if not self._has_met_all(node)]

    def _deal(self) -> Manifest:
        return deal(self._directory, self._settings, loopback_addresses(self._settings))

    def _start_nodes(self) -> None:
        for index in range(self._settings.nodes):
            strategy = self._settings.byzantine.get(index)
            self.nodes.append(NodeProcess(self._directory, index, ("--byzantine", strategy) if strategy else ()))

    def kill(self, indices: Iterable[int]) -> None:
        """End these nodes at once."""
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
        found = [
            node
            for node in self.nodes
            if node.exit_status is not None and not node.killed and node.index not in self._settings.byzantine
        ]
        news = [node.index for node in found if node.index not in self.died]
        for index in news:
            self.died[index] = f"node {index} ended unasked: {_plain(self.nodes[index].last_words)}"
        return news

    def stop(self, patience_s: float) -> None:
        """Ask all nodes to stop; those that do not are killed after `patience_s`."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.wait(patience_s)

    def about(self) -> dict[str, Any]:
        """What the summary says otherwise than for processes on this machine."""
        return {}

    def _has_met_all(self, node: NodeProcess) -> bool:
        seen = read_node(node.events)
        if not seen.started_at or len(seen.met_at) < self._settings.nodes - 1:
            return False
        self.schedule_zero = max(self.schedule_zero, seen.started_at[0], *seen.met_at.values())
        return True

    # -- clients -------------------------------------------------------------------------------------------

    def await_same_height(self, not_before: float, hopeless: bool, tick: Callable[[], None]) -> bool:
        """Wait until all correct nodes that are up have the same height; False if they do not get there.

        Until `not_before` (monotonic) link faults may hold them up. `hopeless`: too few nodes are left for an epoch,
        so there is little to wait for. `tick` is called each time they were asked.
        """
        up = [node.index for node in self.nodes if node.index in self._settings.correct and node.exit_status is None]
        patience_s = HOPELESS_S if hopeless else STALLED_S
        before: list[int | None] = []
        with self._clients(up) as clients:
            begin = time.monotonic()
            changed_at = begin
            while True:
                heights = [_height(client) for client in clients]
                now = time.monotonic()
                tick()
                if now >= not_before and None not in heights and len(set(heights)) <= 1:
                    return True
                if heights != before:
                    before, changed_at = heights, now
                if now > max(changed_at, not_before) + patience_s or now > max(begin, not_before) + CATCH_UP_TIMEOUT_S:
                    return False
                time.sleep(0.2)

    @contextmanager
    def _clients(self, indices: Iterable[int]) -> Iterator[list[NodeClient]]:
        """A client of each of these nodes, closed in the end."""
        context: Any = zmq.Context()
        members = [self._manifest.members[index] for index in indices]
        clients = [
            NodeClient(context, m.host, m.client_port, m.public_key, self._settings.runtime.curve) for m in members
        ]
        try:
            yield clients
        finally:
            for client in clients:
                client.close()
            context.term()


def _height(client: NodeClient) -> int | None:
    """The newest that the node says of its height; None if it does not answer."""
    client.send(StatusRequest(0))
    reply = client.receive(1.0)
    while (newer := client.receive_now()) is not None:
        reply = newer
    return int(reply.status["height"]) if isinstance(reply, Status) else None


def _plain(line: str) -> str:
    return line.removeprefix("error: ")
