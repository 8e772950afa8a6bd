"""A Compose file for a cluster: its nodes and a load generator, from the template `compose.yaml` beside this file.

Members with IPv4 addresses keep them, in a network of their own. Members with names are found by name, and then the
same file is a stack for Docker Swarm, whose networks have no fixed addresses. The file names the key files, but holds
nothing of what is in them.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest

#: what may be the prefix of the network of fixed addresses; the longest that holds all of them is taken
PREFIXES = (24, 20, 16)
#: Docker takes no larger secret, bytes
LARGEST_SECRET = 500 * 1024
#: who runs in the image, if the key files do not say it better
IMAGE_USER = "10001:10001"

Address = ipaddress.IPv4Address
Network = ipaddress.IPv4Network


@dataclass(frozen=True)
class ComposeOptions:
    """How the containers are to be.

    `user`: "uid:gid", who must own the key files unless it is a Swarm. `cpus`, `memory`: limits of each node, as Docker
    writes them, "" for none. `rate`, `duration_s`: what the load generator offers; None: no load generator.
    `machines`: names of Swarm machines; node i runs on number i, cyclically, because its ledger is there. `events`:
    report events into the volume. `extra`: further arguments by node. `restart`: Compose's policy. `health`: check it.
    """

    image: str = "honeybadger"
    user: str = IMAGE_USER
    cpus: str = ""
    memory: str = ""
    rate: float | None = None
    duration_s: float = 60.0
    machines: Sequence[str] = ()
    events: bool = False
    extra: Sequence[tuple[str, ...]] = ()
    restart: str = "unless-stopped"
    health: bool = True


def compose(manifest: Manifest, directory: Path, options: ComposeOptions) -> str:
    """The file's text, for the cluster whose manifest and key files `keygen` wrote to `directory`.

    ClusterError, in one line, if its members cannot be containers.
    """
    hosts = [member.host for member in manifest.members]
    network = _network(hosts)
    template: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("compose.yaml").read_text("utf-8"))
    node, load = template["services"].pop("node"), template["services"].pop("load")
    names = [f"node-{index}" for index in range(len(hosts))]
    for index, name in enumerate(names):
        template["services"][name] = _node(copy.deepcopy(node), index, hosts[index], network, options)
    if options.rate is not None:
        load["command"] += ["--rate", f"{options.rate:g}", "--duration", f"{options.duration_s:g}"]
        load |= {"image": options.image, "user": options.user, "depends_on": names}
        load["secrets"] = [{"source": "cluster", "target": "cluster.toml"}]
        load["networks"] = {"cluster": {"ipv4_address": str(_free(network, hosts))} if network else {}}
        template["services"]["load"] = load
    if network:
        template["networks"]["cluster"]["ipam"] = {"config": [{"subnet": str(network)}]}
    template["volumes"] = {name: {} for name in names}
    template["secrets"] = {"cluster": {"file": _file(directory / "cluster.toml")}} | {
        f"{name}-keys": {"file": _file(directory / name / "keys.toml")} for name in names
    }
    what = "Members have fixed addresses: for Compose, not for a Swarm." if network else "For Compose and for a Swarm."
    text: str = yaml.safe_dump(_escaped(template), sort_keys=False, width=120, default_flow_style=False)
    return f"# Written by `honeybadger cluster compose`. {what}\n{text}"


def _node(service: dict[str, Any], index: int, host: str, network: Network | None, options: ComposeOptions) -> Any:
    """The template of a node filled in."""
    service = {"image": options.image, "user": options.user, **service, "restart": options.restart}
    # A name of its own that leads to itself: a node listens on the address of its member's host.
    service["hostname"] = f"node-{index}" if network else host
    service["environment"] = {"HONEYBADGER_NODE": str(index)}
    service["networks"] = {"cluster": {"ipv4_address": host} if network else {"aliases": [host]}}
    service["volumes"] = [f"node-{index}:/node"]
    uid, _, gid = options.user.partition(":")
    service["secrets"] = [
        {"source": "cluster", "target": "cluster.toml"},
        {"source": f"node-{index}-keys", "target": "keys.toml", "uid": uid, "gid": gid, "mode": 0o400},
    ]
    if options.events:
        service["command"] += ["--events", "/node/events.jsonl"]
    service["command"] += options.extra[index] if options.extra else ()
    if not options.health:
        service["healthcheck"] = {"disable": True}
    deploy = service["deploy"]
    if not network:
        deploy["endpoint_mode"] = "dnsrr"
    if options.machines:
        machine = options.machines[index % len(options.machines)]
        deploy["placement"] = {"constraints": [f"node.hostname == {machine}"]}
    limits = {name: value for name, value in (("cpus", options.cpus), ("memory", options.memory)) if value}
    if limits:
        deploy["resources"] = {"limits": limits}
    return service


def _network(hosts: Sequence[str]) -> Network | None:
    """The network of these hosts, None if they are names; ClusterError if they cannot be containers in one network."""
    addresses = [_address(host) for host in hosts]
    if None in addresses:
        for host, address in zip(hosts, addresses, strict=True):
            if address is not None:
                raise ClusterError(f"member {host} is an address, but others are names; in containers all are alike")
            if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", host) or host == "localhost":
                raise ClusterError(f'member "{host:.60}" is no name for a container; try keygen --host "node-{{i}}"')
        if len(set(map(str.lower, hosts))) < len(hosts):
            raise ClusterError('members share a name; each container needs its own: keygen --host "node-{i}"')
        return None
    found = [address for address in addresses if address is not None]
    if any(address.is_loopback or address.is_unspecified or address.is_multicast for address in found):
        raise ClusterError(f'{found[0]} is no address for a container; deal keys with keygen --host "node-{{i}}"')
    if len(set(found)) < len(found):
        raise ClusterError('members share an address; each container needs its own: keygen --host "node-{i}"')
    for prefix in PREFIXES:
        network = ipaddress.ip_network((found[0], prefix), strict=False)
        if isinstance(network, Network) and all(address in network for address in found):
            # The first address is the gateway's.
            for taken in (network[0], network[1], network[-1]):
                if taken in found:
                    raise ClusterError(f"{taken} cannot be a member's address in the network {network}")
            return network
    raise ClusterError(f"the members' addresses are not in one network of prefix {PREFIXES[-1]} or longer")


def _address(host: str) -> Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _free(network: Network, hosts: Sequence[str]) -> Address:
    """An address for the load generator, far from where the members usually begin."""
    taken = {str(network[0]), str(network[1]), str(network[-1]), *hosts}
    for number in range(network.num_addresses - 1, 1, -1):
        if str(network[number]) not in taken:
            return network[number]
    raise ClusterError(f"the network {network} has no address left for the load generator")


def _file(path: Path) -> str:
    """ClusterError if it is not there, or too large for a secret."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    if size > LARGEST_SECRET:
        raise ClusterError(f"{path}: {size} bytes are too many for a Docker secret")
    return str(path.absolute())


def _escaped(value: Any) -> Any:
    """Compose takes $ for the beginning of a variable; $$ is one $."""
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
