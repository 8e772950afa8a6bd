"""An emulated WAN as a run uses it: made, measured, removed whatever happens.

The kernel's netem shapes the links where there is one, else a process of ours does.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.wan import echo
from honeybadger.cluster.wan.errors import WanUnavailable
from honeybadger.cluster.wan.namespaces import Namespaces, congestion_control, remove_leftovers
from honeybadger.cluster.wan.netem import NetemLinks
from honeybadger.cluster.wan.profile import Profile
from honeybadger.cluster.wan.user_space import UserSpaceLinks

#: how far a measured round trip may be from the profile; nearer than `NEAR_MS` the machine's own delay weighs too much
#: for a share to mean anything
TOLERANCE = 0.05
NEAR_MS = 10.0
NEAR_TOLERANCE_MS = 2.0
#: a busy machine may spoil a measurement, so pairs that are off are measured again, and the nearest median is kept
ATTEMPTS = 8


class Links(Protocol):
    """What shapes the links between the namespaces of one run. `name`: for the result."""

    name: str

    def start(self) -> None:
        """From now on links are the profile's. WanUnavailable if this machine cannot do it in this way."""
        ...

    def report(self) -> dict[str, Any]:
        """For the result, once at the end. `lateness_ms`: how late packets left; None if that is not known.

        ClusterError if the links have not been shaped all the time.
        """
        ...

    def stop(self) -> None:
        """End what `start` began, also half of it; a second time does nothing."""
        ...


#: the ways to do it, the better first
EMULATORS: tuple[Callable[[Namespaces, Profile], Links], ...] = (NetemLinks, UserSpaceLinks)


class Emulation:
    """Context manager: `nodes` nodes in namespaces, shaped by `profile`.

    WanUnavailable, in one line, if this machine cannot do it. `measured`: what `measure` found. `emulators`: the ways
    to try, in this order.
    """

    def __init__(
        self,
        profile: Profile,
        nodes: int,
        emulators: Sequence[Callable[[Namespaces, Profile], Links]] = EMULATORS,
    ) -> None:
        self.profile = profile
        self._namespaces = Namespaces(nodes)
        self._ways = [make(self._namespaces, profile) for make in emulators]
        self._links: Links | None = None
        self.measured: dict[str, Any] = {}

    @property
    def addresses(self) -> list[str]:
        """IPv4 addresses of the nodes, for peers and for clients on this machine."""
        return self._namespaces.addresses

    def launcher(self, node: int) -> tuple[str, ...]:
        """What to put before a command so that it runs where the node is."""
        return self._namespaces.launcher(node)

    def __enter__(self) -> Emulation:
        remove_leftovers()
        try:
            self._namespaces.make()
            self._shape()
        except BaseException:
            self._stop()
            remove_leftovers()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._namespaces.remove()

    def _shape(self) -> None:
        complaints = []
        for way in self._ways:
            try:
                way.start()
            except WanUnavailable as error:
                complaints.append(f"{way.name}: {str(error).removeprefix('--wan ')}")
            else:
                self._links = way
                return
        raise WanUnavailable(f"--wan: links cannot be shaped: {'; '.join(complaints)}")

    def _stop(self) -> None:
        for way in self._ways:
            way.stop()

    def result(self) -> dict[str, Any]:
        """For the summary, once nothing is sent any more: the WAN as it was measured, and what shaped its links.

        ClusterError if the links have not been shaped all the time.
        """
        if self._links is None:
            raise RuntimeError("the WAN has not been entered")
        return self.measured | {"emulator": self._links.name} | self._links.report()

    def measure(self) -> None:
        """Measure all round trips; ClusterError if one is not what the profile says."""
        namespaces, profile = self._namespaces, self.profile
        count = namespaces.nodes
        patience_s = 0.2 + 1.5e-3 * max(profile.rtt_ms(a, b) for a in range(len(profile.regions)) for b in range(a + 1))
        sockets: list[socket.socket] = []
        try:
            for node, address in enumerate(self.addresses):
                sockets.append(namespaces.inside(node, lambda address=address: echo.open_socket(address)))  # type: ignore[misc]
            found: dict[echo.Pair, float] = {}
            again: list[echo.Pair] = []
            for attempt in range(ATTEMPTS):
                if attempt and not again:
                    break
                for pair, seconds in echo.measure(sockets, patience_s, again).items():
                    before = found.get(pair)
                    wanted = self._profile_ms(pair) / 1e3
                    if before is None or abs(seconds - wanted) < abs(before - wanted):
                        found[pair] = seconds
                every = [(a, b) for a in range(count) for b in range(a + 1, count)]
                again = [pair for pair in every if pair not in found or self._is_off(pair, found[pair] * 1e3)]
        finally:
            for one in sockets:
                one.close()
        if again:
            raise ClusterError(f"--wan: {self._complaint(again, found)}")
        control = namespaces.inside(0, congestion_control) if count else ""
        self.measured = self._result(found, control)

    def _result(self, found: dict[echo.Pair, float], control: str) -> dict[str, Any]:
        pairs = [
            {
                "nodes": list(pair),
                "regions": [self.profile.regions[self.profile.region_of(node)] for node in pair],
                "profile_rtt_ms": self._profile_ms(pair),
                "measured_rtt_ms": found[pair] * 1e3,
            }
            for pair in sorted(found)
        ]
        return {
            "profile": self.profile.name,
            "source": self.profile.source,
            "regions": [self.profile.regions[self.profile.region_of(n)] for n in range(self._namespaces.nodes)],
            "pairs": pairs,
            "worst_deviation_percent": worst_deviation_percent(pairs),
            "tcp_congestion_control": control,
        }

    def _profile_ms(self, pair: echo.Pair) -> float:
        return self.profile.rtt_ms(self.profile.region_of(pair[0]), self.profile.region_of(pair[1]))

    def _is_off(self, pair: echo.Pair, measured_ms: float) -> bool:
        wanted = self._profile_ms(pair)
        return abs(measured_ms - wanted) > (TOLERANCE * wanted if wanted >= NEAR_MS else NEAR_TOLERANCE_MS)

    def _complaint(self, pairs: Sequence[echo.Pair], found: dict[echo.Pair, float]) -> str:
        worst = max(pairs, key=lambda pair: abs(found.get(pair, 1e9) * 1e3 / self._profile_ms(pair) - 1))
        names = " and ".join(self.profile.regions[self.profile.region_of(node)] for node in worst)
        took = f"{found[worst] * 1e3:.1f} ms" if worst in found else "no answer"
        return (
            f"the measured round trip of {len(pairs)} pairs is not the profile's within {TOLERANCE:.0%}; the worst, "
            f"between {names}: {took} instead of {self._profile_ms(worst):.1f} ms. Is this machine busy?"
        )


def worst_deviation_percent(pairs: Sequence[dict[str, Any]]) -> float | None:
    """The largest difference of a measured round trip from the profile's, in per cent of it.

    Of pairs for which the share counts; of nearer ones the absolute difference is bounded. None if there are no pairs.
    """
    far = [one for one in pairs if one["profile_rtt_ms"] >= NEAR_MS]
    return max((abs(100 * (one["measured_rtt_ms"] / one["profile_rtt_ms"] - 1)) for one in far), default=None)
