"""Random search for runs in which PBFT goes wrong (`search`), and the proof that it finds what is wrong (`mistakes`).

`HONEYBADGER_SOAK_SEED=<seed>` repeats one run exactly; `HONEYBADGER_PBFT_RUNS=<n>` says how many the soak makes.
"""

import os
import random

import pytest

from honeybadger.simulation.network import Stalled
from pbft.mistakes import MISTAKES
from pbft.search import search_run

RUNS = int(os.environ.get("HONEYBADGER_PBFT_RUNS", "20000"))
CHUNK = 100


def search(seeds):
    for seed in seeds:
        try:
            search_run(seed)
        except Exception as error:
            error.add_note(f"HONEYBADGER_SOAK_SEED={seed}")
            raise


@pytest.mark.parametrize("first", range(0, 1000, CHUNK))
def test_random_runs(first):
    search(range(first, first + CHUNK))


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


#: mistakes that a few dozen runs find; hundreds or thousands are needed for the others
QUICK = {
    "first_batch",
    "dropped_batch",
    "small_quorum",
    "unchecked_new_view",
    "forgotten_votes",
    "forgotten_proposal",
    "broken_promise",
}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.soak) for n in MISTAKES])
@pytest.mark.timeout(0)
def test_the_search_finds(name, monkeypatch):
    """A test that cannot fail proves nothing."""
    MISTAKES[name](monkeypatch.setattr)
    with pytest.raises((AssertionError, RuntimeError, Stalled)):
        search(range(RUNS))
