"""Where simulated nodes report: the files that real nodes write, and one trace of all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from honeybadger.simulation.clock import Clock


class Trace:
    """One JSON line for each event of any node: {"t": virtual seconds, "node": …, "event": …, details}.

    In the order in which they were simulated: within a tick a node's clock runs ahead of the others. `None`: nowhere.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode

    def write(self, time: float, node: int, event: str, details: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(self._encode({"t": round(time, 9), "node": node, "event": event, **details}) + b"\n")


class NodeEvents:
    """The events of one node, in `path` and in the trace. `elapsed()`: of the tick in progress, seconds."""

    def __init__(self, node: int, path: Path, clock: Clock, elapsed: Callable[[], float], trace: Trace) -> None:
        self._node = node
        self._file = path.open("wb")
        self._clock = clock
        self._elapsed = elapsed
        self._trace = trace
        self._encode = msgspec.json.Encoder().encode

    def emit(self, event: str, **details: Any) -> None:
        now = self._clock.now + self._elapsed()
        self._file.write(self._encode({"t": now, "event": event, **details}) + b"\n")
        self._trace.write(now, self._node, event, details)

    def trace(self, event: str, **details: Any) -> None:
        """An event that only the trace has."""
        self._trace.write(self._clock.now + self._elapsed(), self._node, event, details)

    def phase(self, epoch: int, phase: str, **details: int) -> None:
        """An `Observer`."""
        self.emit(phase, epoch=epoch, **details)

    def close(self) -> None:
        self._file.close()
