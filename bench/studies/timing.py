"""Times a small piece of work: processor time, the best of many repetitions or the one in the middle."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeAlias

#: least number of timings of each primitive
LEAST_REPEATS = 5

#: what it is; how many times a node does it in an epoch; what does it once and returns the seconds
Primitive: TypeAlias = tuple[str, int, Callable[[], float]]


def timed(function: Callable[[], Any]) -> float:
    """Processor seconds of one call, in all threads of the process."""
    began = time.process_time()
    began_wall = time.perf_counter()
    function()
    wall = time.perf_counter() - began_wall
    # The clock of processor time is coarse; for less than one of its steps use the other clock.
    used = time.process_time() - began
    return min(used, wall) if used > 1e-4 else wall


def best(run: Callable[[], float], seconds: float) -> float:
    """The least that `run` returned in about so many seconds: what nothing disturbed."""
    return min(_repeated(run, seconds))


def middle(run: Callable[[], float], seconds: float) -> float:
    """The median of what `run` returned in about so many seconds: what is usual."""
    return median(_repeated(run, seconds))


def _repeated(run: Callable[[], float], seconds: float) -> list[float]:
    run()
    taken: list[float] = []
    until = time.monotonic() + seconds
    while len(taken) < LEAST_REPEATS or time.monotonic() < until:
        taken.append(run())
    return taken
