"""How a run is simulated, and which of its options mean nothing in virtual time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bench.plan.fields import Given, SettingsError, about, fields_of
from bench.plan.run_settings import RunSettings

_simulated = partial(about, "Virtual time")
_speed = partial(_simulated, usual="no limit", ge=0.001, le=1e6)

#: that of loopback, with the wakeup
LATENCY_MS = 0.05
#: options of a run that have no meaning here, and why
MEANINGLESS = {
    "durability": "the disk is a price in the table",
    "base-port": "nodes have no ports",
    "curve": "sealing has a price in the table",
    "instrumentation": "reporting costs nothing here",
}
#: the suite that the table has prices of
PRICED_SUITE = "bls"


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation has besides the run. `calibration`: None for the table of the package."""

    costs: Annotated[
        Literal["table", "measured"],
        _simulated("Work costs what the table says (repeatable), or what it takes here as it runs."),
    ] = "table"
    cores: Annotated[int, _simulated("Processors that all nodes share.", ge=1, le=1024)] = 2
    own_hosts: Annotated[bool, _simulated("Each node has --cores of its own.")] = False
    factor: Annotated[float, _simulated("Of measured times: 2 for processors half as fast.", ge=0.001, le=1000)] = 1.0
    crypto: Annotated[
        Literal["suite", "ideal"], _simulated("Real cryptography, or tags that cost what the table says.")
    ] = "suite"
    latency_ms: (
        Annotated[float, _simulated("One way between two nodes, without --wan.", usual="0.05", ge=0, le=1e6)] | None
    ) = None
    uplink_mbit: Annotated[float, _speed("What a node can send, Mbit/s.")] | None = None
    downlink_mbit: Annotated[float, _speed("What a node can receive, Mbit/s.")] | None = None
    calibration: (
        Annotated[Path, _simulated("Table of costs, made with --calibrate.", usual="that of the package")] | None
    ) = None
    trace: Annotated[Path, _simulated("Write every event of every node to this file, as JSON lines.")] | None = None

    @staticmethod
    def make(given: Mapping[str, Given]) -> SimulationSettings:
        """From what a person chose, by key; SettingsError for the first thing that makes no sense."""
        fields = fields_of(SimulationSettings)
        made = SimulationSettings(**{fields[key].name: fields[key].read(one) for key, one in given.items()})
        if made.crypto == "ideal" and made.costs == "measured":
            raise SettingsError(f"{given['crypto'].shown('ideal')} has prices only in the table: leave out --costs")
        if "factor" in given and made.costs == "table":
            raise SettingsError(f"{given['factor'].written} is for --costs measured")
        return made

    @property
    def latency_s(self) -> float:
        """One way between two nodes, without a profile."""
        return (LATENCY_MS if self.latency_ms is None else self.latency_ms) / 1e3

    @property
    def uplink(self) -> float:
        """Bytes per second."""
        return _bytes_per_s(self.uplink_mbit)

    @property
    def downlink(self) -> float:
        """Bytes per second."""
        return _bytes_per_s(self.downlink_mbit)


def _bytes_per_s(mbit: float | None) -> float:
    return math.inf if mbit is None else mbit * 1e6 / 8


def refuse_unsimulated(run: RunSettings, how: SimulationSettings, given: Mapping[str, Given] | None = None) -> None:
    """SettingsError for the first option of a run that makes no sense in virtual time: one that differs from its
    default, or is `given` at all."""
    given = given or {}

    def written(key: str) -> str:
        return given.get(key, Given(None, key)).written

    for key, why in MEANINGLESS.items():
        if key in given or run.differs(key):
            raise SettingsError(f"{written(key)} means nothing in virtual time: {why}")
    if run.wan and how.latency_ms is not None:
        raise SettingsError(f"{written('wan')} contradicts --latency-ms")
    if run.parameters.suite != PRICED_SUITE and how.costs == "table":
        raise SettingsError(
            f"{written('suite')} needs --costs measured: the table has prices of the suite {PRICED_SUITE} only"
        )
