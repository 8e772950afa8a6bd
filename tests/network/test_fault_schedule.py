"""What a schedule says about a link and a second, and what is no fault at all."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.network.fault_schedule import CLEAR, Conditions, LinkFault, Schedule

INF = math.inf


def fault(kind: str, **fields: Any) -> LinkFault:
    return msgspec.convert({"kind": kind, **fields}, LinkFault)


def cuts(faults: list[LinkFault], nodes: int, t: float) -> set[tuple[int, int]]:
    """The directed links that are cut at second t, as their senders see it."""
    return {
        (me, peer)
        for me in range(nodes)
        for peer in range(nodes)
        if peer != me and Schedule(faults, me).conditions(peer, t).cut
    }


def test_a_partition_cuts_both_directions_between_groups_and_only_then() -> None:
    halves = [fault("partition", groups=[[0, 1], [2, 3]], start_s=5, end_s=10)]
    between = {(a, b) for a in (0, 1) for b in (2, 3)}
    for t, expected in ((4.999, set()), (5, between), (9.999, between), (10, set())):
        assert cuts(halves, 4, t) == expected | {(b, a) for a, b in expected}


def test_nodes_in_no_group_form_one_more() -> None:
    assert cuts([fault("partition", groups=[[0], [1]])], 4, 1) == {
        (0, 1), (1, 0), (0, 2), (0, 3), (2, 0), (3, 0), (1, 2), (1, 3), (2, 1), (3, 1)
    }  # fmt: skip
    assert cuts([fault("partition", groups=[[3]])], 4, 1) == {(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2)}


def test_one_way_cuts_are_one_way() -> None:
    assert cuts([fault("one-way", senders=[0, 1], receivers=[2])], 4, 0) == {(0, 2), (1, 2)}
    assert cuts([fault("one-way", senders=[1])], 3, 0) == {(1, 0), (1, 2)}
    assert cuts([fault("one-way", receivers=[1])], 3, 0) == {(0, 1), (2, 1)}


def test_nothing_happens_before_second_0() -> None:
    faults = [fault("partition", groups=[[0]]), fault("slow", every_s=1), fault("reset", every_s=1)]
    schedule = Schedule(faults, 0)
    assert schedule.conditions(1, -0.001) is CLEAR
    assert schedule.pause(-0.001) == 0
    assert schedule.next_change(-7) == 0
    assert schedule.next_reset(1, -7) == 1


def test_the_strongest_of_a_kind_counts() -> None:
    schedule = Schedule(
        [
            fault("delay", delay_s=0.1, jitter_s=0.1),
            fault("delay", delay_s=0.3, jitter_s=0.2, senders=[0], receivers=[1], start_s=1, end_s=2),
            fault("bandwidth", bytes_per_s=1000),
            fault("bandwidth", bytes_per_s=10, start_s=1.5),
            fault("drop", probability=0.5),
            fault("drop", probability=0.25),
            fault("slow", every_s=0.5, receivers=[0, 2]),
            fault("slow", every_s=0.1),
        ],
        0,
    )
    assert schedule.conditions(1, 0.5) == Conditions(False, 0.1, 0.1, 1000, 0.5)
    assert schedule.conditions(1, 1.5) == Conditions(False, 0.3, 0.2, 10, 0.5)
    assert schedule.conditions(2, 1.5) == Conditions(False, 0.1, 0.1, 10, 0.5)
    assert schedule.pause(3) == 0.5
    assert schedule.has_pauses
    assert not Schedule([fault("slow", every_s=0.1, receivers=[1])], 0).has_pauses


def test_a_slow_node_has_clear_links() -> None:
    assert Schedule([fault("slow", every_s=1)], 0).conditions(1, 0) is CLEAR


def test_was_cut_finds_cuts_that_began_and_ended_in_between() -> None:
    schedule = Schedule([fault("one-way", receivers=[1], start_s=5, end_s=6)], 0)
    assert schedule.was_cut(1, 4, 7)
    assert schedule.was_cut(1, 5.5, 7)
    assert schedule.was_cut(1, 4, 5)
    assert not schedule.was_cut(1, 6, 7)
    assert not schedule.was_cut(1, 4, 4.9)
    assert not schedule.was_cut(2, 4, 7)


def test_resets_come_each_period_while_the_fault_lasts() -> None:
    schedule = Schedule([fault("reset", every_s=0.5, start_s=2, end_s=4), fault("reset", every_s=10)], 0)
    times, t = [], 0.0
    while (t := schedule.next_reset(1, t)) <= 30:
        times.append(t)
    assert times == [2.5, 3, 3.5, 10, 20, 30]


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(0.001, 1e6)), min_size=1, max_size=3),
    st.floats(0, 1e9),
)
def test_next_times_are_later_and_resets_at_most_a_period_away(times: list[tuple[float, float]], t: float) -> None:
    schedule = Schedule([LinkFault(kind="reset", start_s=start, every_s=every) for start, every in times], 0)
    following = schedule.next_reset(1, t)
    assert following > t
    assert following <= min(max(t, start) + 1.001 * every for start, every in times)
    assert schedule.next_change(t) > t


def test_changes_are_all_beginnings_and_ends() -> None:
    faults = [
        fault("drop", probability=1, start_s=3, end_s=7),
        fault("slow", every_s=1, start_s=5),
        fault("partition", groups=[[4]], start_s=1, end_s=2),
    ]
    times, t = [], -1.0
    while (t := Schedule(faults, 0).next_change(t)) < INF:
        times.append(t)
    assert times == [1, 2, 3, 5, 7]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "flood"}, "kind"),
        ({"kind": "partition"}, "groups is missing"),
        ({"kind": "partition", "groups": [[0], []]}, "groups has an empty group"),
        ({"kind": "partition", "groups": [[0, 1], [1]]}, "groups names a node twice"),
        ({"kind": "partition", "groups": [[-1]]}, "groups names node -1"),
        ({"kind": "partition", "groups": [[0]], "senders": [1]}, "senders has no meaning"),
        ({"kind": "one-way"}, "needs senders or receivers"),
        ({"kind": "one-way", "senders": [0, 0]}, "senders names a node twice"),
        ({"kind": "one-way", "receivers": [-2]}, "receivers names node -2"),
        ({"kind": "one-way", "receivers": [1], "delay_s": 1}, "delay_s has no meaning"),
        ({"kind": "delay"}, "delay_s is missing"),
        ({"kind": "delay", "delay_s": 0}, "delay_s is missing or zero"),
        ({"kind": "delay", "delay_s": -1}, "delay_s = -1"),
        ({"kind": "delay", "delay_s": math.nan}, "delay_s = nan"),
        ({"kind": "delay", "delay_s": INF}, "delay_s = inf"),
        ({"kind": "delay", "delay_s": 1, "jitter_s": 2}, "jitter_s = 2.0 exceeds"),
        ({"kind": "delay", "delay_s": 1, "groups": [[0]]}, "groups has no meaning"),
        ({"kind": "bandwidth"}, "bytes_per_s is missing"),
        ({"kind": "bandwidth", "bytes_per_s": 2e9}, "bytes_per_s = 2000000000.0"),
        ({"kind": "drop", "probability": 1.1}, "probability = 1.1"),
        ({"kind": "drop", "probability": "1"}, "probability"),
        ({"kind": "reset", "every_s": 0.0001}, "every_s = 0.0001"),
        ({"kind": "slow", "every_s": 1, "senders": [1]}, "senders has no meaning"),
        ({"kind": "slow", "every_s": 1, "start_s": 2, "end_s": 2}, "end_s = 2.0 is not after"),
        ({"kind": "slow", "every_s": 1, "end_s": math.nan}, "end_s = nan"),
        ({"kind": "slow", "every_s": 1, "speed": 2}, "speed"),
        ({"kind": "slow", "every_s": 1, "receivers": [True]}, "receivers"),
        ({}, "kind"),
    ],
)
def test_nonsense_is_one_line_that_names_the_field(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(fields, LinkFault)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_schedule_made_in_code_is_checked_as_well() -> None:
    with pytest.raises(ValueError, match="kind flood"):
        LinkFault(kind="flood")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="probability"):
        LinkFault(kind="drop", probability=2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (fault("one-way", senders=[3, 4]), "senders names node 4"),
        (fault("one-way", receivers=[9]), "receivers names node 9"),
        (fault("partition", groups=[[0], [1, 5]]), "groups names node 5"),
        (fault("partition", groups=[[0, 1, 2, 3]]), "all nodes in one"),
    ],
)
def test_nodes_that_do_not_exist(wrong: LinkFault, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong.check(4)
    wrong.check(10)
