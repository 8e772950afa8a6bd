"""One trace of what all simulated nodes report, beside the files that each of them writes as a real one."""

from typing import Any, BinaryIO

import msgspec


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
