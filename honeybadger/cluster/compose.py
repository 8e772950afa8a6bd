"""A Compose file for nodes, watcher and load generator, from the template `compose.yaml`.

Members with IPv4 addresses keep them, in a network of their own. If members have names, the file is also a stack for
Docker Swarm, whose networks have no fixed addresses. The file only names the key files.
"""

import copy
import ipaddress
import os
import re
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import TOKEN_FILE
from honeybadger.cluster.manifest import Manifest

#: prefixes of the network of fixed addresses; the first that holds all of them is used
PREFIXES = (24, 20, 16)
#: Docker takes no larger secret, bytes
LARGEST_SECRET = 500 * 1024
#: the user of the image, if the owner of the key files does not replace it
IMAGE_USER = "10001:10001"

CLUSTER_SECRET = {"source": "cluster", "target": "cluster.toml"}

Address = ipaddress.IPv4Address
Network = ipaddress.IPv4Network


@dataclass(frozen=True)
class ComposeOptions:
    """What the containers are like.

    `user`: "uid:gid", which must own the key files unless it is a Swarm. `cpus`, `memory`: limits of each node, as
    Docker writes them, "" for none. `rate`, `duration_s`: the offered load; None: no load generator. `watch_port`: port
    of the watcher on this machine's loopback (in a Swarm: on all machines); None: no watcher. `machines`: names of
    Swarm machines, to which nodes are bound in turn, because their ledgers are there. `events`: report events into the
    volume. `extra`: further arguments by node. `restart`: Compose's policy. `health`: check it.
    """

    image: str = "honeybadger"
    user: str = IMAGE_USER
    cpus: str = ""
    memory: str = ""
    rate: float | None = None
    duration_s: float = 60.0
    watch_port: int | None = None
    machines: Sequence[str] = ()
    events: bool = False
    extra: Sequence[tuple[str, ...]] = ()
    restart: str = "unless-stopped"
    health: bool = True


def compose(manifest: Manifest, directory: Path, options: ComposeOptions) -> str:
    """The text of the file, for the manifest and key files that `keygen` wrote to `directory`.

    ClusterError, in one line, if its members cannot be containers.
    """
    hosts = [member.host for member in manifest.members]
    network = _network(hosts)
    template: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("compose.yaml").read_text("utf-8"))
    node, load, watch = (template["services"].pop(name) for name in ("node", "load", "watch"))
    names = [f"node-{index}" for index in range(len(hosts))]
    for index, name in enumerate(names):
        template["services"][name] = _node(copy.deepcopy(node), index, hosts[index], network, options)
    if options.rate is not None:
        load["command"] += ["--rate", f"{options.rate:g}", "--duration", f"{options.duration_s:g}"]
        load |= {"image": options.image, "user": options.user, "depends_on": names}
        load["secrets"] = [CLUSTER_SECRET]
        load["networks"] = {"cluster": _free(network, hosts, 0)}
        template["services"]["load"] = load
    if options.watch_port is not None:
        watch |= {"image": options.image, "user": options.user, "ports": [f"127.0.0.1:{options.watch_port}:8100"]}
        watch["secrets"] = [CLUSTER_SECRET, _secret("http-token", "http-token", options)]
        # The nodes' network leads nowhere else, so it has another one to be reached over.
        watch["networks"] = {"cluster": _free(network, hosts, 1), "web": {}}
        template["services"]["watch"] = watch
        template["networks"]["web"] = {}
    if network:
        template["networks"]["cluster"]["ipam"] = {"config": [{"subnet": str(network)}]}
    template["volumes"] = {name: {} for name in names}
    template["secrets"] = {"cluster": {"file": _file(directory / "cluster.toml")}} | {
        f"{name}-keys": {"file": _file(directory / name / "keys.toml")} for name in names
    }
    if options.watch_port is not None:
        template["secrets"]["http-token"] = {"file": _file(directory / TOKEN_FILE)}
    what = "Members have fixed addresses: for Compose, not for a Swarm." if network else "For Compose and for a Swarm."
    text: str = yaml.safe_dump(_escaped(template), sort_keys=False, width=120, default_flow_style=False)
    return f"# Written by `honeybadger cluster compose`. {what}\n{text}"


