"""The process that carries packets between the TUN devices of the nodes, each when its link says that it is due.

`user_space.py` starts it as `python -m honeybadger.cluster.wan.forwarding`. The first line of its input is a `Plan`. It
answers with a line when it is ready. When its input ends, because the run ended or died, it prints its figures
(`Forwarder.report`) and ends. It uses only the standard library.

It competes for the processors with all the nodes, and its lateness is delay that no profile asked for. So it runs with
priority, and counts how late packets leave.
"""

import gc
import heapq
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from honeybadger.cluster.wan.link_model import LinkModel, Shape
from honeybadger.cluster.wan.tun import MOST_BYTES, destination, wire_bytes

READY = "ready"
#: packets of one device in one turn
_BURST = 8
#: lateness is counted in steps; the last one holds all the rest
_STEP_NS = 10_000
_LAST_STEP = 1_000_000

#: what waits in a link: the device that it goes to, and the bytes
_Parcel = tuple[int, bytes]


class Plan(NamedTuple):
    """By node: descriptor of its device, IPv4 address, number of its region. `shapes`: from region, to region."""

    devices: Sequence[int]
    addresses: Sequence[str]
    regions: Sequence[int]
    shapes: Sequence[Sequence[Shape]]


class Lateness:
    """How much later than due packets left.

    It does not include the time that a packet waited to be read, because nobody tells when it came. That time is alike.
    """

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self._most_ns = 0

    def note(self, late_ns: int) -> None:
        """Count one packet."""
        self._steps[min(late_ns // _STEP_NS, _LAST_STEP)] += 1
        if late_ns > self._most_ns:
            self._most_ns = late_ns

    def milliseconds(self) -> dict[str, float] | None:
        """`median`, `p99` (the upper ends of their steps) and `max`; None without packets."""
        if not self._steps:
            return None
        return {"median": self._share(0.5), "p99": self._share(0.99), "max": self._most_ns / 1e6}

    def _share(self, share: float) -> float:
        rank = share * self._steps.total()
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= rank:
                break
        return min((step + 1) * _STEP_NS, self._most_ns) / 1e6


class Forwarder:
    """Reads packets from nodes, and writes each to the node that it is for."""

    def __init__(self, plan: Plan) -> None:
        self._devices = list(plan.devices)
        self._links: list[LinkModel[_Parcel]] = []
        #: of each device: address → number of the link there, and the device at its end
        self._routes: dict[int, dict[bytes, tuple[int, int]]] = {}
        self._add_links(plan)
        #: (when its next packet is due, its number), for each link with packets under way
        self._due: list[tuple[int, int]] = []
        self._late = Lateness()
        self._packets = self._bytes = self._unknown = self._refused = 0
        self._cpu_s = 0.0

    def _add_links(self, plan: Plan) -> None:
        """As with netem, all nodes of a region share the link that leads there from a node."""
        addresses = [socket.inet_aton(address) for address in plan.addresses]
        for me, device in enumerate(plan.devices):
            numbers: dict[int, int] = {}
            routes = self._routes[device] = {}
            for peer, region in enumerate(plan.regions):
                if peer == me:
                    continue
                if region not in numbers:
                    numbers[region] = len(self._links)
                    self._links.append(LinkModel(Shape(*plan.shapes[plan.regions[me]][region])))
                routes[addresses[peer]] = numbers[region], plan.devices[peer]

    def run(self, until: int) -> None:
        """Forward until the descriptor `until` is readable."""
        watched = [*self._devices, until]
        self._cpu_s = time.process_time()
        while True:
            # `select` takes a time-out in microseconds; epoll only in milliseconds.
            rest_s = max(0, self._due[0][0] - time.monotonic_ns()) / 1e9 if self._due else None
            ready, _, _ = select.select(watched, (), (), rest_s)
            if until in ready:
                return
            for device in ready:
                self._read(device)
                self._write()
            self._write()

    def _read(self, device: int) -> None:
        routes = self._routes[device]
        for _ in range(_BURST):
            try:
                packet = os.read(device, MOST_BYTES)
            except BlockingIOError:
                return
            now = time.monotonic_ns()
            address = destination(packet)
            route = None if address is None else routes.get(address)
            if route is None:
                # IPv6, multicast, and whatever else is not for a peer.
                self._unknown += 1
                continue
            number, to = route
            link = self._links[number]
            if link.put(now, (to, packet), wire_bytes(packet)) and len(link) == 1 and link.due_ns is not None:
                heapq.heappush(self._due, (link.due_ns, number))

    def _write(self) -> None:
        due, late = self._due, self._late
        while due and due[0][0] <= (now := time.monotonic_ns()):
            when, number = due[0]
            link = self._links[number]
            device, packet = link.take()
            following = link.due_ns
            if following is None:
                heapq.heappop(due)
            else:
                heapq.heapreplace(due, (following, number))
            try:
                os.write(device, packet)
            except OSError:
                # The kernel has no memory for it, or the device is gone: a loss, to the nodes.
                self._refused += 1
                continue
            late.note(now - when)
            self._packets += 1
            self._bytes += len(packet)

    def report(self) -> dict[str, Any]:
        """For the result of a run."""
        return {
            "lateness_ms": self._late.milliseconds(),
            "forwarded": {
                "packets": self._packets,
                "bytes": self._bytes,
                "lost": sum(link.lost for link in self._links),
                "dropped": sum(link.dropped for link in self._links) + self._refused,
                "unknown": self._unknown,
                "cpu_s": time.process_time() - self._cpu_s,
            },
        }


def be_served_first() -> None:
    """Take priority over the nodes, as far as this process may, and wake up on time."""
    # Ahead of all ordinary processes; where that is not allowed, at least with a larger share.
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
    # By default a process may wake up 50 µs late, to save energy.
    with suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1")
    # Nothing here makes cycles, and the search for them would delay packets.
    gc.disable()


def main() -> None:
    """Forward until the input ends."""
    forwarder = Forwarder(Plan(*json.loads(sys.stdin.readline())))
    be_served_first()
    print(READY, flush=True)  # noqa: T201
    forwarder.run(sys.stdin.fileno())
    print(json.dumps(forwarder.report()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
