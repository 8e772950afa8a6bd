"""How a run is simulated, and which of its options mean nothing in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bench.plan.fields import Given, SettingsError, about, fields_of
from bench.plan.run_settings import RunSettings
from honeybadger.simulation.schedulers.catalogue import find_scheduler
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.wording import nearest

_simulated = partial(about, "Virtual time")
_speed = partial(_simulated, usual="no limit", ge=0.001, le=1e6)

#: that of loopback, with the wakeup
LATENCY_MS = 0.05
#: a full proposal carries at least so many transactions: with fewer, which ones nodes choose would be chance
FEWEST_CARRIED = 16
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
    bundle: Annotated[
        int, _simulated("One short transaction is carried and charged as W; divides --batch-size.", metavar="W", ge=1)
    ] = 1
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
    schedule: (
        Annotated[
            str, _simulated("Delay frames as this scheduler says, such as leader, starve:0 or split.", usual="none")
        ]
        | None
    ) = None
    calibration: (
        Annotated[Path, _simulated("Table of costs, made with --calibrate.", usual="that of the package")] | None
    ) = None
    trace: Annotated[Path, _simulated("Write every event of every node to this file, as JSON lines.")] | None = None

    @staticmethod
    def make(given: Mapping[str, Given]) -> SimulationSettings:
        """From what a person chose, by key; SettingsError for the first thing that makes no sense."""
        fields = fields_of(SimulationSettings)
        for key, one in given.items():
            if key not in fields:
                raise SettingsError(f"{one.written} is not an option of a simulation{nearest(key, fields)}")
        made = SimulationSettings(**{fields[key].name: fields[key].read(one) for key, one in given.items()})
        if made.crypto == "ideal" and made.costs == "measured":
            crypto, costs = given["crypto"].shown("ideal"), given["costs"].written
            raise SettingsError(f"{crypto} has prices only in the table: leave out {costs}")
        if "factor" in given and made.costs == "table":
            raise SettingsError(f"{given['factor'].written} is for --costs measured")
        if made.bundle > 1 and made.costs == "measured":
            raise SettingsError(f"{given['bundle'].shown(made.bundle)} multiplies prices: leave out --costs")
        return made

    @property
    def latency_s(self) -> float:
        """One way between two nodes, without a profile."""
        return (LATENCY_MS if self.latency_ms is None else self.latency_ms) / 1e3

    def payload(self, run: RunSettings) -> Payload:
        """What carried transactions stand for."""
        return Payload.of(self.bundle, run.tx_sizes.mean, _proposal(run) // self.bundle)

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


def _proposal(run: RunSettings) -> int:
    """Most transactions in one."""
    one_proposer = run.specification.one_proposer_per_block
    return run.parameters.batch_size if one_proposer else run.parameters.transactions_per_node(run.nodes)


def _refuse_bundle(run: RunSettings, bundle: int, written: Callable[..., str]) -> None:
    """SettingsError if the run cannot be carried in bundles of so many."""
    batch = written("batch-size", run.parameters.batch_size)
    if run.parameters.batch_size % bundle:
        raise SettingsError(f"--bundle {bundle} does not divide {batch}")
    if (most := _proposal(run) // FEWEST_CARRIED) < bundle:
        few = f"fewer than {FEWEST_CARRIED} transactions of {batch} to a node"
        raise SettingsError(f"--bundle {bundle} leaves {few}; at most {max(1, most)}")
    if run.window is not None and run.window < bundle:
        raise SettingsError(f"--bundle {bundle} exceeds {written('window', run.window)}")


def refuse_unsimulated(run: RunSettings, how: SimulationSettings, given: Mapping[str, Given] | None = None) -> None:
    """SettingsError for the first option of a run that makes no sense in virtual time: one that differs from its
    default, or is `given` at all."""
    given = given or {}

    def written(key: str, value: Any = None) -> str:
        one = given.get(key, Given(None, key))
        return one.written if value is None else one.shown(value)

    for key, why in MEANINGLESS.items():
        if key in given or run.differs(key):
            raise SettingsError(f"{written(key)} means nothing in virtual time: {why}")
    if how.schedule is not None:
        _refuse_schedule(run, how.schedule)
    if run.wan and how.latency_ms is not None:
        raise SettingsError(f"{written('wan')} contradicts --latency-ms")
    if run.parameters.suite != PRICED_SUITE and how.costs == "table":
        raise SettingsError(
            f"{written('suite')} needs --costs measured: the table has prices of the suite {PRICED_SUITE} only"
        )
    if how.bundle > 1:
        _refuse_bundle(run, how.bundle, written)


def _refuse_schedule(run: RunSettings, schedule: str) -> None:
    try:
        scheduler = find_scheduler(schedule, run.nodes)
    except ValueError as error:
        raise SettingsError(f"--schedule: {error}") from None
    if not scheduler.whole_nodes:
        raise SettingsError(f"--schedule {schedule} reorders messages; frames of whole nodes can only be late")
