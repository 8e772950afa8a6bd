"""The `tc` commands that shape a node's outgoing traffic by a profile: text in, text out, nothing is run here.

Each direction of a link is shaped where it leaves, by half of the round trip. The device gets an `htb` root with a
class for each region; in the class `netem` delays, loses and limits the rate, and a `u32` filter for each peer's
address leads there. What no filter names, such as the answers to clients, leaves at once.

Three traps: netem drops beyond 1,000 packets unless told otherwise, which on a long fast link throttles everything;
jitter reorders packets, which TCP takes for loss, unless netem also has a rate, because then it keeps the order; and
htb's own rate must be far above netem's, or it would shape as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from honeybadger.cluster.wan.profile import Link, Profile

#: packets that a link holds: its rate times its delay must fit, with packets of 1,500 bytes
LEAST_PACKETS = 10_000
PACKET_BYTES = 1_500
#: how many times the link's rate times its delay may wait
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
    """How many packets may be under way or wait in one direction: four times those that fill it."""
    filling = link.rate_mbit_per_s * 1e6 / 8 * link.delay_ms / 1e3 / PACKET_BYTES
    return max(LEAST_PACKETS, round(ROOM * filling))
