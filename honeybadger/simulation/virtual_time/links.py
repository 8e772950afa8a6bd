"""Links between nodes: latency, and bandwidth that serialises what a node sends and what it receives.

A frame leaves when the sender's uplink has sent all before it, takes the link's delay, never overtakes an earlier frame
of the same link, and arrives when the receiver's downlink has taken all that came before it. Nothing is lost: a packet
that a real network would lose costs one more round trip, as TCP repeats it.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from honeybadger.cluster.wan.profile import Profile
from honeybadger.network.fault_schedule import LinkFault, Schedule
from honeybadger.simulation.clock import Clock

#: payload of a TCP segment on Ethernet
SEGMENT_BYTES = 1448


@dataclass(frozen=True)
class Path:
    """One direction: delay ± jitter (uniform), seconds; loss, a probability; bytes per second."""

    delay_s: float
    jitter_s: float = 0.0
    loss: float = 0.0
    bytes_per_s: float = math.inf


@dataclass(frozen=True)
class Network:
    """What the links are like: the regions of `profile`, or `latency_s` (one way) between any two nodes.

    `uplink`, `downlink`: of each node, bytes per second. `faults`: of a run; only delays are simulated.
    """

    latency_s: float = 0.0001
    profile: Profile | None = None
    uplink: float = math.inf
    downlink: float = math.inf
    faults: Sequence[LinkFault] = ()

    def __post_init__(self) -> None:
        if unknown := next((fault.kind for fault in self.faults if fault.kind != "delay"), ""):
            raise ValueError(f"{unknown} is not simulated yet")

    def path(self, sender: int, receiver: int) -> Path:
        if self.profile is None:
            return Path(self.latency_s)
        link = self.profile.link(self.profile.region_of(sender), self.profile.region_of(receiver))
        rate = link.rate_mbit_per_s * 1e6 / 8
        return Path(link.delay_ms / 1e3, link.jitter_ms / 1e3, link.loss_percent / 100, rate)


class Links:
    """All links of `nodes` nodes. `leads(node)`: whether it believes to be the leader, for faults that follow it."""

    def __init__(
        self, clock: Clock, nodes: int, network: Network, rng: random.Random, leads: Callable[[int], bool]
    ) -> None:
        self._clock = clock
        self._network = network
        self._rng = rng
        self._leads = leads
        self._paths = {(a, b): network.path(a, b) for a in range(nodes) for b in range(nodes) if a != b}
        self._schedules = [Schedule(network.faults, node) for node in range(nodes)]
        #: when the last frame has left, has passed the link, has been received
        self._up = [0.0] * nodes
        self._passed = dict.fromkeys(self._paths, 0.0)
        self._down = [0.0] * nodes

    def send(self, sender: int, receiver: int, size: int, deliver: Callable[[], None]) -> None:
        """A frame of `size` bytes; `deliver()` is called when all of it has arrived."""
        self._up[sender] = left = max(self._clock.now, self._up[sender]) + size / self._network.uplink
        path = self._paths[sender, receiver]
        arrives = max(left + self._delay(sender, receiver, size, path), self._passed[sender, receiver])
        self._passed[sender, receiver] = arrives = arrives + size / path.bytes_per_s
        self._clock.at(arrives, partial(self._receive, receiver, size, deliver))

    def _delay(self, sender: int, receiver: int, size: int, path: Path) -> float:
        delay = path.delay_s + self._jitter(path.jitter_s)
        if path.loss and self._rng.random() < 1 - (1 - path.loss) ** math.ceil(size / SEGMENT_BYTES):
            delay += 2 * path.delay_s
        if self._network.faults:
            leads = self._schedules[sender].follows_leader and self._leads(sender)
            fault = self._schedules[sender].conditions(receiver, self._clock.now, leads=leads)
            delay += fault.delay_s + self._jitter(fault.jitter_s)
        return delay

    def _jitter(self, most_s: float) -> float:
        return (2 * self._rng.random() - 1) * most_s if most_s else 0.0

    def _receive(self, receiver: int, size: int, deliver: Callable[[], None]) -> None:
        self._down[receiver] = done = max(self._clock.now, self._down[receiver]) + size / self._network.downlink
        if done > self._clock.now:
            self._clock.at(done, deliver)
        else:
            deliver()
