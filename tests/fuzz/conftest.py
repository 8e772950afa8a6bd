"""Makes the helpers of this folder importable also when pytest is started elsewhere, and tells a run's seed."""

import pytest
from mutations import seed_of_this_run


@pytest.fixture
def seed(capsys: pytest.CaptureFixture[str]) -> int:
    """The seed; HONEYBADGER_FUZZ_SEED replays another run."""
    value = seed_of_this_run()
    print(f"replay with HONEYBADGER_FUZZ_SEED={value}")
    return value
