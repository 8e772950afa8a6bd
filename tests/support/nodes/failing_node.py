"""A node that fails on purpose: `python failing_node.py FAILURE ARGUMENT … node --cluster …`.

FAILURE is one of the functions at the end.
"""

import errno
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

from honeybadger.cli.main import main
from honeybadger.ledger.chain import Chain
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.network.transport import Transport
from honeybadger.node import journal as journal_module
from honeybadger.node.events import EventLog
from honeybadger.node.journal import Journal
from honeybadger.node.peers import Peers

#: around a journal write
POINTS = ("before the write", "in the write", "before the sync", "before the send", "after the send")
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
LOOK_S = 0.02


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def write_half(file, parts, position):
    whole = b"".join(parts)
    os.pwrite(file, whole[: len(whole) // 2], position)


def crash(point, write):
    """It dies (SIGKILL) at its journal write number `write`."""
    assert point in POINTS
    left, sync, flush = int(write), Journal.sync, Peers.flush

    def half(file, parts, position):
        write_half(file, parts, position)
        die()

    def counted_sync(journal):
        nonlocal left
        left -= bool(journal._buffer)
        if left == 0 and journal._buffer:
            if point == "before the write":
                die()
            elif point == "in the write":
                journal_module.write_all = half
            elif point == "before the sync":
                os.fdatasync = die
        sync(journal)
        if left == 0 and point == "before the send":
            die()

    def counted_flush(peers, *arguments):
        flush(peers, *arguments)
        if left == 0:
            # ZeroMQ's own thread does the sending.
            time.sleep(0.1)
            die()

    Journal.sync, Peers.flush = counted_sync, counted_flush


def full_disk(what, write, mark):
    """Its journal write number `write` stores a part and fails, and so does each later one. `mark` is then a file that
    is created if the node still hands anything to the network. With `what` "events" instead of "journal" the events
    fail too, which people keep on the same disk."""
    left, sync, send, log = int(write), Journal.sync, Transport.send, EventLog.__init__

    def failing_write(file, parts, position):
        write_half(file, parts, position)
        raise NO_SPACE

    def counted_sync(journal):
        nonlocal left
        left -= bool(journal._buffer)
        if left <= 0:
            journal_module.write_all = failing_write
        sync(journal)

    def open_log(events, file, *rest):
        log(events, file, *rest)
        store = file.write

        def write_event(line):
            if left <= 0 and what == "events":
                raise NO_SPACE
            return store(line)

        file.write = write_event

    def noted_send(transport, peer, parts):
        if left <= 0:
            Path(mark).touch()
        return send(transport, peer, parts)

    Journal.sync, Transport.send, EventLog.__init__ = counted_sync, noted_send, open_log


def small_files(most):
    """No file of its may become longer than `most` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))


def stuck_disk(height):
    """Its disk takes no block from this height on."""
    flush = Chain.flush

    def stuck(chain, through):
        while chain.height >= int(height):
            time.sleep(1)
        return flush(chain, through)

    Chain.flush = stuck


def reserve(epochs):
    """It notes so many epochs at a time as those in which it may have voted: few, so that silence in them is short."""
    journal_module.RESERVE_BLOCK = int(epochs)


def steered(file):
    """Its link faults follow a clock that the test moves: what `file` holds, in seconds, plus the time since the start.
    A partition that ends at second 1000 lasts until the test writes 1000 there, however slow the machine is."""
    init, began = FaultyTransport.__init__, time.monotonic()
    next_look = offset = 0.0

    def clock():
        nonlocal next_look, offset
        now = time.monotonic()
        if now >= next_look:
            next_look, offset = now + LOOK_S, float(Path(file).read_text())
        return offset + now - began

    def on_that_clock(transport, *arguments, leads):
        *given, _start = arguments
        init(transport, *given, start=0.0, clock=clock, leads=leads)

    FaultyTransport.__init__ = on_that_clock


def unheard():
    """Nobody listens to it once it is up: the reader of its standard error leaves when that says so."""
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)

    def listen():
        said = b""
        while b"listening on" not in said:
            said += os.read(reading, 4096)
        os.close(reading)

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    command = sys.argv.index("node")
    _, failure, *arguments = sys.argv[:command]
    del sys.argv[1:command]
    globals()[failure](*arguments)
    main()
