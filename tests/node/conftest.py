"""Time that passes when it is told to."""

import pytest
from support.clock import CLOCK, Clock


@pytest.fixture
def clock() -> Clock:
    """Its `now` is in seconds."""
    CLOCK.now = Clock.now
    return CLOCK
