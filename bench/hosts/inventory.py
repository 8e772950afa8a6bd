"""The hosts of `bench run --hosts`: a TOML file, strict about its keys.

    [[hosts]]
    name = "one"                # for people; the first part of every message about it
    ssh = "192.0.2.11"          # address or name for SSH
    port = 22
    user = "bench"              # default: who you are here
    key = "~/.ssh/id_ed25519"   # default: the agent's keys and the usual files
    address = "10.0.0.11"       # its own address, which nodes and clients connect to; default: `ssh`
    nodes = 2                   # most nodes here; default: as many as it takes
    python = "python3.11"       # default: python3
    directory = "/var/tmp"      # where the run directory is made; default: /tmp

and, before the first host, `base-port` (two ports for each node of a host from there on; default: free ones),
`max-clock-offset` (seconds between its wall clock and ours; 1) and `lost-after` (seconds without a word; 15).
Nodes are dealt out to hosts in turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Port
from honeybadger.cluster.toml_file import read_toml
from honeybadger.network.addresses import is_host

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[!-~]+$")]


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One host; see the module."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
    ssh: Text
    port: Port = 22
    user: Text | None = None
    key: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    address: Text = ""
    nodes: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    python: Annotated[str, msgspec.Meta(min_length=1)] = "python3"
    directory: Annotated[str, msgspec.Meta(min_length=1)] = "/tmp"

    @property
    def node_address(self) -> str:
        """What nodes listen at and connect to."""
        return self.address or self.ssh


class Inventory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """All hosts; see the module."""

    hosts: Annotated[list[Host], msgspec.Meta(min_length=1, max_length=1000)]
    base_port: Port | None = None
    max_clock_offset: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    lost_after: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 15.0

    @staticmethod
    def load(path: Path) -> Inventory:
        """Read and check; ClusterError names the file and what is wrong with it."""
        try:
            inventory = msgspec.convert(read_toml(path), Inventory)
        except msgspec.ValidationError as error:
            raise ClusterError(f"{path}: {error}") from None
        names = [host.name for host in inventory.hosts]
        for name in names:
            if names.count(name) > 1:
                raise ClusterError(f"{path}: two hosts are called {name}")
        for host in inventory.hosts:
            for text in (host.ssh, host.node_address):
                if not is_host(text):
                    raise ClusterError(f'{path}: host {host.name}: "{text}" is not a host name or address')
        addresses = [host.node_address for host in inventory.hosts]
        for address in addresses:
            if addresses.count(address) > 1:
                raise ClusterError(f"{path}: two hosts have the address {address}; several nodes can share one host")
        return inventory

    def assign(self, nodes: int) -> list[int]:
        """Node → the number of its host; ClusterError if they hold fewer than `nodes`."""
        room = [host.nodes if host.nodes is not None else nodes for host in self.hosts]
        if sum(room) < nodes:
            raise ClusterError(f"{nodes} nodes do not fit on the hosts, which take {sum(room)}")
        assigned: list[int] = []
        while len(assigned) < nodes:
            for number in range(len(room)):
                if room[number] and len(assigned) < nodes:
                    room[number] -= 1
                    assigned.append(number)
        return assigned
