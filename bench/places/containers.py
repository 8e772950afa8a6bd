"""The nodes of a run as containers on this machine's Docker engine, in a network of their own.

They are started from the Compose file that `honeybadger cluster compose` would write. Containers, network and volumes
are removed at the end. Load and measurement are those of `honeybadger local`: nodes are reached by address, and
containers share this machine's monotonic clock (this is checked), so times are comparable.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.places.container_node import ContainerNode
from bench.places.docker_engine import compose, docker, engine, free_network, look_into
from bench.places.hardware import machine
from bench.places.place import Address, Place
from bench.plan.run_settings import RunSettings
from honeybadger.cluster.compose import IMAGE_USER, ComposeOptions
from honeybadger.cluster.compose import compose as compose_text
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest

#: ports of each node, for peers and for clients; each node has its own address
PORTS = (7100, 7101)


def refuse_impossible(settings: RunSettings) -> None:
    """ClusterError if containers cannot do what the run needs."""
    if settings.link_faults and settings.restart_count:
        raise ClusterError(
            "in containers, link faults cannot be combined with restarts: the schedule would start again"
        )


class ContainersPlace(Place):
    """`cpus`, `memory`: what each node may use, "" for no limit."""

    def __init__(self, image: str, cpus: str = "", memory: str = "") -> None:
        self._image = look_into(image)
        self._engine = engine()
        self._cpus = cpus
        self._memory = memory
        self._manifest: Manifest | None = None
        self._nodes: list[ContainerNode] = []
        self._project = ""
        self._file = Path()

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        network = free_network(nodes)
        return [Address(str(network[2 + index]), *PORTS) for index in range(nodes)]

    def distribute(self, directory: Path, manifest: Manifest) -> None:
        """The key files must belong to the user of the containers."""
        self._manifest = manifest
        if not os.getuid():
            uid, gid = map(int, IMAGE_USER.split(":"))
            for index in range(len(manifest.members)):
                os.chown(directory / f"node-{index}" / "keys.toml", uid, gid)

    def start(self, directory: Path, extras: Sequence[tuple[str, ...]]) -> list[ContainerNode]:
        if self._manifest is None:
            raise RuntimeError("nothing was distributed")
        options = ComposeOptions(
            image=self._image.id,
            user=f"{os.getuid()}:{os.getgid()}" if os.getuid() else IMAGE_USER,
            cpus=self._cpus,
            memory=self._memory,
            events=True,
            extra=extras,
            # The run must notice when a node ends; and a health check would cost processor time.
            restart="no",
            health=False,
        )
        self._project = f"honeybadger-{secrets.token_hex(4)}"
        self._file = directory / "compose.yaml"
        self._file.write_text(compose_text(self._manifest, directory, options), encoding="utf-8")
        compose(self._project, self._file, "up", "--detach", "--no-build")
        self._nodes = [ContainerNode(directory, index, self._container(index)) for index in range(len(extras))]
        return self._nodes

    def collect(self) -> None:
        for node in self._nodes:
            node.fetch()
        self.clean_up()

    def clean_up(self) -> None:
        """Containers, network and volumes."""
        project, self._project = self._project, ""
        for node in self._nodes:
            node.forget()
        self._nodes = []
        if project:
            compose(project, self._file, "down", "--volumes", "--timeout", "1")

    def facts(self) -> dict[str, Any]:
        """The engine and its limits; versions and commit are those in the image."""
        limits = [f"{name} {value}" for name, value in (("cpus", self._cpus), ("memory", self._memory)) if value]
        return {
            "place": "containers",
            "machine": {**machine(), "engine": self._engine, "limits": ", ".join(limits) or "none"},
            "versions": self._image.versions,
            "commit": self._image.commit,
            "image": {"name": self._image.name, "id": self._image.id},
        }

    def _container(self, index: int) -> str:
        ids = docker(
            *("ps", "--all", "--quiet", "--no-trunc"),
            *("--filter", f"label=com.docker.compose.project={self._project}"),
            *("--filter", f"label=com.docker.compose.service=node-{index}"),
        ).split()
        if len(ids) != 1:
            raise ClusterError(f"Compose made {len(ids)} containers of node {index}, not one")
        return ids[0]
