"""Virtual time: events in order; timers that expire once; timers among the messages of the in-memory network."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.protocols.honey_badger.messages import BVal
from honeybadger.simulation.clock import Clock, Timers
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import Late, Lifo, fifo

MESSAGE = BVal(1, 0, 0, True)


def run(clock):
    while clock.step():
        pass


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-20, 20)), max_size=30))
def test_events_run_in_order_of_time_and_then_of_planning(plan):
    """Each event plans another, perhaps in the past, which comes at once."""
    clock, ran = Clock(), []

    def first(number, delay):
        ran.append((clock.now, number))
        clock.after(delay, partial(second, number, clock.now + max(0, delay)))

    def second(number, due):
        assert clock.now == due
        ran.append((clock.now, len(plan) + number))

    for number, (time, delay) in enumerate(plan):
        clock.at(time, partial(first, number, delay))
    run(clock)
    assert len(ran) == clock.events == 2 * len(plan)
    assert [time for time, _ in ran] == sorted(time for time, _ in ran)
    firsts = [event for event in ran if event[1] < len(plan)]
    assert firsts == sorted((time, number) for number, (time, _) in enumerate(plan))


@pytest.mark.parametrize("second", [1, 1000])
def test_a_timer_expires_once_unless_it_is_cancelled_or_set_again(second):
    clock, expired = Clock(), []
    timers = Timers(clock, second)
    timers.expired = lambda name: expired.append((name, clock.now / second))
    for name, delay in [("plain", 3), ("cancelled", 1), ("later", 1), ("sooner", 5), ("later", 4), ("sooner", 2)]:
        timers.set(name, delay)
    timers.cancel("cancelled")
    timers.cancel("unknown")
    run(clock)
    assert expired == [("sooner", 2), ("plain", 3), ("later", 4)]
    timers.set("plain", 1)
    timers.clear()
    run(clock)
    assert len(expired) == 3


def network(scheduler, messages):
    """`messages` under way, and what happens in order: "m" for each that arrives."""
    made, happened = InMemoryNetwork(1, 1, scheduler), []
    made.attach(0, Endpoint(lambda sender, message: happened.append("m")))
    made.timers(0).expired = happened.append
    for _ in range(messages):
        made.transmit(0, 0, MESSAGE)
    return made, happened


@pytest.mark.parametrize("scheduler", [fifo, Lifo()])
def test_a_delivery_takes_a_step_and_timers_expire_between_deliveries(scheduler):
    """Also when the messages are overdue, as the newest are under `lifo`."""
    made, happened = network(scheduler, 5)
    made.timers(0).set("t", 0.0025)
    made.run()
    assert happened == [*"mmm", "t", *"mm"]
    assert made.clock.now == 5


def test_a_timer_expires_before_a_message_that_is_later():
    made, happened = network(Late(1_000_000), 1)
    made.timers(0).set("before", 0.0005)
    made.timers(0).set("after", 2_000)
    made.run()
    assert happened == ["before", "m", "after"]


def test_a_timer_of_a_timer_does_not_keep_a_message_away_for_ever():
    made, happened = network(fifo, 3)
    timers = made.timers(0)
    timers.expired = lambda name: (happened.append(name), timers.set(name, 0.001), made.transmit(0, 0, MESSAGE))
    timers.set("t", 0.001)
    made.run(lambda: happened.count("m") >= 20, max_steps=100)
