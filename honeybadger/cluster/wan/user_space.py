"""Links emulated by a process, for kernels without netem; it needs only TUN devices.

Each node's namespace gets a TUN device, and the routes to all other nodes lead into it; `forwarding.py` is the process
at the other end of all of them. Clients still reach the nodes over the bridge, but the bridge no longer joins the
nodes: what the process does not carry does not arrive, even if it dies. As with netem, a loss takes a large TCP segment
as a whole.
"""

import json
import os
import subprocess
import sys
from typing import Any

from honeybadger.cluster.errors import ClusterError, WanUnavailable
from honeybadger.cluster.wan.commands import CommandFailed, run
from honeybadger.cluster.wan.forwarding import READY, Plan
from honeybadger.cluster.wan.link_model import Shape
from honeybadger.cluster.wan.namespaces import Namespaces
from honeybadger.cluster.wan.netem import PACKET_BYTES, packets
from honeybadger.cluster.wan.profile import Link, Profile
from honeybadger.cluster.wan.tun import DEVICE, open_tun

#: the device to the peers, in each namespace
TO_PEERS = "peers"
#: packets that may wait to be read; with the default of 500 a busy machine would lose some
_QUEUE = 10_000
#: how long the process may take to end, seconds
_END_S = 10.0


def shape(link: Link) -> Shape:
    """`link` for the model."""
    return Shape(
        delay_ns=round(link.delay_ms * 1e6),
        jitter_ns=round(link.jitter_ms * 1e6),
        loss=link.loss_percent / 100,
        ns_per_byte=8e3 / link.rate_mbit_per_s,
        room_bytes=packets(link) * PACKET_BYTES,
    )


class UserSpaceLinks:
    """Implements `Links`."""

    name = "user-space"

    def __init__(self, namespaces: Namespaces, profile: Profile) -> None:
        self._namespaces = namespaces
        self._profile = profile
        self._process: subprocess.Popen[str] | None = None
        self._report: dict[str, Any] | None = None

    def start(self) -> None:
        devices: list[int] = []
        try:
            for node in range(self._namespaces.nodes):
                devices.append(self._namespaces.inside(node, lambda: open_tun(TO_PEERS)))
            self._namespaces.part_nodes()
            self._route()
            self._begin(devices)
        except OSError as error:
            raise WanUnavailable(f"{DEVICE} cannot be used: {error.strerror}") from None
        except CommandFailed as error:
            raise WanUnavailable(f"packets cannot be routed through a TUN device (ip says: {error})") from None
        finally:
            # The process has copies.
            for device in devices:
                os.close(device)

    def _route(self) -> None:
        addresses = self._namespaces.addresses
        for node, name in enumerate(self._namespaces.names):
            me = addresses[node]
            lines = [f"link set {TO_PEERS} txqueuelen {_QUEUE} up"]
            lines += [f"route add {peer}/32 dev {TO_PEERS} src {me}" for peer in addresses if peer != me]
            run("ip", "-n", name, "-batch", "-", lines=lines)

    def _begin(self, devices: list[int]) -> None:
        profile = self._profile
        numbers = range(len(profile.regions))
        plan = Plan(
            devices,
            self._namespaces.addresses,
            [profile.region_of(node) for node in range(self._namespaces.nodes)],
            [[shape(profile.link(here, there)) for there in numbers] for here in numbers],
        )
        # Its input ends with this process, however that ends. In a session of its own it does not get Ctrl-C: the nodes
        # must stop first.
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "honeybadger.cluster.wan.forwarding"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=devices,
            start_new_session=True,
            text=True,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process has no pipes")
        try:
            process.stdin.write(json.dumps(plan) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise WanUnavailable(self._last_words()) from None
        if process.stdout.readline().strip() != READY:
            raise WanUnavailable(self._last_words())

    def report(self) -> dict[str, Any]:
        """Ends the process."""
        if self._report is None:
            if self._process is None or self._process.poll() is not None:
                raise ClusterError(f"--wan: {self._last_words()}")
            try:
                said, _ = self._process.communicate(timeout=_END_S)
                self._report = json.loads(said)
            except (subprocess.TimeoutExpired, ValueError):
                self.stop()
                raise ClusterError("--wan: the process that carries packets did not report its figures") from None
        return self._report

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        # Closes the pipes too.
        self._process.communicate()

    def _last_words(self) -> str:
        said = ""
        if self._process is not None and self._process.stderr is not None and not self._process.stderr.closed:
            self._process.kill()
            said = (self._process.communicate()[1].strip().splitlines() or [""])[-1]
        return f"the process that carries packets ended: {said or 'it said nothing'}"
