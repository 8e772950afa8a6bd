"""What must hold on the hosts before anything is measured there. Every complaint names its host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import monotonic, time
from typing import Any

from bench.hosts.inventory import Inventory
from bench.hosts.link import OLDEST, HostError, Link
from honeybadger.cluster.preflight import BASE_DESCRIPTORS, DESCRIPTORS_PER_PEER

#: what an environment with all wheels takes, and what a short run of a node may leave, bytes
ENVIRONMENT_BYTES = 600 * 1024 * 1024
NODE_BYTES = 200 * 1024 * 1024
#: the clock is read so often; the quickest answer tells most
CLOCK_ROUNDS = 15
REACH_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Clock:
    """A host's clocks minus ours, in seconds. `offset_s`: of the monotonic ones; `unix_offset_s`: of wall time.

    Both are known to half the round trip `round_trip_s`.
    """

    offset_s: float
    unix_offset_s: float
    round_trip_s: float

    def as_dict(self) -> dict[str, float]:
        """For the summary."""
        return asdict(self)


async def read_clock(link: Link) -> Clock:
    """By the quickest of several round trips."""
    found: list[Clock] = []
    for _ in range(CLOCK_ROUNDS):
        unix, before = time(), monotonic()
        answer = await link.ask("clock")
        took = monotonic() - before
        middle = before + took / 2
        found.append(Clock(answer["monotonic"] - middle, answer["unix"] - unix - took / 2, took))
    return min(found, key=lambda clock: clock.round_trip_s)


def check_facts(link: Link, facts: dict[str, Any], clock: Clock, inventory: Inventory, nodes: int, here: int) -> None:
    """HostError if this host cannot hold `here` of `nodes` nodes."""
    if tuple(map(int, facts["python"].split(".")[:2])) < OLDEST:
        raise HostError(link.host, f"Python {facts['python']} is too old")
    if facts["implementation"] != "CPython" or not facts["system"].startswith("Linux"):
        raise HostError(link.host, f"{facts['implementation']} on {facts['system']}, but CPython on Linux is needed")
    needed = BASE_DESCRIPTORS + DESCRIPTORS_PER_PEER * nodes
    # RLIM_INFINITY is negative.
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
    """A host in a line, with what is worth a warning."""
    nodes = f"{here} node{'s' if here != 1 else ''}"
    crowded = " (attention: more nodes than cores)" if here > facts["cores"] else ""
    return (
        f"Python {facts['python']}, {facts['cores']} cores for {nodes}{crowded}, {facts['free_bytes'] / 1e9:,.0f} GB "
        f"free, clock {clock.unix_offset_s * 1000:+.1f} ms, round trip {clock.round_trip_s * 1000:.1f} ms"
    )


async def check_ports(links: Sequence[Link], counts: Sequence[int], base_port: int | None) -> list[HostError]:
    """Listen on every host at the ports of its `counts` nodes, and connect to all of them from all others and here."""
    used = [link for link, count in zip(links, counts, strict=True) if count]
    opened = await asyncio.gather(
        *(
            link.ask("listen", address=link.host.node_address, base=base_port, count=2 * count)
            for link, count in zip(links, counts, strict=True)
            if count
        ),
        return_exceptions=True,
    )
    try:
        if errors := only_errors(opened):
            return errors
        ports = [answer["ports"] for answer in opened if isinstance(answer, dict)]
        targets = [(link, port) for link, its_ports in zip(used, ports, strict=True) for port in its_ports]
        tries = await asyncio.gather(*(_reach(link, targets) for link in used), return_exceptions=True)
        return only_errors(tries) or only_errors([await _reach_from_here(targets)])
    finally:
        closed = await asyncio.gather(*(link.ask("close") for link in used), return_exceptions=True)
        only_errors(closed)


async def _reach(link: Link, targets: Sequence[tuple[Link, int]]) -> None:
    addresses = [(target.host.node_address, port) for target, port in targets]
    answer = await link.ask("reach", targets=addresses, patience_s=REACH_TIMEOUT_S)
    if "failed" in answer:
        raise _unreachable(link, targets[int(answer["failed"])], str(answer["why"])[:100])


def _unreachable(link: Link, target: tuple[Link, int], why: str) -> HostError:
    other = target[0].host
    return HostError(link.host, f"cannot reach host {other.name} at {other.node_address} port {target[1]}: {why}")


async def _reach_from_here(targets: Sequence[tuple[Link, int]]) -> HostError | None:
    """The load generator runs here."""
    for link, port in targets:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(link.host.node_address, port), REACH_TIMEOUT_S)
        except OSError as error:
            why = error.strerror or "no answer"
            return HostError(link.host, f"cannot be reached from here at {link.host.node_address} port {port}: {why}")
        writer.close()
    return None


def only_errors(results: Sequence[object]) -> list[HostError]:
    """What went wrong on hosts; anything else that went wrong is raised."""
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, HostError):
            raise result
    return [result for result in results if isinstance(result, HostError)]