def unreadable(manifest: Manifest, directory: Path, options: ComposeOptions) -> str:
    """Which secret `options.user` may not read when Compose has mounted it, and the command that mends all of them; ""
    if there is none."""
    files = [directory / f"node-{index}" / "keys.toml" for index in range(len(manifest.members))]
    files += [directory / TOKEN_FILE] if options.watch_port is not None else []
    uid, _, gid = options.user.partition(":")
    for path in files:
        status = path.stat()
        bit = stat.S_IRUSR if status.st_uid == int(uid) else stat.S_IRGRP if status.st_gid == int(gid) else stat.S_IROTH
        if not status.st_mode & bit:
            where = shlex.quote(os.path.relpath(directory))
            secrets = f"{where}/node-*/keys.toml {where}/http-token"
            chmod, chown = f"chmod 600 {secrets}", f"chown {options.user} {secrets}"
            if status.st_uid == int(uid):
                mend = chmod
            else:
                mend = chown if status.st_mode & stat.S_IRUSR else f"{chown}; {chmod}"
            closed = f"user {options.user} of the containers cannot read {os.path.relpath(path)}"
            return f"{closed}; run this, then this command again: {mend}"
    return ""


def _node(service: dict[str, Any], index: int, host: str, network: Network | None, options: ComposeOptions) -> Any:
    """The template of a node filled in."""
    service = {"image": options.image, "user": options.user, **service, "restart": options.restart}
    # A node listens on the address of its host name, so that name must lead to itself.
    service["hostname"] = f"node-{index}" if network else host
    service["environment"] = {"HONEYBADGER_NODE": str(index)}
    service["networks"] = {"cluster": {"ipv4_address": host} if network else {"aliases": [host]}}
    service["volumes"] = [f"node-{index}:/node"]
    service["secrets"] = [CLUSTER_SECRET, _secret(f"node-{index}-keys", "keys.toml", options)]
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


def _secret(source: str, target: str, options: ComposeOptions) -> dict[str, Any]:
    """A file for the container's user only."""
    uid, _, gid = options.user.partition(":")
    return {"source": source, "target": target, "uid": uid, "gid": gid, "mode": 0o400}


def _network(hosts: Sequence[str]) -> Network | None:
    """The network of these hosts, None if they are names; ClusterError if they cannot be containers in one network."""
    addresses = [_address(host) for host in hosts]
    if None in addresses:
        for host, address in zip(hosts, addresses, strict=True):
            if address is not None:
                raise ClusterError(f"member {host} is an address, but others are names: use one kind")
            if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", host) or host == "localhost":
                raise ClusterError(f'member "{host:.60}" is not a name for a container; try keygen --host "node-{{i}}"')
        if len(set(map(str.lower, hosts))) < len(hosts):
            raise ClusterError('members share a name; each container needs its own: keygen --host "node-{i}"')
        return None
    fixed = [address for address in addresses if address is not None]
    if any(address.is_loopback or address.is_unspecified or address.is_multicast for address in fixed):
        raise ClusterError(f'{fixed[0]} is not an address for a container; deal keys with keygen --host "node-{{i}}"')
    if len(set(fixed)) < len(fixed):
        raise ClusterError('members share an address; each container needs its own: keygen --host "node-{i}"')
    for prefix in PREFIXES:
        network = ipaddress.ip_network((fixed[0], prefix), strict=False)
        if isinstance(network, Network) and all(address in network for address in fixed):
            # The first address is the gateway's.
            for taken in (network[0], network[1], network[-1]):
                if taken in fixed:
                    raise ClusterError(f"{taken} cannot be a member's address in the network {network}")
            return network
    raise ClusterError(f"the members' addresses are not in one network of prefix {PREFIXES[-1]} or longer")


def _address(host: str) -> Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _free(network: Network | None, hosts: Sequence[str], number: int) -> dict[str, str]:
    """Address number 0, 1, … for what is no member, far from where members usually begin; nothing without a network of
    fixed addresses."""
    if network is None:
        return {}
    taken = {str(network[0]), str(network[1]), str(network[-1]), *hosts}
    free = (str(network[i]) for i in range(network.num_addresses - 1, 1, -1) if str(network[i]) not in taken)
    address = next(islice(free, number, None), None)
    if address is None:
        raise ClusterError(f"the network {network} has no address left for the load generator and the watcher")
    return {"ipv4_address": address}


def _file(path: Path) -> str:
    """Its absolute path; ClusterError if it is missing, or too large for a secret."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    if size > LARGEST_SECRET:
        raise ClusterError(f"{path}: {size} bytes are too many for a Docker secret")
    return str(path.absolute())


def _escaped(value: Any) -> Any:
    """With $$ for each $, which would begin a variable of Compose."""
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
