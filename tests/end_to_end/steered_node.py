"""A node whose link faults follow a clock that the test moves: `python steered_node.py FILE node --cluster …`.

The clock of the fault schedule is what FILE holds, in seconds, plus the time since the node started: a partition that
ends at second 1000 lasts until the test writes 1000 there, however slow the machine is.
"""

import sys
import time
from pathlib import Path

from honeybadger.cli.main import main
from honeybadger.network import faulty_transport
from honeybadger.node import node

LOOK_S = 0.02


class SteeredClock:
    """The clock; its file is read now and then."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began = time.monotonic()
        self._next_look = self._offset = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            self._offset = float(self._file.read_text())
        return self._offset + now - self._began


if __name__ == "__main__":
    clock = SteeredClock(Path(sys.argv.pop(1)))

    class Steered(faulty_transport.FaultyTransport):
        def __init__(self, transport, me, nodes, faults, ready, start=None, leads=None):
            super().__init__(transport, me, nodes, faults, ready, 0.0, clock=clock, leads=leads)

    node.FaultyTransport = Steered
    main()
