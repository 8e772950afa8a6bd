"""The network of an emulated WAN: a namespace for each node, and one with the bridge that joins them.

The bridge is in a namespace of its own so that packet filters of this machine (Docker's, for one) do not see it. One
veth pair leads from this machine to it, for clients. All names carry the process id of their run, so that the next run
can remove what a dead one left behind.
"""

import ctypes
import ipaddress
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from honeybadger.cluster.errors import ClusterError, WanUnavailable
from honeybadger.cluster.wan.commands import CommandFailed, find, run

PREFIX = "hbwan"
#: the network device of each node, in its namespace
DEVICE = "wan0"
#: one of its /24 networks is used
_POOL = ipaddress.IPv4Network("10.77.0.0/16")
MOST_NODES = 250
#: a long fast link needs more than the default buffers; TCP grows them only as far as it needs
_TCP_BUFFERS = {"tcp_rmem": "4096 131072 67108864", "tcp_wmem": "4096 65536 67108864"}
_CLONE_NEWNET = 0x40000000
#: how long the kernel may take to remove the devices of a namespace, seconds
REMOVAL_S = 10.0

T = TypeVar("T")


class Namespaces:
    """Namespaces of `nodes` nodes, made by `make` and removed by `remove`. `addresses`: IPv4, by node."""

    def __init__(self, nodes: int) -> None:
        if nodes > MOST_NODES:
            raise ClusterError(f"--wan: {nodes} nodes are too many, at most {MOST_NODES}")
        self.nodes = nodes
        self._pid = os.getpid()
        self.hub = f"{PREFIX}-{self._pid}-hub"
        self.names = [f"{PREFIX}-{self._pid}-{node}" for node in range(nodes)]
        self._outside = f"{PREFIX}{self._pid}"
        self.addresses: list[str] = []

    def make(self) -> None:
        """Make the network. WanUnavailable if this machine cannot, ClusterError for other failures."""
        if not sys.platform.startswith("linux"):
            raise WanUnavailable(f"--wan needs Linux, this is {sys.platform}")
        try:
            network = _free_network(self._pid)
        except CommandFailed as error:
            raise WanUnavailable(f"--wan: the routes of this machine cannot be read: {error}") from None
        hosts = [str(host) for host in network.hosts()]
        self.addresses = hosts[: self.nodes]
        try:
            _ip("netns", "add", self.hub)
        except CommandFailed as error:
            raise WanUnavailable(
                f"--wan makes network namespaces, which needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN): {error}"
            ) from None
        try:
            _ip("-n", self.hub, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
            _ip("-n", self.hub, "link", "set", "bridge", "up")
            self._plug("outside", self._outside, None)
            _ip("addr", "add", f"{hosts[-1]}/{network.prefixlen}", "dev", self._outside)
            for node, name in enumerate(self.names):
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
                self._plug(f"node{node}", DEVICE, name)
                _ip("-n", name, "addr", "add", f"{self.addresses[node]}/{network.prefixlen}", "dev", DEVICE)
                self.inside(node, _set_buffers)
        except CommandFailed as error:
            raise WanUnavailable(f"--wan: the network cannot be made: {error}") from None

    def _plug(self, port: str, device: str, namespace: str | None) -> None:
        """A veth pair from the bridge (`port`) to `device` in a namespace, or on this machine."""
        here = str(self._pid) if namespace is None else namespace
        _ip("-n", self.hub, "link", "add", port, "type", "veth", "peer", "name", device, "netns", here)
        _ip("-n", self.hub, "link", "set", port, "master", "bridge", "up")
        _ip(*(() if namespace is None else ("-n", namespace)), "link", "set", device, "up")

    def part_nodes(self) -> None:
        """From now on the bridge joins each node only with this machine. CommandFailed if it cannot."""
        for node in range(self.nodes):
            _ip("-n", self.hub, "link", "set", f"node{node}", "type", "bridge_slave", "isolated", "on")

    def launcher(self, node: int) -> tuple[str, ...]:
        """A prefix that runs a command in the node's namespace, as the same process."""
        return (find("ip"), "netns", "exec", self.names[node])

    def inside(self, node: int, task: Callable[[], T]) -> T:
        """Run `task` in the node's namespace and return its result; sockets that it makes stay there."""
        # Each thread has its own namespace, so a new thread changes nothing here.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_enter, self.names[node]).result()
            return thread.submit(task).result()

    def remove(self) -> None:
        """Undo `make`, even if it failed half-way. ClusterError if something is left."""
        left = remove_run(self._pid)
        if left:
            raise ClusterError(f"--wan: could not be removed: {'; '.join(left)}")


def remove_leftovers() -> list[int]:
    """Remove what dead runs and this process left behind; returns the ids of those runs."""
    runs = {int(match[1]) for name in _existing() if (match := re.fullmatch(rf"{PREFIX}-(\d+)-\w+", name))}
    gone = sorted(pid for pid in runs if pid == os.getpid() or not Path(f"/proc/{pid}").exists())
    for pid in gone:
        remove_run(pid)
    return gone


def remove_run(pid: int) -> list[str]:
    """Kill all processes in the namespaces of run `pid` and remove these; returns complaints."""
    complaints = []
    for name in _existing():
        if not name.startswith(f"{PREFIX}-{pid}-"):
            continue
        try:
            for process in _ip("netns", "pids", name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            # This also removes its devices, with their other ends.
            _ip("netns", "del", name)
        except CommandFailed as error:
            complaints.append(f"{name}: {error}")
    # The kernel removes the outside device a moment later, but the name may be needed again at once.
    outside = f"{PREFIX}{pid}"
    limit = time.monotonic() + REMOVAL_S
    while outside in (name for _, name in socket.if_nameindex()):
        if time.monotonic() > limit:
            complaints.append(f"device {outside}")
            break
        time.sleep(0.02)
    return complaints


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{namespace}").open("rb") as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise ClusterError(f"--wan: cannot enter namespace {namespace}: {os.strerror(number)}")


def _set_buffers() -> None:
    for name, value in _TCP_BUFFERS.items():
        Path(f"/proc/sys/net/ipv4/{name}").write_text(value)


def congestion_control() -> str:
    """TCP's congestion control in the current namespace."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def _existing() -> list[str]:
    """Names of all namespaces of this machine."""
    directory = Path("/run/netns")
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def _free_network(start: int) -> ipaddress.IPv4Network:
    """A /24 that overlaps no route of this machine but the default one."""
    routes = json.loads(run("ip", "-4", "-json", "route", "show", "table", "all") or "[]")
    taken = [ipaddress.IPv4Network(r["dst"], strict=False) for r in routes if r.get("dst", "default") != "default"]
    candidates = list(_POOL.subnets(new_prefix=24))
    for step in range(len(candidates)):
        network = candidates[(start + step) % len(candidates)]
        if not any(network.overlaps(other) for other in taken):
            return network
    raise ClusterError(f"--wan: no network of {_POOL} is free on this machine")


def _ip(*arguments: str) -> str:
    return run("ip", *arguments)
