"""The outage plan, driven by made-up times."""

from itertools import pairwise

import pytest

from bench.plan.outage_plan import PRIMARY, Action, Outage, OutagePlan, round_times, why_too_tight

WINDOW = (100.0, 110.0)


def played(plan: OutagePlan, times: list[float], late_s: float = 0.0) -> list[tuple[float, bool, tuple[int, ...]]]:
    """What is done when: (time, kill, nodes); each action takes `late_s`."""
    done = []
    for now in times:
        while (action := plan.due(now, WINDOW)) is not None:
            plan.done(action, now + late_s)
            done.append((now, action.kill, action.nodes))
    return done


#: from ten seconds before the window to ten seconds after it
EVERY_TENTH = [90 + i / 10 for i in range(301)]


@pytest.mark.parametrize("rounds", [1, 2, 3, 10, 50])
def test_rounds_are_spread_evenly_and_leave_the_edges_free(rounds):
    times = round_times(rounds, 10.0)
    assert len(times) == rounds and times[0] >= 1.0 and times[-1] <= 9.0
    gaps = {round(b - a, 9) for a, b in pairwise(times)}
    assert len(gaps) <= 1
    assert times[0] + times[-1] == pytest.approx(10.0), "symmetric, so a single round is half-way"


def test_a_crash_is_half_way_and_for_good():
    plan = OutagePlan.crash([0, 1, 2, 4], 2)
    assert played(plan, EVERY_TENTH) == [(105.0, True, (2, 4))]
    assert plan.down == [2, 4] and not plan.restart_is_owed and plan.rounds_left == 0
    assert plan.outages == [Outage(2, 105.0), Outage(4, 105.0)]
    assert played(OutagePlan.crash(range(4), 0), EVERY_TENTH) == []


def test_rounds_kill_and_restart_in_turn():
    plan = OutagePlan([(3,), (0, 1)], 2.0)
    done = played(plan, EVERY_TENTH)
    assert done == [(103.0, True, (3,)), (105.0, False, (3,)), (107.0, True, (0, 1)), (109.0, False, (0, 1))]
    assert plan.down == [] and not plan.restart_is_owed and plan.rounds_left == 0
    assert plan.outages == [Outage(3, 103.0, 105.0), Outage(0, 107.0, 109.0), Outage(1, 107.0, 109.0)]


def test_the_primary_is_named_when_it_is_killed():
    """The plan does not know who that is; it restarts whom it is told was killed."""
    plan = OutagePlan.primaries(2, 1.0)
    assert plan.due(103.0, WINDOW) == Action(True, PRIMARY)
    plan.done(Action(True, (2,)), 103.2)
    assert plan.down == [2] and plan.due(104.1, WINDOW) is None
    assert plan.due(104.2, WINDOW) == Action(False, (2,))
    plan.done(Action(False, (2,)), 104.2)
    assert plan.due(107.0, WINDOW) == Action(True, PRIMARY)
    plan.done(Action(True, (3,)), 107.0)
    assert plan.outages == [Outage(2, 103.2, 104.2), Outage(3, 107.0)]


def test_what_is_due_stays_due_until_done():
    plan = OutagePlan([(1,)], 2.0)
    assert plan.due(104.9, WINDOW) is None
    assert plan.due(105.0, (104.0, 114.0)) is None, "the window may move while warming up"
    assert plan.due(105.0, WINDOW) == plan.due(106.0, WINDOW) == Action(True, (1,))
    plan.done(Action(True, (1,)), 106.5)
    assert plan.down == [1] and plan.restart_is_owed
    assert plan.due(108.4, WINDOW) is None, "the time counts from the kill, not from when it was due"
    assert plan.due(108.5, WINDOW) == Action(False, (1,))


def test_a_round_waits_for_the_restart_before_it():
    plan = OutagePlan([(1,), (2,)], 2.0)
    done = played(plan, [106.9, 107.1, 108.9, 109.0])
    assert done == [(106.9, True, (1,)), (108.9, False, (1,)), (108.9, True, (2,))]


def test_after_the_window_nobody_is_killed_but_all_come_back():
    plan = OutagePlan([(1,), (2,)], 2.0)
    assert played(plan, [109.9, 111.9, 112.0, 120.0]) == [(109.9, True, (1,)), (111.9, False, (1,))]
    assert plan.rounds_left == 1


def victims(seed: int, rounds: int = 40) -> list[tuple[int, ...]]:
    plan = OutagePlan.restarts([0, 1, 2, 4, 5], 2, rounds, 0.0, seed)
    return [nodes for _, kill, nodes in played(plan, EVERY_TENTH) if kill]


def test_victims_come_from_the_seed_and_are_correct_nodes():
    assert victims(7) == victims(7) and victims(7) != victims(8)
    assert len(victims(7)) == 40
    assert all(len(set(nodes)) == 2 and nodes == tuple(sorted(nodes)) for nodes in victims(7))
    assert {node for nodes in victims(7) for node in nodes} == {0, 1, 2, 4, 5}


@pytest.mark.parametrize(
    ("rounds", "restart_after_s", "duration_s", "says"),
    [
        (1, 2.0, 10.0, ""),
        (1, 4.9, 10.0, ""),
        (1, 5.0, 10.0, "after the measured 10 s"),
        (1, 2.0, 3.0, "killed at 1.5 s"),
        (2, 2.9, 10.0, ""),
        (2, 3.0, 10.0, "after the measured 10 s"),
        (10, 0.7, 10.0, ""),
        (10, 0.9, 10.0, "rounds begin every 0.8 s"),
    ],
)
def test_rounds_that_do_not_fit(rounds, restart_after_s, duration_s, says):
    why = why_too_tight(rounds, restart_after_s, duration_s)
    assert says in why and bool(says) == bool(why)
