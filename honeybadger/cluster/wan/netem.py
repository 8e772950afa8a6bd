"""Links emulated by the kernel: `tc` shapes the outgoing traffic of each node.

Each direction of a link is shaped where it leaves, by half of the round trip. The device gets an `htb` root with a
class for each region. In the class `netem` delays, loses and limits the rate, and a `u32` filter for each peer's
address leads there. What no filter names, such as the answers to clients, leaves at once.

Three traps: by default netem holds only 1,000 packets and drops the rest, which throttles a long fast link; jitter
reorders packets, which TCP takes for loss, unless netem also has a rate; and htb's own rate must be far above netem's,
or it would shape as well.
"""

from collections.abc import Sequence
from typing import Any

from honeybadger.cluster.errors import WanUnavailable
from honeybadger.cluster.wan.commands import CommandFailed, run
from honeybadger.cluster.wan.namespaces import DEVICE, Namespaces
from honeybadger.cluster.wan.profile import Link, Profile

#: packets that a link holds: its rate times its delay must fit, with packets of 1,500 bytes
LEAST_PACKETS = 10_000
PACKET_BYTES = 1_500
#: the queue holds this many times the rate times the delay
ROOM = 4
UNSHAPED = "rate 40gbit quantum 60000"


def tc_commands(profile: Profile, me: int, addresses: Sequence[str], device: str) -> list[str]:
    """Lines for `tc -batch` that shape what node `me` sends through `device` to the other nodes.

    `addresses`: IPv4 addresses of all nodes, by index. The device must have no queueing discipline of its own yet.
    """
    here = profile.region_of(me)
    peers = [node for node in range(len(addresses)) if node != me]
    lines = [f"qdisc add dev {device} root handle 1: htb"]
    for region in sorted({profile.region_of(node) for node in peers}):
        number = region + 1
        lines += [
            f"class add dev {device} parent 1: classid 1:{number:x} htb {UNSHAPED}",
            f"qdisc add dev {device} parent 1:{number:x} handle {number + 1:x}: {netem(profile.link(here, region))}",
        ]
    lines += [
        f"filter add dev {device} parent 1: protocol ip prio 1 u32 match ip dst {addresses[node]}/32 "
        f"flowid 1:{profile.region_of(node) + 1:x}"
        for node in peers
    ]
    return lines


def netem(link: Link) -> str:
    """The queueing discipline of one direction of a link."""
    parts = [f"netem limit {packets(link)} delay {link.delay_ms * 1000:.0f}us"]
    if link.jitter_ms:
        parts.append(f"{link.jitter_ms * 1000:.0f}us")
    if link.loss_percent:
        parts.append(f"loss {link.loss_percent:g}%")
    parts.append(f"rate {link.rate_mbit_per_s * 1000:.0f}kbit")
    return " ".join(parts)


def packets(link: Link) -> int:
    """How many packets one direction holds: `ROOM` times those that fill it."""
    filling = link.rate_mbit_per_s * 1e6 / 8 * link.delay_ms / 1e3 / PACKET_BYTES
    return max(LEAST_PACKETS, round(ROOM * filling))


class NetemLinks:
    """Implements `Links`."""

    name = "netem"

    def __init__(self, namespaces: Namespaces, profile: Profile) -> None:
        self._namespaces = namespaces
        self._profile = profile

    def start(self) -> None:
        # First where it shapes nothing: another way may have to shape the links.
        self._shape(self._namespaces.hub, 0, "lo")
        for node, name in enumerate(self._namespaces.names):
            self._shape(name, node, DEVICE)

    def _shape(self, namespace: str, node: int, device: str) -> None:
        lines = tc_commands(self._profile, node, self._namespaces.addresses, device)
        try:
            run("tc", "-n", namespace, "-batch", "-", lines=lines)
        except CommandFailed as error:
            raise WanUnavailable(
                f"this kernel cannot shape links (tc says: {error}; it needs netem, htb and u32, which may be modules: "
                "`modprobe sch_netem sch_htb cls_u32`)"
            ) from None

    def report(self) -> dict[str, Any]:
        """The kernel does not tell how late packets are."""
        return {"lateness_ms": None}

    def stop(self) -> None:
        """The devices vanish with their namespaces."""
