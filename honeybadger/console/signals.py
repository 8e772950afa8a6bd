"""Signals that end a command. What was ignored when it began (`nohup`, a shell's background job) stays ignored."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def is_ignored(number: int) -> bool:
    """Whether this process was started to ignore the signal."""
    return signal.getsignal(number) is signal.SIG_IGN


def end_as_first_process() -> None:
    """Let SIGTERM end the first process of a container, which gets from the kernel only those signals that it handles.

    To be called before anything slow. A command that stops in a better way puts its own handler in place of this one.
    """
    if os.getpid() == 1 and not is_ignored(signal.SIGTERM):
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def end_like_an_interrupt() -> None:
    """SIGTERM and SIGHUP end this command as Ctrl-C does, for commands whose nodes must not outlive them."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if not is_ignored(number):
            signal.signal(number, signal.default_int_handler)


@contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, SIGTERM and SIGHUP are noted, and the command ends itself; a second one interrupts it as usual.

    Gives a function that says whether one has come.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if not is_ignored(n)]
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
