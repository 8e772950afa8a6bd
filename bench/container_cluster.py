"""The nodes of a run as containers on this machine's Docker engine, in a network of their own.

Everything is started from the Compose file that `honeybadger cluster compose` would write, and removed in the end:
containers, network and volumes. Load and measurement are those of `honeybadger local`: nodes are reached by address,
and containers share this machine's monotonic clock (which is checked), so times compare.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.container_node import ContainerNode
from bench.docker_engine import Image, compose, docker, engine, free_network, look_into
from bench.local_cluster import LocalCluster, deal
from bench.machine import machine
from bench.settings import LocalSettings
from honeybadger.cluster.compose import IMAGE_USER, ComposeOptions
from honeybadger.cluster.compose import compose as compose_text
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest

#: ports of each node, for peers and for clients: all have addresses of their own
PORTS = (7100, 7101)


@dataclass(frozen=True)
class Containers:
    """Which image, and what each node may use: "" for no limit."""

    image: str
    cpus: str = ""
    memory: str = ""

    def place(self, directory: Path, settings: LocalSettings) -> ContainerCluster:
        """A cluster for one run."""
        return ContainerCluster(directory, settings, self)


class ContainerCluster(LocalCluster):
    """The containers of one run."""

    def __init__(self, directory: Path, settings: LocalSettings, containers: Containers) -> None:
        if settings.link_faults and settings.restart:
            raise ClusterError(
                "in containers, link faults cannot be combined with restarts: the schedule would begin anew"
            )
        self._containers = containers
        self._engine = engine()
        self._image: Image = look_into(containers.image)
        self._project = f"honeybadger-{secrets.token_hex(4)}"
        self._file = directory / "compose.yaml"
        self._up = False
        super().__init__(directory, settings)

    def _deal(self) -> Manifest:
        settings = self._settings
        network = free_network(settings.nodes)
        addresses = [(str(network[2 + index]), *PORTS) for index in range(settings.nodes)]
        manifest = deal(self._directory, settings, addresses)
        user = f"{os.getuid()}:{os.getgid()}"
        if not os.getuid():
            # Root hands the key files to whom the containers run as.
            user = IMAGE_USER
            uid, gid = map(int, user.split(":"))
            for index in range(settings.nodes):
                os.chown(self._directory / f"node-{index}" / "keys.toml", uid, gid)
        lies = [settings.byzantine.get(index) for index in range(settings.nodes)]
        options = ComposeOptions(
            image=self._image.id,
            user=user,
            cpus=self._containers.cpus,
            memory=self._containers.memory,
            events=True,
            extra=[("--byzantine", strategy) if strategy else () for strategy in lies],
            # A node that ends must be seen to have ended; and a health check would cost what is to be measured.
            restart="no",
            health=False,
        )
        self._file.write_text(compose_text(manifest, self._directory, options), encoding="utf-8")
        return manifest

    def _start_nodes(self) -> None:
        self._up = True
        compose(self._project, self._file, "up", "--detach", "--no-build")
        for index in range(self._settings.nodes):
            found = docker(
                *("ps", "--all", "--quiet", "--no-trunc"),
                *("--filter", f"label=com.docker.compose.project={self._project}"),
                *("--filter", f"label=com.docker.compose.service=node-{index}"),
            ).split()
            if len(found) != 1:
                raise ClusterError(f"Compose made {len(found)} containers of node {index}, not one")
            self.nodes.append(ContainerNode(self._directory, index, found[0]))

    def _has_met_all(self, node: Any) -> bool:
        node.fetch()
        return super()._has_met_all(node)

    def restart(self, indices: Iterable[int]) -> None:
        """Start these nodes again on their volumes."""
        for index in indices:
            self.nodes[index].restart()

    def stop(self, patience_s: float) -> None:
        """Stop all nodes, fetch what they wrote, remove containers, network and volumes; a second time does nothing."""
        if not self._up:
            return
        try:
            super().stop(patience_s)
            for node in self.nodes:
                node.fetch()
        finally:
            self._up = False
            for node in self.nodes:
                node.forget()
            compose(self._project, self._file, "down", "--volumes", "--timeout", "1")

    def about(self) -> dict[str, Any]:
        """The engine beside the machine; versions and commit are those in the image."""
        limits = [f"{n} {v}" for n, v in (("cpus", self._containers.cpus), ("memory", self._containers.memory)) if v]
        return {
            "place": "containers",
            "machine": {**machine(), "engine": self._engine, "limits": ", ".join(limits) or "none"},
            "versions": self._image.versions,
            "commit": self._image.commit,
            "image": {"name": self._image.name, "id": self._image.id},
        }
