"""A profile: round trips and other properties of the links between regions (a TOML file).

    about = "one line for people"
    source = "where the round trips come from, and when"
    regions = ["east", "west"]
    rtt_ms = [[1.0, 40.0], [40.0, 1.0]]
    jitter_ms = 0.5
    loss_percent = 0.1
    rate_mbit_per_s = 100.0

    [[pairs]]
    regions = ["east", "west"]
    loss_percent = 1.0

`rtt_ms` is symmetric; its diagonal is for two nodes in the same region. Jitter, loss and rate are of one direction, for
all pairs that `[[pairs]]` does not name. Node i is in region i mod the number of regions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.toml_file import mistyped, read_toml
from honeybadger.wording import nearest

PROFILES = Path(__file__).parent / "profiles"
#: limits of a round trip, milliseconds; the machine itself adds delay of the order of the first
SHORTEST_RTT_MS = 0.5
LONGEST_RTT_MS = 10_000.0
MOST_REGIONS = 100

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
_Loss = Annotated[float, msgspec.Meta(ge=0, le=50)]
_Rate = Annotated[float, msgspec.Meta(ge=0.1, le=10_000)]
_Jitter = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_RTT_MS)]


@dataclass(frozen=True)
class Link:
    """One direction between two regions: half the round trip, ± `jitter_ms` (uniform), loss, rate."""

    delay_ms: float
    jitter_ms: float
    loss_percent: float
    rate_mbit_per_s: float


class _Pair(msgspec.Struct, forbid_unknown_fields=True):
    regions: tuple[str, str]
    jitter_ms: _Jitter | None = None
    loss_percent: _Loss | None = None
    rate_mbit_per_s: _Rate | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    regions: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=MOST_REGIONS)]
    rtt_ms: list[list[float]]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    about: str = ""
    jitter_ms: _Jitter = 0.0
    loss_percent: _Loss = 0.0
    rate_mbit_per_s: _Rate = 1000.0
    pairs: list[_Pair] = []


class Profile:
    """A checked profile. `regions`: their names, in order of their numbers."""

    def __init__(self, name: str, file: _File) -> None:
        """ValueError, in one line, for the first thing that makes no sense."""
        self.name = name
        self.about = file.about
        self.source = file.source
        self.regions = file.regions
        self._rtt_ms = file.rtt_ms
        self._usual = (file.jitter_ms, file.loss_percent, file.rate_mbit_per_s)
        if len(set(self.regions)) != len(self.regions):
            raise ValueError("two regions have the same name")
        _check_matrix(self._rtt_ms, self.regions)
        self._pairs: dict[frozenset[int], _Pair] = {}
        for pair in file.pairs:
            for region in pair.regions:
                if region not in self.regions:
                    raise ValueError(f"pairs: there is no region {region!r:.80}")
            key = frozenset(self.regions.index(region) for region in pair.regions)
            if key in self._pairs:
                raise ValueError(f"pairs: {' and '.join(pair.regions)} is there twice")
            self._pairs[key] = pair
        for a in range(len(self.regions)):
            for b in range(a, len(self.regions)):
                link = self.link(a, b)
                if link.jitter_ms > link.delay_ms:
                    raise ValueError(
                        f"jitter of {link.jitter_ms:g} ms exceeds the {link.delay_ms:g} ms that one direction takes "
                        f"between {self.regions[a]} and {self.regions[b]}"
                    )

    @staticmethod
    def find(name: str) -> Profile:
        """The profile of that name, or the file if the name ends with `.toml` or has a `/`; ClusterError in one
        line."""
        if "/" in name or name.endswith(".toml"):
            return Profile.load(Path(name))
        names = Profile.names()
        if name not in names:
            raise ClusterError(
                f"there is no WAN profile {name!r:.60}: use {', '.join(names)} or the path of a .toml file"
                f"{nearest(name, names)}"
            )
        return Profile.load(PROFILES / f"{name}.toml")

    @staticmethod
    def names() -> list[str]:
        """The profiles that come with the package."""
        return sorted(path.stem for path in PROFILES.glob("*.toml"))

    @staticmethod
    def load(path: Path) -> Profile:
        """From a file; ClusterError names it and what is wrong with it."""
        raw = read_toml(path)
        if "rtt_ms" not in raw and "regions" not in raw:
            raise ClusterError(f"{path}: this is not a WAN profile: it has neither regions nor rtt_ms")
        try:
            return Profile(path.stem, msgspec.convert(raw, _File))
        except (msgspec.ValidationError, ValueError) as error:
            raise ClusterError(f"{path}: {error}{mistyped(error, _File, _Pair)}") from None

    def region_of(self, node: int) -> int:
        """The number of the node's region."""
        return node % len(self.regions)

    def rtt_ms(self, a: int, b: int) -> float:
        """The round trip between two regions, milliseconds."""
        return self._rtt_ms[a][b]

    def link(self, a: int, b: int) -> Link:
        """The properties of one direction between two regions."""
        jitter, loss, rate = self._usual
        if pair := self._pairs.get(frozenset((a, b))):
            jitter = jitter if pair.jitter_ms is None else pair.jitter_ms
            loss = loss if pair.loss_percent is None else pair.loss_percent
            rate = rate if pair.rate_mbit_per_s is None else pair.rate_mbit_per_s
        return Link(self.rtt_ms(a, b) / 2, min(jitter, self.rtt_ms(a, b) / 2) if a == b else jitter, loss, rate)


def _check_matrix(rtt_ms: list[list[float]], regions: list[str]) -> None:
    size = len(regions)
    if len(rtt_ms) != size or any(len(row) != size for row in rtt_ms):
        raise ValueError(f"rtt_ms is not {size} rows of {size} numbers, one for each region")
    for a, row in enumerate(rtt_ms):
        for b, value in enumerate(row):
            if not (math.isfinite(value) and SHORTEST_RTT_MS <= value <= LONGEST_RTT_MS):
                raise ValueError(
                    f"rtt_ms: {value:g} between {regions[a]} and {regions[b]} is not from {SHORTEST_RTT_MS:g} to "
                    f"{LONGEST_RTT_MS:g} ms"
                )
            if value != rtt_ms[b][a]:
                raise ValueError(
                    f"rtt_ms: {value:g} from {regions[a]} to {regions[b]}, but {rtt_ms[b][a]:g} back: a round trip has "
                    "one length"
                )
