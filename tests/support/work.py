"""How much work a call takes, counted: a clock would count what else the machine does, too."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def no_more_lines_than(most: int) -> Iterator[None]:
    """AssertionError once more lines of `honeybadger` than these have been run; a loop without end is left at once."""
    lines = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_globals.get("__name__", "").startswith("honeybadger"):
            lines += event == "line"
            if lines > most:
                raise AssertionError(f"more than {most} lines were run")
            return count
        return None

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    finally:
        sys.settrace(before)
    # What was raised above may have been caught on its way.
    if lines > most:
        raise AssertionError(f"more than {most} lines were run")
