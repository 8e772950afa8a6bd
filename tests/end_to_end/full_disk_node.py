"""A node whose disk is full: `python full_disk_node.py WHAT N MARK node --cluster …`.

WHAT "journal": the N-th journal write stores a part and fails, and so does each later one. MARK is then a file that
is created if the node still hands anything to the network. WHAT "events": as "journal", and so do the events, which
people keep on the same disk. WHAT "all": no file may become longer than N bytes.
"""

import errno
import os
import resource
import sys
from pathlib import Path

from honeybadger.cli.main import main
from honeybadger.network.transport import Transport
from honeybadger.node import journal as journal_module
from honeybadger.node.events import EventLog
from honeybadger.node.journal import Journal

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

if __name__ == "__main__":
    what, left, mark = sys.argv.pop(1), int(sys.argv.pop(1)), Path(sys.argv.pop(1))
    if what == "all":
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, left))
        main()
    sync, send, log = Journal.sync, Transport.send, EventLog.__init__

    def failing_write(file, parts):
        os.write(file, parts[0][: len(parts[0]) // 2])
        raise NO_SPACE

    def counted_sync(journal):
        global left
        left -= bool(journal._buffer)
        if left <= 0:
            journal_module.write = failing_write
        sync(journal)

    class EventFile:
        def __init__(self, file):
            self._file = file

        def write(self, line):
            if left <= 0 and what == "events":
                raise NO_SPACE
            self._file.write(line)

        def flush(self):
            self._file.flush()

        def close(self):
            self._file.close()

    def noted_send(transport, peer, parts):
        if left <= 0:
            mark.touch()
        return send(transport, peer, parts)

    Journal.sync, Transport.send = counted_sync, noted_send
    EventLog.__init__ = lambda self, file, *rest: log(self, EventFile(file), *rest)
    main()
