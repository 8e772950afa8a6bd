"""What a tick of a node costs, in one of two modes.

"table": every piece of work has its price in the table, and nothing else counts: the same seed gives the same run.
"measured": the processor time of this thread while the node's code runs, times a factor; only what the simulation
leaves out has a price (frames, disk, load generator).
"""

import time
from dataclasses import dataclass
from typing import Literal

from honeybadger.simulation.virtual_time.table import CostTable

Mode = Literal["table", "measured"]
#: of cryptography, named as real nodes name them
OPERATIONS = ("encrypt", "check", "decryption_share", "decrypt", "coin_share", "coin", "code", "certificate")


@dataclass(frozen=True)
class Costs:
    """`factor`: how much slower the simulated processors are than this one, in mode "measured"."""

    table: CostTable
    mode: Mode = "table"
    factor: float = 1.0


class Meter:
    """Adds up one node's costs. `operations`: seconds of cryptography by operation, none if they are measured; `total`:
    of all ticks so far."""

    def __init__(self, costs: Costs) -> None:
        self._measures = costs.mode == "measured"
        self._factor = costs.factor
        self.operations = {} if self._measures else dict.fromkeys(OPERATIONS, 0.0)
        self.total = 0.0
        self._charged = 0.0
        self._began: float | None = None

    def begin(self) -> None:
        """A tick begins."""
        self._charged = 0.0
        self._began = time.thread_time() if self._measures else None

    def end(self) -> float:
        """The tick has ended: its cost."""
        cost = self.elapsed
        self.total += cost
        self._charged, self._began = 0.0, None
        return cost

    @property
    def elapsed(self) -> float:
        """Since the tick began; 0 between ticks."""
        measured = 0.0 if self._began is None else (time.thread_time() - self._began) * self._factor
        return self._charged + measured

    def work(self, seconds: float) -> None:
        """The node's code did something that costs so much: charged unless it is measured."""
        if not self._measures:
            self._charged += seconds

    def outside(self, seconds: float) -> None:
        """A real node would do this, and the simulation does not: always charged."""
        self._charged += seconds

    def operation(self, name: str, seconds: float) -> None:
        """Cryptography: as `work`, and noted by name."""
        self.work(seconds)
        self.note(name, seconds)

    def note(self, name: str, seconds: float) -> None:
        """Cryptography that is charged elsewhere."""
        if not self._measures:
            self.operations[name] += seconds
