"""What a node measures of itself."""

from __future__ import annotations

import time

import gevent

from honeybadger.node.usage import LAG_PERIOD_S, HubLag


def test_a_blocked_loop_is_noticed_and_forgotten_when_it_was_told():
    lag = HubLag()
    assert lag.take() is None, "not started"
    lag.start()
    try:
        # Nobody but this greenlet runs meanwhile: the timer is late by the rest of the pause.
        time.sleep(4 * LAG_PERIOD_S)
        gevent.sleep(0.01)
        told = lag.take()
        assert told is not None and told >= 2.5 * LAG_PERIOD_S
        assert lag.take() == 0.0
    finally:
        lag.close()
    assert lag.take() is None
