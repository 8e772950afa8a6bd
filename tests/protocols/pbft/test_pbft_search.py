"""Random search for runs in which PBFT goes wrong (`search`), and the proof that it finds what is wrong (`mistakes`).

`HONEYBADGER_SOAK_SEED=<seed>` repeats one run exactly; `HONEYBADGER_PBFT_RUNS=<n>` says how many the soak makes.
"""

import os
import random

import pytest
from support.pbft.mistakes import MISTAKES
from support.pbft.search import search_run

from honeybadger.simulation.network import Stalled

RUNS = int(os.environ.get("HONEYBADGER_PBFT_RUNS", "20000"))


def search(seeds):
    for seed in seeds:
        try:
            search_run(seed)
        except Exception as error:
            error.add_note(f"HONEYBADGER_SOAK_SEED={seed}")
            raise


def test_random_runs():
    search(range(200))


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


#: mistakes that a few dozen runs find, and the first that does: where to begin; the others take hundreds or thousands
QUICK = {
    "first_batch": 52,
    "dropped_batch": 13,
    "small_quorum": 5,
    "unchecked_new_view": 65,
    "forgotten_votes": 3,
    "forgotten_certificates": 8,
    "forgotten_proposal": 3,
    "broken_promise": 1,
}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.soak) for n in MISTAKES])
@pytest.mark.timeout(0)
def test_the_search_finds(name, monkeypatch):
    """A test that cannot fail proves nothing."""
    MISTAKES[name](monkeypatch.setattr)
    with pytest.raises((AssertionError, RuntimeError, Stalled)):
        search(range(QUICK.get(name, 0), RUNS))
