"""A node that dies (SIGKILL) at its K-th journal write: `python crashing_node.py POINT K node --cluster …`."""

import os
import signal
import sys
import time
from collections.abc import Sequence

from honeybadger.cli.main import main
from honeybadger.node import journal as journal_module
from honeybadger.node.journal import Journal
from honeybadger.node.peers import Peers

POINTS = ("before the write", "in the write", "before the sync", "before the send", "after the send")


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    point, left = sys.argv.pop(1), int(sys.argv.pop(1))
    assert point in POINTS
    sync, flush = Journal.sync, Peers.flush

    def half(file: int, parts: Sequence[bytes]) -> None:
        whole = b"".join(parts)
        os.write(file, whole[: len(whole) // 2])
        die()

    def counted_sync(journal: Journal) -> None:
        global left
        left -= bool(journal._buffer)
        if left == 0 and journal._buffer:
            if point == "before the write":
                die()
            elif point == "in the write":
                journal_module.write = half
            elif point == "before the sync":
                os.fdatasync = die
        sync(journal)
        if left == 0 and point == "before the send":
            die()

    def counted_flush(peers: Peers, *arguments: int) -> None:
        flush(peers, *arguments)
        if left == 0:
            # ZeroMQ's own thread does the sending.
            time.sleep(0.1)
            die()

    Journal.sync, Peers.flush = counted_sync, counted_flush  # type: ignore[method-assign]
    main()
