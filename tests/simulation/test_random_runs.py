"""Random searches with liars, crashes and restarts, and that they find bugs: see `searches` and `bugs`.

A failure names its seed: `HONEYBADGER_SOAK_SEED=<seed>` plays that one of each search. `HONEYBADGER_SOAK_RUNS=<n>` says
how many runs of each `make soak` makes.
"""

import os
import random

import pytest
from support.simulation.bugs import BUGS
from support.simulation.searches import SEARCHES

from honeybadger.simulation.search import search

#: in the suite; those of the whole protocol take long, the encrypted ones most
RUNS = {name: 5 if "encrypted" in name or "later" in name else 20 if "whole" in name else 40 for name in SEARCHES}
SOAK_RUNS = int(os.environ.get("HONEYBADGER_SOAK_RUNS", "20000"))
SEED = os.environ.get("HONEYBADGER_SOAK_SEED")

#: runs in which a bug must be found; in the suite, those that need few
FEW, MANY = 600, 5_000

#: bugs that few runs meet
RARE = {"CONF forgotten", "BVAL forgotten", "READY forgotten", "WANT for a committed epoch dropped", "AUX2 forgotten"}

searches = pytest.mark.parametrize("name", SEARCHES)


def cases(rare):
    return [
        pytest.param(name, put, id=f"{name}: {bug}")
        for name, bugs in BUGS.items()
        for bug, put in bugs.items()
        if (bug in RARE) == rare
    ]


def failure(name, seeds):
    """What goes wrong first in these runs, with its seed; None if nothing does."""
    outcomes = search(SEARCHES[name], seeds)
    return next(((case.seed, o.verdict, o.why) for case, o in outcomes if o.verdict != "progressed"), None)


@searches
def test_random_runs(name):
    assert failure(name, [int(SEED)] if SEED else range(RUNS[name])) is None


@pytest.mark.soak
@pytest.mark.timeout(0)
@searches
def test_random_runs_for_long(name):
    first = random.SystemRandom().randrange(10**9)
    assert failure(name, [int(SEED)] if SEED else range(first, first + SOAK_RUNS)) is None


@pytest.mark.parametrize(("name", "put"), cases(rare=False))
def test_bugs_are_found(name, put, monkeypatch):
    put(monkeypatch)
    assert failure(name, range(FEW))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "put"), cases(rare=True))
def test_rare_bugs_are_found(name, put, monkeypatch):
    put(monkeypatch)
    assert failure(name, range(MANY))
