"""The hosts of `bench run --hosts`: a TOML file, strict about its keys. `docs/clusters.md` shows one with all keys.

Nodes are dealt to hosts in turn.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Port
from honeybadger.cluster.toml_file import read_toml
from honeybadger.network.addresses import is_host

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[!-~]+$")]


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One host. `ssh`: for SSH; `address`: for nodes and clients, `ssh` unless given; `nodes`: at most this many."""

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
        """The address that nodes listen on and connect to."""
        return self.address or self.ssh


class Inventory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """All hosts. `base_port`: two ports for each node of a host from there on; `max_clock_offset`, `lost_after`:
    seconds."""

    hosts: Annotated[list[Host], msgspec.Meta(min_length=1, max_length=1000)]
    base_port: Port | None = None
    max_clock_offset: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    lost_after: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 15.0

    @staticmethod
    def load(path: Path) -> Inventory:
        """Read and check; ClusterError names the file and its first mistake."""
        try:
            inventory = msgspec.convert(read_toml(path), Inventory)
        except msgspec.ValidationError as error:
            raise ClusterError(f"{path}: {error}") from None
        for host in inventory.hosts:
            for text in (host.ssh, host.node_address):
                if not is_host(text):
                    raise ClusterError(f'{path}: host {host.name}: "{text}" is not a host name or address')
        for name, times in Counter(host.name for host in inventory.hosts).items():
            if times > 1:
                raise ClusterError(f"{path}: two hosts are called {name}")
        for address, times in Counter(host.node_address for host in inventory.hosts).items():
            if times > 1:
                raise ClusterError(f"{path}: two hosts have the address {address}; several nodes can share one host")
        return inventory

    def assign(self, nodes: int) -> list[int]:
        """Node → number of its host; ClusterError if the hosts have no room for `nodes`."""
        room = [host.nodes if host.nodes is not None else nodes for host in self.hosts]
        if sum(room) < nodes:
            raise ClusterError(f"{nodes} nodes do not fit: the hosts have room for {sum(room)}")
        turns = range(max(room))
        return [number for turn in turns for number, places in enumerate(room) if turn < places][:nodes]
