"""The standard streams of a command, and the one way to people: a line that cannot be written never stops the work.

Lines about the work, tracebacks included, go to `sys.stderr`. What cannot be written there is lost, and nothing raises:
the reader of a pipe has gone, the terminal was closed, the disk is full. What a person asked for goes to `sys.stdout`;
if that fails, so does the command. On both, a character that the encoding lacks becomes "?".
"""

import io
import os
import select
import stat
import sys
from contextlib import suppress
from typing import Any


class _Lossy(io.RawIOBase):
    """A descriptor to which writing never raises."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = self._target = descriptor
        self._patience_s: float | None = None

    def never_wait(self) -> None:
        """From now on, what a slow reader leaves no room for is lost rather than waited with."""
        self._patience_s = 0.0
        if os.isatty(self._descriptor) or stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            # A terminal that has room for a byte blocks whoever writes two. Other processes write to it too, and would
            # not expect it to be non-blocking, so it is opened anew; only Linux can do so.
            with suppress(OSError):
                self._target = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Claims that all was written, whatever happened."""
        rest = memoryview(data)
        with suppress(OSError):
            while rest and select.select([], [self._target], [], self._patience_s)[1]:
                # A pipe that is ready takes so much at once.
                rest = rest[os.write(self._target, rest[: select.PIPE_BUF]) :]
        return len(data)


_standard_error = _Lossy(2)


def prepare() -> None:
    """Make the streams of this process as the module says. Streams that something else was put in place of stay."""
    # What processes that this one starts write into its pipes is not for people.
    os.environ.pop("PYTHONIOENCODING", None)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It was closed. The next file to be opened, a ledger perhaps, must not become what is printed to.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stderr is sys.__stderr__:
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(_standard_error, encoding, "replace", write_through=True)


def never_wait() -> None:
    """From now on, lines that nobody reads (a stopped terminal, a full pipe) are lost rather than waited with."""
    _standard_error.never_wait()


def finish() -> None:
    """Write what is left of standard output; OSError if that fails, and then the interpreter will not try again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise
