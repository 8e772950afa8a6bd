"""The process that carries packets between the nodes' TUN devices, each when its link says that it is due.

`python -m honeybadger.cluster.wan.forwarding`, as `user_space.py` starts it: the first line of its input is a `Plan`,
it answers with a line when it is at work, and when its input ends, because the run does or has died, it says how it
went (`Forwarder.report`) and ends. Only the standard library is used.

It is one thread between eight nodes that want the same processors, and what it does late is delay that no profile asked
for. So it asks to be served first, and counts how late packets leave.
"""

from __future__ import annotations

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
#: packets of one device before it is the next one's turn
_BURST = 8
#: lateness is counted in steps, and not told apart beyond the last one
_STEP_NS = 10_000
_LAST_STEP = 1_000_000

#: what waits in a link: the device that it goes to, and the bytes
_Parcel = tuple[int, bytes]


class Plan(NamedTuple):
    """By node: descriptor of its device, IPv4 address, number of its region. `shapes`: from region, to region."""

    devices: Sequence[int]
    addresses: Sequence[str]
    regions: Sequence[int]
    shapes: Sequence[Sequence[Sequence[float]]]


class Lateness:
    """How much later than due packets left.

    The time that a packet waits to be read is not in it, for nobody says when it came; it waits in the same way.
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
        wanted = share * self._steps.total()
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                break
        return min((step + 1) * _STEP_NS, self._most_ns) / 1e6


class Forwarder:
    """Reads what nodes send, and writes it to the one that it is for."""

    def __init__(self, plan: Plan) -> None:
        self._devices = list(plan.devices)
        self._links: list[LinkModel[_Parcel]] = []
        #: of each device: address → number of the link there, and the device at its end
        self._routes: dict[int, dict[bytes, tuple[int, int]]] = {}
        self._add_links(plan)
        #: (when its next packet is due, its number), of each link in which something is under way
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
                    delay, jitter, loss, ns_per_byte, room = plan.shapes[plan.regions[me]][region]
                    numbers[region] = len(self._links)
                    self._links.append(LinkModel(Shape(int(delay), int(jitter), loss, ns_per_byte, int(room))))
                routes[addresses[peer]] = numbers[region], plan.devices[peer]

    def run(self, until: int) -> None:
        """Forward until the descriptor `until` is readable."""
        watched = [*self._devices, until]
        self._cpu_s = time.process_time()
        while True:
            # Of the ways to wait, this one takes microseconds; epoll's are milliseconds.
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
                # IPv6's own talk, multicast, and whatever else is not for a peer.
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
                # The kernel has no memory for it, or the device is gone: to the nodes that is loss.
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
    """Run before the nodes whenever something is due, as far as this process may, and wake up on time."""
    # Ahead of all ordinary processes: it needs little, at once. Where that is not allowed, at least the larger share.
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
    # Ordinary processes are woken up to 50 µs late, to save energy.
    with suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1")
    # Nothing here makes cycles, and looking for them takes time at the wrong moment.
    gc.disable()


def main() -> None:
    """See the module."""
    forwarder = Forwarder(Plan(*json.loads(sys.stdin.readline())))
    be_served_first()
    print(READY, flush=True)  # noqa: T201
    forwarder.run(sys.stdin.fileno())
    print(json.dumps(forwarder.report()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
