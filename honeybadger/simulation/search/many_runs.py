"""Plays many cases, one a seed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from signal import SIG_IGN, SIGINT, signal

from honeybadger.simulation.search.case import Case
from honeybadger.simulation.search.draw import Wishes, draw
from honeybadger.simulation.search.play import Outcome, play

#: runs that a process takes at a time
CHUNK = 8


def search(wishes: Wishes, seeds: Sequence[int], jobs: int = 1) -> Iterator[tuple[Case, Outcome]]:
    """Each seed's case and its outcome, in the order of `seeds`; with `jobs` above 1, played by so many processes."""
    attempt = partial(_attempt, wishes)
    if jobs == 1:
        yield from map(attempt, seeds)
        return
    # Ctrl-C is for this process to deal with.
    with ProcessPoolExecutor(jobs, initializer=signal, initargs=(SIGINT, SIG_IGN)) as pool:
        try:
            yield from pool.map(attempt, seeds, chunksize=CHUNK)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _attempt(wishes: Wishes, seed: int) -> tuple[Case, Outcome]:
    case = draw(wishes, seed)
    return case, play(case)
