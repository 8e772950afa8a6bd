"""What a run says of itself while it goes on."""

from dataclasses import dataclass, field


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
