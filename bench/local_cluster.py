"""The nodes of a run as real processes, wherever their `Place` is: dealt keys, started, killed, started again, asked,
stopped.

Processes are ended by their ids.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from bench.observations import read_node
from bench.place import Place, RunningNode
from bench.settings import LocalSettings
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import signal_name
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Status, StatusRequest
from honeybadger.protocols.quorums import Quorums

START_TIMEOUT_S = 30.0
START_TIMEOUT_PER_NODE_S = 4.0
#: nodes that do not get any further in this time will not, seconds: with and without enough of them for an epoch
STALLED_S = 20.0
HOPELESS_S = 3.0
#: but do not wait longer than this for nodes that do get further without ever meeting
CATCH_UP_TIMEOUT_S = 60.0
#: how long nodes may take to say whom they follow, seconds
STATUS_TIMEOUT_S = 1.0


def deal(directory: Path, settings: LocalSettings, place: Place) -> Manifest:
    """Choose addresses, deal keys, write manifest and key files; ClusterError if a port is in use."""
    addresses = place.addresses(settings.nodes, settings.base_port)
    manifest, keys = make_cluster(
        settings.nodes,
        settings.faults,
        settings.parameters,
        [address[:3] for address in addresses],
        settings.runtime,
        http_ports=[address.http_port for address in addresses],
    )
    if settings.link_faults:
        manifest = manifest.with_faults(settings.link_faults)
    write_cluster(directory, manifest, keys)
    place.distribute(directory, manifest)
    return manifest


class LocalCluster:
    """The node processes of one run.

    `schedule_zero`: second 0 of the schedule of link faults, on the monotonic clock: all nodes were connected to all.
    `died`: who ended unasked, with its last words; Byzantine nodes may.
    """

    def __init__(self, directory: Path, settings: LocalSettings, place: Place) -> None:
        self._directory = directory
        self._settings = settings
        self._place = place
        self._manifest = deal(directory, settings, place)
        self.nodes: list[RunningNode] = []
        self.schedule_zero = 0.0
        self.died: dict[int, str] = {}

    @property
    def page(self) -> str:
        """Where the first node shows the cluster to a browser; "" if it does not."""
        port = self._manifest.members[0].http_port
        return f"http://{self._manifest.runtime.http_host}:{port}/" if port else ""

    @property
    def shares_clock(self) -> bool:
        """See `Place`."""
        return self._place.shares_clock

    # -- processes -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all nodes and wait until each has been connected to all others; ClusterError if that fails.

        Has been, not is: a link fault may cut them off again at once.
        """
        lies = [self._settings.byzantine.get(index) for index in range(self._settings.nodes)]
        extras = [("--byzantine", strategy) if strategy else () for strategy in lies]
        self.nodes += self._place.start(self._directory, extras)
        limit = time.monotonic() + START_TIMEOUT_S + START_TIMEOUT_PER_NODE_S * len(self.nodes)
        waiting = list(self.nodes)
        while waiting:
            for why in self._place.lost().values():
                raise ClusterError(why)
            for node in self.nodes:
                if node.exit_status is not None:
                    raise ClusterError(_obituary(node, "ended at once"))
            if time.monotonic() > limit:
                raise ClusterError(f"node {waiting[0].index} was not ready in time: {_plain(waiting[0].last_words)}")
            time.sleep(0.1)
            waiting = [node for node in waiting if not self._has_met_all(node)]

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
            self.died[index] = _obituary(self.nodes[index], "ended unasked")
        return news + self._look_for_losses()

    def stop(self, patience_s: float) -> None:
        """Ask all nodes to stop; those that do not are killed after `patience_s`."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.wait(patience_s)

    def collect(self) -> None:
        """After `stop`: bring what the nodes left to this machine."""
        self._place.collect()
        self._look_for_losses()

    def _look_for_losses(self) -> list[int]:
        """Correct nodes that went out of reach since the last call."""
        known = {*self.died, *self._settings.byzantine}
        lost = {index: why for index, why in self._place.lost().items() if index not in known}
        self.died.update(lost)
        return list(lost)

    def _has_met_all(self, node: RunningNode) -> bool:
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

    def primary(self) -> int | None:
        """The node that N-f nodes follow as the primary, itself among them; None if they do not agree on one now."""
        up = [node.index for node in self.nodes if node.exit_status is None]
        with self._clients(up) as clients:
            for client in clients:
                client.send(StatusRequest(0))
            limit = time.monotonic() + STATUS_TIMEOUT_S
            told = [client.receive(max(0.0, limit - time.monotonic())) for client in clients]
        details = {i: reply.status["detail"] for i, reply in zip(up, told, strict=True) if isinstance(reply, Status)}
        return agreed_primary(details, Quorums(self._settings.nodes, self._settings.faults).quorum)

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


def agreed_primary(details: Mapping[int, Mapping[str, Any]], quorum: int) -> int | None:
    """Whom `quorum` nodes follow, itself among them. `details`: node → what its protocol object says of itself."""
    following = Counter(detail["primary"] for detail in details.values())
    for primary, count in following.items():
        # One that has lost patience alone follows, too; the primary itself must not have.
        if count >= quorum and primary in details and details[primary]["active"]:
            return int(primary)
    return None


def _height(client: NodeClient) -> int | None:
    """The newest that the node says of its height; None if it does not answer."""
    client.send(StatusRequest(0))
    reply = client.receive(1.0)
    while (newer := client.receive_now()) is not None:
        reply = newer
    return int(reply.status["height"]) if isinstance(reply, Status) else None


def _obituary(node: RunningNode, what: str) -> str:
    """Why a node ended, for people. One that was killed had no say in it, but what it said last may help."""
    status, words = node.exit_status, _plain(node.last_words)
    if status is not None and status < 0:
        said = f"; its last words: {words}" if words else ""
        return f"node {node.index} {what}, killed by {signal_name(-status)}{said}"
    return f"node {node.index} {what}: {words.removeprefix(f'node {node.index}: ') or f'status {status}'}"


def _plain(line: str) -> str:
    return line.removeprefix("error: ")
