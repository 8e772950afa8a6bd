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

#: options of a run that have no meaning here, and why
MEANINGLESS = {
    "durability": "the disk is a price in the table",
    "base-port": "nodes have no ports",
    "curve": "sealing has a price in the table",
    "instrumentation": "reporting costs nothing here",
}
#: options that will have one
LATER = (
    *("restart", "restart-all", "restart-primary", "restart-rounds", "restart-after"),
    *("partition", "bandwidth", "drop", "reset", "slow", "clients"),
)


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation has besides the run. `calibration`: None for the table of the package."""

    mode: Annotated[
        Literal["table", "measured"],
        _simulated("Work costs what the table says (repeatable), or what it takes here as it runs."),
    ] = "table"
    cores: Annotated[int, _simulated("Processors that all nodes share.", ge=1, le=1024)] = 2
    own_hosts: Annotated[bool, _simulated("Each node has --cores of its own.")] = False
    factor: Annotated[float, _simulated("Of measured times: 2 for processors half as fast.", ge=0.001, le=1000)] = 1.0
    crypto: Annotated[
        Literal["suite", "ideal"], _simulated("Real cryptography, or tags that cost what the table says.")
    ] = "suite"
    latency_ms: Annotated[float, _simulated("One way between any two nodes, without --wan.", ge=0, le=1e6)] = 0.05
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
        if made.crypto == "ideal" and made.mode == "measured":
            raise SettingsError(f"{given['crypto'].shown('ideal')} has prices only in the table: leave out --mode")
        if "factor" in given and made.mode == "table":
            raise SettingsError(f"{given['factor'].written} is for --mode measured")
        return made

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


def refuse_unsimulated(given: Mapping[str, Given], run: RunSettings, chosen: Mapping[str, Given]) -> None:
    """SettingsError for the first option of a run that makes no sense in virtual time. `chosen`: of a simulation."""
    for key, one in given.items():
        if key in MEANINGLESS:
            raise SettingsError(f"{one.written} means nothing in virtual time: {MEANINGLESS[key]}")
        if key in LATER and run.differs(key):
            raise SettingsError(f"{one.written} is not simulated yet")
    if run.wan and "latency-ms" in chosen:
        raise SettingsError(f"{chosen['latency-ms'].written} contradicts {given['wan'].shown(run.wan)}")
    if run.parameters.suite != "bls":
        raise SettingsError(f"suite {run.parameters.suite} is not simulated yet")
