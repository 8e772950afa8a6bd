"""Random search for runs in which HotStuff goes wrong (`search`), and the proof that it finds what is wrong.

`HONEYBADGER_SOAK_SEED=<seed>` repeats one run exactly; `HONEYBADGER_HOTSTUFF_RUNS=<n>` says how many the soak makes.
"""

import os
import random

import pytest
from support.hotstuff.mistakes import MISTAKES
from support.hotstuff.search import search_run

from honeybadger.simulation.network import Stalled

RUNS = int(os.environ.get("HONEYBADGER_HOTSTUFF_RUNS", "20000"))


def search(seeds, **how):
    for seed in seeds:
        try:
            search_run(seed, **how)
        except Exception as error:
            error.add_note(f"HONEYBADGER_SOAK_SEED={seed}")
            raise


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_runs(first):
    search(range(first, first + 20))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_random_runs_for_long():
    if seed := os.environ.get("HONEYBADGER_SOAK_SEED"):
        search([int(seed)])
        return
    first = random.SystemRandom().randrange(10**9)
    search(range(first, first + RUNS))


def test_a_seed_repeats_its_run():
    one, other = search_run(5), search_run(5)
    assert one.network.steps == other.network.steps
    assert [ledger.blocks for ledger in one.ledgers.values()] == [ledger.blocks for ledger in other.ledgers.values()]


#: where to look for each mistake, and the first seed that finds it there: where to begin
FOUND = {
    "any_views_commit": (115, {"scheme": True, "chain": "two"}),
    "short_chain": (11, {"scheme": True}),
    "no_lock": (45, {"scheme": True}),
    "forgotten_votes": (4, {}),
    "small_quorum": (70, {"scheme": True}),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_search_finds(name, monkeypatch):
    """A test that cannot fail proves nothing."""
    MISTAKES[name](monkeypatch.setattr)
    first, how = FOUND[name]
    with pytest.raises((AssertionError, Stalled)):
        search(range(first, first + 20), **how)
