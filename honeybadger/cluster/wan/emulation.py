"""An emulated WAN as a run uses it: made, measured, and removed whatever happens.

The kernel's netem shapes the links where it exists, and a process does elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import combinations
from typing import Any, Protocol

from honeybadger.cluster.errors import ClusterError, WanUnavailable
from honeybadger.cluster.wan import echo
from honeybadger.cluster.wan.namespaces import Namespaces, congestion_control, remove_leftovers
from honeybadger.cluster.wan.netem import NetemLinks
from honeybadger.cluster.wan.profile import Profile
from honeybadger.cluster.wan.user_space import UserSpaceLinks

#: how far a measured round trip may be from the profile; below `NEAR_MS` an absolute bound holds, because the machine's
#: own delay weighs too much
TOLERANCE = 0.05
NEAR_MS = 10.0
NEAR_TOLERANCE_MS = 2.0
#: a busy machine may spoil a measurement: pairs that are off are measured again, and the nearest median counts
ATTEMPTS = 8


class Links(Protocol):
    """Shapes the links between the namespaces of one run. `name`: for the result."""

    name: str

    def start(self) -> None:
        """Shape the links from now on. WanUnavailable if this machine cannot do it in this way."""

    def report(self) -> dict[str, Any]:
        """For the result, once at the end. `lateness_ms`: how late packets left; None if nobody counted.

        ClusterError if the links were not shaped all the time.
        """

    def stop(self) -> None:
        """Undo `start`, even if it failed half-way; a second call does nothing."""


#: in order of preference
EMULATORS: tuple[Callable[[Namespaces, Profile], Links], ...] = (NetemLinks, UserSpaceLinks)


class Emulation:
    """Context manager: `nodes` nodes in namespaces, shaped by `profile`.

    WanUnavailable, in one line, if this machine cannot do it. `measured`: the result of `measure`. `emulators`: the
    ways to try, in this order.
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
        """A prefix that runs a command in the namespace of the node."""
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

    def __exit__(self, *_: object) -> None:
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
        """For the summary, after all traffic: the measured WAN, and what shaped its links.

        ClusterError if the links were not shaped all the time.
        """
        if self._links is None:
            raise RuntimeError("the WAN has not been entered")
        return self.measured | {"emulator": self._links.name} | self._links.report()

    def measure(self) -> None:
        """Measure all round trips; ClusterError if one differs from the profile."""
        namespaces, profile = self._namespaces, self.profile
        patience_s = 0.2 + 1.5e-3 * max(profile.rtt_ms(a, b) for a in range(len(profile.regions)) for b in range(a + 1))
        with ExitStack() as stack:
            sockets = [
                stack.enter_context(namespaces.inside(node, partial(echo.open_socket, address)))
                for node, address in enumerate(self.addresses)
            ]
            nearest: dict[echo.Pair, float] = {}
            again: list[echo.Pair] = []
            for _ in range(ATTEMPTS):
                for pair, seconds in echo.measure(sockets, patience_s, again).items():
                    before = nearest.get(pair)
                    target = self._profile_ms(pair) / 1e3
                    if before is None or abs(seconds - target) < abs(before - target):
                        nearest[pair] = seconds
                every = combinations(range(namespaces.nodes), 2)
                again = [pair for pair in every if pair not in nearest or self._is_off(pair, nearest[pair] * 1e3)]
                if not again:
                    break
        if again:
            raise ClusterError(f"--wan: {self._complaint(again, nearest)}")
        self.measured = self._result(nearest)

    def _result(self, measured_s: dict[echo.Pair, float]) -> dict[str, Any]:
        pairs = [
            {
                "nodes": list(pair),
                "regions": [self.profile.regions[self.profile.region_of(node)] for node in pair],
                "profile_rtt_ms": self._profile_ms(pair),
                "measured_rtt_ms": measured_s[pair] * 1e3,
            }
            for pair in sorted(measured_s)
        ]
        return {
            "profile": self.profile.name,
            "source": self.profile.source,
            "regions": [self.profile.regions[self.profile.region_of(n)] for n in range(self._namespaces.nodes)],
            "pairs": pairs,
            "worst_deviation_percent": worst_deviation_percent(pairs),
            "tcp_congestion_control": self._namespaces.inside(0, congestion_control),
        }

    def _profile_ms(self, pair: echo.Pair) -> float:
        return self.profile.rtt_ms(self.profile.region_of(pair[0]), self.profile.region_of(pair[1]))

    def _is_off(self, pair: echo.Pair, measured_ms: float) -> bool:
        target = self._profile_ms(pair)
        return abs(measured_ms - target) > (TOLERANCE * target if target >= NEAR_MS else NEAR_TOLERANCE_MS)

    def _complaint(self, pairs: Sequence[echo.Pair], measured_s: dict[echo.Pair, float]) -> str:
        worst = max(pairs, key=lambda pair: abs(measured_s.get(pair, 1e9) * 1e3 / self._profile_ms(pair) - 1))
        names = " and ".join(self.profile.regions[self.profile.region_of(node)] for node in worst)
        took = f"{measured_s[worst] * 1e3:.1f} ms" if worst in measured_s else "no answer"
        return (
            f"the measured round trips of {len(pairs)} pairs are more than {TOLERANCE:.0%} from the profile; "
            f"the worst is between {names}: {took} instead of {self._profile_ms(worst):.1f} ms. Is this machine busy?"
        )


def worst_deviation_percent(pairs: Sequence[dict[str, Any]]) -> float | None:
    """The largest difference between a measured round trip and the profile, in per cent of the latter.

    Pairs below `NEAR_MS` do not count. None if no pair is left.
    """
    far = [one for one in pairs if one["profile_rtt_ms"] >= NEAR_MS]
    return max((abs(100 * (one["measured_rtt_ms"] / one["profile_rtt_ms"] - 1)) for one in far), default=None)
