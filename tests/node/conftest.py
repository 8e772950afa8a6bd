"""Time that passes when it is told to, for whatever a node's parts ask the time of."""

from types import SimpleNamespace

import pytest

from honeybadger.node import catch_up, certifier, peers, rate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Its `now` is in seconds."""
    made = SimpleNamespace(now=1000.0)
    fake = SimpleNamespace(monotonic=lambda: made.now)
    for module in (catch_up, certifier, peers, rate):
        monkeypatch.setattr(module, "time", fake)
    return made
