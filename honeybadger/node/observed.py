"""What a node's events tell while it runs: counts, rates and the phases of epochs. A subscriber; protocols know nothing
of it.
"""

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from honeybadger.protocols.contract import Phase

#: seconds over which throughput is measured
RATE_S = 5.0
#: epochs whose phases are kept
EPOCHS = 32


class Observed:
    """`subscribe` it to an `EventLog`. `phases`: those of the protocol. Times are monotonic seconds."""

    def __init__(self, phases: Iterable[Phase]) -> None:
        self._phases = {phase.name for phase in phases}
        self.began = time.monotonic()
        self.blocks = 0
        self.transactions = 0
        self.transaction_bytes = 0
        #: the newest "usage" event
        self.usage: dict[str, Any] = {}
        #: phase → [epochs, seconds in all] from the first phase of an epoch to this one
        self.phase_totals: dict[str, list[float]] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._epochs: dict[int, dict[str, float]] = {}
        self._last_committed = 0

    def __call__(self, event: str, details: dict[str, Any]) -> None:
        if event == "block":
            self.blocks += 1
            self.transactions += details["transactions"]
            self.transaction_bytes += details["bytes"]
            self._recent.append((time.monotonic(), details["transactions"]))
            self._forget(time.monotonic())
        elif event == "usage":
            self.usage = details
        elif event in self._phases:
            self._phase(details["epoch"], event)

    @property
    def tx_per_s(self) -> float:
        """Transactions in blocks that became durable in the last `RATE_S` seconds, per second."""
        now = time.monotonic()
        self._forget(now)
        return sum(count for _, count in self._recent) / max(0.1, min(RATE_S, now - self.began))

    def totals(self) -> dict[str, Any]:
        """Since the start: blocks that became durable, transactions in them, their bytes, and `phase_totals`."""
        return {
            "blocks": self.blocks,
            "transactions": self.transactions,
            "bytes": self.transaction_bytes,
            "phases": self.phase_totals,
        }

    def phases(self) -> dict[str, Any]:
        """Of the epoch in progress and of the one committed last: number and seconds from its first phase to each.

        `current` has `age_s` too, seconds since that first phase; both are None if there is none.
        """
        open_epochs = [epoch for epoch, seen in self._epochs.items() if "committed" not in seen]
        now = time.monotonic()
        current = last = None
        if open_epochs and min(open_epochs) > self._last_committed:
            epoch = min(open_epochs)
            current = {**self._of(epoch), "age_s": round(now - min(self._epochs[epoch].values()), 3)}
        if self._last_committed in self._epochs:
            last = self._of(self._last_committed)
        return {"current": current, "last": last}

    def _of(self, epoch: int) -> dict[str, Any]:
        seen = self._epochs[epoch]
        first = min(seen.values())
        return {"epoch": epoch, "seconds": {phase: round(at - first, 4) for phase, at in seen.items()}}

    def _phase(self, epoch: int, phase: str) -> None:
        now = time.monotonic()
        seen = self._epochs.setdefault(epoch, {})
        if phase in seen or "committed" in seen:
            return
        seen[phase] = now
        total = self.phase_totals.setdefault(phase, [0, 0.0])
        total[0] += 1
        total[1] += now - min(seen.values())
        if phase == "committed":
            self._last_committed = max(self._last_committed, epoch)
        while len(self._epochs) > EPOCHS:
            del self._epochs[min(self._epochs)]

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RATE_S:
            self._recent.popleft()
