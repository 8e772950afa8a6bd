"""Signals that end a command. What was ignored when it began (`nohup`, a shell's background job) stays ignored."""

import os
import signal


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
