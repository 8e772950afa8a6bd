"""What a run of `honeybadger local` is asked to do, and what it says of itself while it does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.workload import TxSizes
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.wan.profile import Profile
from honeybadger.protocols.parameters import Parameters


@dataclass(frozen=True)
class LocalSettings:
    """What to run.

    `tx_sizes`: of the transactions. `rate`: offered per second in all, None for the closed loop with `window`
    unanswered ones per node (None: as many as keep it busy). `arrivals`: how an open loop spaces them; `clients`: how
    many processes offer; `submit_to`: how many nodes each transaction is sent to. `crash`: nodes to kill half-way.
    `restart`: nodes to kill in each of `restart_rounds` rounds and to start again after `restart_after_s`;
    `restart_primary`: each time the one node that is the primary.
    `byzantine`: node → the strategy that it runs. `link_faults`: what the links do, as the manifest wants it.
    `wan`: what the links are like, None for loopback.
    """

    nodes: int
    faults: int
    parameters: Parameters
    runtime: Runtime
    tx_sizes: TxSizes
    duration_s: float
    warmup_s: float
    rate: float | None
    crash: int
    restart: int
    restart_after_s: float
    base_port: int | None
    seed: int
    out: Path | None
    restart_rounds: int = 1
    restart_primary: bool = False
    byzantine: Mapping[int, str] = field(default_factory=dict)
    link_faults: tuple[Any, ...] = ()
    window: int | None = None
    arrivals: str = "fixed"
    clients: int = 1
    submit_to: int = 1
    wan: Profile | None = None

    @property
    def correct(self) -> list[int]:
        """The nodes that are not Byzantine; some of them may be killed."""
        return [index for index in range(self.nodes) if index not in self.byzantine]


@dataclass
class Progress:
    """What the run is doing now, for a display.

    `crashed`: nodes that are down now; `restarts`: how often a node was started again; `byzantine`: nodes that lie;
    `link_faults`: those in force now, in words. `page`: where a browser sees the cluster while it runs.
    """

    phase: str = "starting"
    elapsed_s: float = 0.0
    total_s: float = 0.0
    committed: int = 0
    rate_tx_per_s: float = 0.0
    crashed: list[int] = field(default_factory=list)
    restarts: int = 0
    byzantine: list[int] = field(default_factory=list)
    page: str = ""
    link_faults: list[str] = field(default_factory=list)
