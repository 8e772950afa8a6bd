"""Random searches with liars, crashes and restarts, and that they find bugs: see `searches` and `bugs`.

`HONEYBADGER_SOAK_SEED=<seed>` repeats one run of each search exactly; a failure prints which (its last line).
`HONEYBADGER_SOAK_RUNS=<n>` says how many runs of each `make soak` makes.
"""

import os
import random

import pytest
from support.simulation.bugs import BUGS
from support.simulation.searches import SEARCHES

from honeybadger.simulation.network import Stalled

#: what a bug leads to: a broken invariant, or a run that does not end
FOUND = (AssertionError, Stalled)
RUNS = 40
SOAK_RUNS = int(os.environ.get("HONEYBADGER_SOAK_RUNS", "20000"))
SEED = os.environ.get("HONEYBADGER_SOAK_SEED")

#: runs in which a bug must be found; in the suite, those that need few
FEW, MANY = 300, 3_000
#: the last one is the coarser form of "label not bound to the proposer", and slow
RARE = {"AUX2 forgotten", "READY forgotten", "BVAL forgotten", "WANT to too few", "label not bound"}

searches = pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.__name__)


def cases(rare):
    return [
        pytest.param(search, put, id=f"{search.__name__}: {name}")
        for search, bugs in BUGS.items()
        for name, put in bugs.items()
        if (name in RARE) == rare
    ]


@searches
def test_random_runs(search):
    for seed in [int(SEED)] if SEED else range(RUNS):
        search(seed).run()


@searches
def test_a_seed_repeats_its_run(search):
    assert search(4).run() == search(4).run()


@pytest.mark.soak
@pytest.mark.timeout(0)
@searches
def test_random_runs_for_long(search):
    first = random.SystemRandom().randrange(10**9)
    for seed in [int(SEED)] if SEED else range(first, first + SOAK_RUNS):
        search(seed).run()


def find(search, runs):
    for seed in range(runs):
        search(seed).run()


@pytest.mark.parametrize(("search", "put"), cases(rare=False))
def test_bugs_are_found(search, put, monkeypatch):
    put(monkeypatch)
    with pytest.raises(FOUND):
        find(search, FEW)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("search", "put"), cases(rare=True))
def test_rare_bugs_are_found(search, put, monkeypatch):
    put(monkeypatch)
    with pytest.raises(FOUND):
        find(search, MANY)
