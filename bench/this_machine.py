"""The usual place of a run's nodes: processes on this machine, on loopback or in an emulated WAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.place import Address
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import NodeProcess, free_ports, require_free
from honeybadger.cluster.wan.emulation import Emulation

#: with an emulated WAN each node has an address, and all ports, for itself
WAN_BASE_PORT = 7000
#: of its own, of a node that does nothing
SMALLEST_NODE_BYTES = 40_000_000


class ThisMachine:
    """Implements `Place`. Files are written where they are read, so there is little to do. `wan`: None for loopback."""

    shares_clock = True

    def __init__(self, wan: Emulation | None = None) -> None:
        self._wan = wan

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        """See `Place`. In a WAN there is no HTTP: it is served on loopback, which each namespace has for itself.

        ClusterError if this machine has too little room for that many nodes.
        """
        needed, there = nodes * SMALLEST_NODE_BYTES, psutil.virtual_memory().total
        if needed > there:
            raise ClusterError(f"N = {nodes} needs {needed / 1e9:,.0f} GB of memory or more, not {there / 1e9:,.1f}")
        if self._wan is not None:
            base = base_port or WAN_BASE_PORT
            return [Address(address, base, base + 1) for address in self._wan.addresses]
        if base_port is None:
            ports = free_ports(3 * nodes)
        else:
            ports = list(range(base_port, base_port + 3 * nodes))
            require_free(ports)
        return [Address("127.0.0.1", ports[2 * i], ports[2 * i + 1], ports[2 * nodes + i]) for i in range(nodes)]

    def distribute(self, directory: Path, manifest: Manifest) -> None:
        """See `Place`."""

    def start(self, directory: Path, extras: Sequence[tuple[str, ...]]) -> list[NodeProcess]:
        """See `Place`."""
        return [
            NodeProcess(directory, index, extra, launcher=self._wan.launcher(index) if self._wan else ())
            for index, extra in enumerate(extras)
        ]

    def lost(self) -> Mapping[int, str]:
        """See `Place`."""
        return {}

    def collect(self) -> None:
        """See `Place`."""

    def clean_up(self) -> None:
        """See `Place`."""

    def facts(self) -> dict[str, Any]:
        """See `Place`: the WAN as it was measured, and how its links were shaped."""
        return {"wan": self._wan.result()} if self._wan else {}
