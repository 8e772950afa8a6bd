"""The default place for nodes: processes on this machine, on loopback or in an emulated WAN."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.places.place import Address, Place
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.processes import NodeProcess, free_ports, require_free
from honeybadger.cluster.wan.emulation import Emulation

#: in an emulated WAN each node has its own address, so all can use the same ports
WAN_BASE_PORT = 7000
#: memory of a node that does nothing
SMALLEST_NODE_BYTES = 40_000_000


class ThisMachine(Place):
    """Nodes write their files where they are read. `wan`: None for loopback."""

    def __init__(self, wan: Emulation | None = None) -> None:
        self._wan = wan

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        """ClusterError, too, if this machine has too little room for that many nodes."""
        needed, there = nodes * SMALLEST_NODE_BYTES, psutil.virtual_memory().total
        if needed > there:
            raise ClusterError(
                f"N = {nodes} needs at least {needed / 1e9:,.0f} GB of memory, this machine has {there / 1e9:,.1f}"
            )
        if self._wan is not None:
            base = base_port or WAN_BASE_PORT
            return [Address(address, base, base + 1) for address in self._wan.addresses]
        if base_port is None:
            ports = free_ports(2 * nodes)
        else:
            ports = list(range(base_port, base_port + 2 * nodes))
            require_free(ports)
        return [Address("127.0.0.1", ports[2 * i], ports[2 * i + 1]) for i in range(nodes)]

    def start(self, directory: Path, extras: Sequence[tuple[str, ...]]) -> list[NodeProcess]:
        return [
            NodeProcess(directory, index, extra, launcher=self._wan.launcher(index) if self._wan else ())
            for index, extra in enumerate(extras)
        ]

    def facts(self) -> dict[str, Any]:
        """The measured WAN, and what shaped its links."""
        return {"wan": self._wan.result()} if self._wan else {}
