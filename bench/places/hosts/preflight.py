"""Checks hosts before anything is measured there. Every complaint names its host."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

from bench.places.hosts.inventory import Inventory
from bench.places.hosts.link import OLDEST, HostError, HostErrors, Link, everywhere
from honeybadger.cluster.preflight import BASE_DESCRIPTORS, DESCRIPTORS_PER_PEER

#: bytes of an environment with all wheels, and of what a short run of a node may leave
ENVIRONMENT_BYTES = 600 * 1024 * 1024
NODE_BYTES = 200 * 1024 * 1024
#: how many times the clock is read; the quickest answer is the most exact
CLOCK_ROUNDS = 15
REACH_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Clock:
    """A host's clocks minus ours, in seconds. `offset_s`: of the monotonic ones; `unix_offset_s`: of wall time.

    Both are exact to half of `round_trip_s`.
    """

    offset_s: float
    unix_offset_s: float
    round_trip_s: float


async def read_clock(link: Link) -> Clock:
    """Read the clocks in several round trips; the quickest one counts."""
    clocks = []
    for _ in range(CLOCK_ROUNDS):
        unix, before = time(), monotonic()
        answer = await link.ask("clock")
        took = monotonic() - before
        middle = before + took / 2
        clocks.append(Clock(answer["monotonic"] - middle, answer["unix"] - unix - took / 2, took))
    return min(clocks, key=lambda clock: clock.round_trip_s)


def check_facts(link: Link, facts: dict[str, Any], clock: Clock, inventory: Inventory, nodes: int, here: int) -> None:
    """HostError if this host cannot hold `here` of `nodes` nodes."""
    if tuple(map(int, facts["python"].split(".")[:2])) < OLDEST:
        raise HostError(link.host, f"Python {facts['python']} is too old")
    if facts["implementation"] != "CPython" or not facts["system"].startswith("Linux"):
        raise HostError(link.host, f"{facts['implementation']} on {facts['system']}, but CPython on Linux is needed")
    needed = BASE_DESCRIPTORS + DESCRIPTORS_PER_PEER * nodes
    # Negative means no limit.
    if 0 <= facts["descriptors"] < needed:
        raise HostError(link.host, f"{nodes} nodes need {needed} file descriptors, the limit is {facts['descriptors']}")
    room = ENVIRONMENT_BYTES + here * NODE_BYTES
    if facts["free_bytes"] < room:
        free = facts["free_bytes"] / 1e6
        raise HostError(link.host, f"{free:,.0f} MB are free in {link.host.directory}, {room / 1e6:,.0f} are needed")
    if abs(clock.unix_offset_s) > inventory.max_clock_offset + clock.round_trip_s / 2:
        way = "ahead" if clock.unix_offset_s > 0 else "behind"
        raise HostError(
            link.host,
            f"its clock is {abs(clock.unix_offset_s):.3f} s {way} of ours, max-clock-offset allows "
            f"{inventory.max_clock_offset:g} s",
        )


def describe(facts: dict[str, Any], clock: Clock, here: int) -> str:
    """One line about a host, with a warning if there is one."""
    nodes = f"{here} node{'s' if here != 1 else ''}"
    crowded = " (attention: more nodes than cores)" if here > facts["cores"] else ""
    return (
        f"Python {facts['python']}, {facts['cores']} cores for {nodes}{crowded}, {facts['free_bytes'] / 1e9:,.0f} GB "
        f"free, clock {clock.unix_offset_s * 1000:+.1f} ms, round trip {clock.round_trip_s * 1000:.1f} ms"
    )


async def check_ports(links: Sequence[Link], counts: Sequence[int], base_port: int | None) -> None:
    """Listen on every host at the ports of its `counts` nodes, and connect to all of them from every host and from
    here."""
    used = {link: count for link, count in zip(links, counts, strict=True) if count}
    try:
        opened = await everywhere(
            link.ask("listen", address=link.host.node_address, base=base_port, count=2 * count)
            for link, count in used.items()
        )
        targets = [(link, port) for link, answer in zip(used, opened, strict=True) for port in answer["ports"]]
        await everywhere(_reach(link, targets) for link in used)
        await _reach_from_here(targets)
    finally:
        with suppress(HostErrors):
            await everywhere(link.ask("close") for link in used)


async def _reach(link: Link, targets: Sequence[tuple[Link, int]]) -> None:
    addresses = [(target.host.node_address, port) for target, port in targets]
    answer = await link.ask("reach", targets=addresses, patience_s=REACH_TIMEOUT_S)
    if "failed" in answer:
        target, port = targets[int(answer["failed"])]
        where = f"host {target.host.name} at {target.host.node_address} port {port}"
        raise HostError(link.host, f"cannot reach {where}: {str(answer['why'])[:100]}")


async def _reach_from_here(targets: Sequence[tuple[Link, int]]) -> None:
    """Connect from here, where the load generator runs."""
    for link, port in targets:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(link.host.node_address, port), REACH_TIMEOUT_S)
        except OSError as error:
            where, why = f"{link.host.node_address} port {port}", error.strerror or "no answer"
            raise HostError(link.host, f"cannot be reached from here at {where}: {why}") from None
        writer.close()
