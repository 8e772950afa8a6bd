"""Tells a run's seed."""

import os

import pytest


@pytest.fixture
def seed() -> int:
    """Always the same; HONEYBADGER_FUZZ_SEED replays another run."""
    value = int(os.environ.get("HONEYBADGER_FUZZ_SEED", "20160616"))
    print(f"replay with HONEYBADGER_FUZZ_SEED={value}")
    return value
