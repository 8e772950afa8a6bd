"""What simulated nodes report: the files that each of them writes as a real one, and one trace of all."""

from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from honeybadger.node.events import EventLog
from honeybadger.simulation.virtual_time.payload import Payload


class BundleEvents(EventLog):
    """Says of blocks how many transactions, and bytes of them, all that was carried stands for."""

    def __init__(self, file: BinaryIO, now: Callable[[], float], payload: Payload) -> None:
        super().__init__(file, now=now)
        self._payload = payload

    def emit(self, event: str, **details: Any) -> None:
        if event == "block":
            details["transactions"] = self._payload.transactions(details["transactions"])
            details["bytes"] = self._payload.transaction_bytes(details["bytes"])
        super().emit(event, **details)


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
