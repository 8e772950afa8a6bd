"""Clock, processors and links of the simulation: what happens when."""

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.cluster.wan.profile import Profile
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.virtual_time.links import Links, Network
from honeybadger.simulation.virtual_time.processors import Processors


def run_all(clock: Clock) -> None:
    while clock.step():
        pass


@given(st.lists(st.floats(0, 10)))
def test_events_come_in_order_of_time_and_those_of_one_moment_in_order_of_planning(times):
    clock, seen = Clock(), []
    for number, time in enumerate(times):
        clock.at(time, lambda number=number: seen.append((clock.now, number)))
    run_all(clock)
    assert seen == sorted((time, number) for number, time in enumerate(times))
    assert clock.events == len(times)


def test_time_never_goes_back():
    clock, seen = Clock(), []
    clock.at(5, lambda: clock.at(1, lambda: seen.append(clock.now)))
    run_all(clock)
    assert seen == [5]


@given(st.integers(1, 4), st.lists(st.floats(0.001, 1), min_size=1, max_size=20))
def test_no_more_work_at_a_time_than_there_are_processors_and_none_waits_for_nothing(cores, costs):
    clock, running, most = Clock(), 0, 0
    host = Processors(clock, cores)

    def work(cost: float) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        return cost

    def done() -> None:
        nonlocal running
        running -= 1

    for cost in costs:
        host.run(lambda cost=cost: work(cost), done)
    run_all(clock)
    assert most == min(cores, len(costs)) and running == 0
    assert host.busy_s == pytest.approx(sum(costs))
    # The bounds of list scheduling (Graham 1969).
    shortest = max(max(costs), sum(costs) / cores)
    assert shortest - 1e-9 <= clock.now <= sum(costs) / cores + max(costs) + 1e-9


def arrivals(network: Network, frames: list[tuple[int, int, int]], nodes: int = 3, seed: int = 1) -> list[tuple]:
    """When (receiver, sender, number) of frames (sender, receiver, size) that are all sent at once arrive."""
    clock, seen = Clock(), []
    links = Links(clock, nodes, network, random.Random(seed), lambda node: node == 0)
    for number, (sender, receiver, size) in enumerate(frames):
        key = (receiver, sender, number)
        links.send(sender, receiver, size, lambda key=key: seen.append((clock.now, key)))
    run_all(clock)
    return seen


def test_a_constant_latency():
    assert arrivals(Network(0.25), [(0, 1, 10**9)]) == [(0.25, (1, 0, 0))]


def test_an_uplink_sends_one_frame_after_the_other_whoever_they_are_for():
    seen = arrivals(Network(0.0, uplink=100), [(0, 1, 100), (0, 2, 100), (1, 2, 100)])
    assert sorted(seen) == [(1, (1, 0, 0)), (1, (2, 1, 2)), (2, (2, 0, 1))]


def test_a_downlink_takes_one_frame_after_the_other_whoever_they_are_from():
    seen = arrivals(Network(0.5, downlink=100), [(0, 2, 100), (1, 2, 100), (0, 1, 100)])
    assert sorted(seen) == [(1.5, (1, 0, 2)), (1.5, (2, 0, 0)), (2.5, (2, 1, 1))]


PROFILE = """
regions = ["a", "b"]
rtt_ms = [[1.0, 100.0], [100.0, 1.0]]
jitter_ms = 20.0
loss_percent = 20.0
rate_mbit_per_s = 8.0
source = "made up"
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    path: Path = tmp_path_factory.mktemp("wan") / "p.toml"
    path.write_text(PROFILE)
    return Profile.load(path)


@given(sizes=st.lists(st.integers(1, 5000), min_size=2, max_size=20), seed=st.integers(0, 1000))
def test_a_profile_has_delay_jitter_rate_and_repeats_what_is_lost_but_keeps_the_order(profile, sizes, seed):
    seen = arrivals(Network(profile=profile), [(0, 1, size) for size in sizes], seed=seed)
    assert [key[2] for _, key in seen] == list(range(len(sizes)))
    assert seen == arrivals(Network(profile=profile), [(0, 1, size) for size in sizes], seed=seed)
    sent = sum(sizes) / 1e6
    # 50 ms ± 20 ms, once more 100 ms where a packet is lost, and the time for the bytes at 1 MB/s.
    assert 0.030 + sizes[0] / 1e6 <= seen[0][0] and seen[-1][0] <= 0.170 + sent


def test_loss_costs_a_round_trip_as_often_as_it_says(profile):
    delays = [arrivals(Network(profile=profile), [(0, 1, 1)], seed=seed)[0][0] for seed in range(500)]
    assert 60 <= sum(delay > 0.1 for delay in delays) <= 140
    assert max(delays) - min(delays) > 0.1


def test_nodes_of_one_region_are_near(profile):
    ((at, _),) = arrivals(Network(profile=profile), [(0, 2, 1)], seed=4)
    assert at < 0.0021


def test_delays_of_a_fault_schedule_act_while_they_last_and_on_their_links_only():
    fault = LinkFault(kind="delay", delay_s=1.0, senders=(0,), end_s=0.5)
    assert sorted(arrivals(Network(0.0, faults=[fault]), [(0, 1, 1), (1, 0, 1)])) == [(0, (0, 1, 1)), (1, (1, 0, 0))]
    clock, seen = Clock(), []
    links = Links(clock, 2, Network(0.0, faults=[fault]), random.Random(1), lambda node: False)
    clock.at(0.6, lambda: links.send(0, 1, 1, lambda: seen.append(clock.now)))
    run_all(clock)
    assert seen == [0.6]


def test_a_delay_follows_the_leader():
    fault = LinkFault(kind="delay", delay_s=1.0, leader=True)
    assert sorted(arrivals(Network(0.0, faults=[fault]), [(0, 1, 1), (1, 0, 1)])) == [(0, (0, 1, 1)), (1, (1, 0, 0))]


@pytest.mark.parametrize("kind", [{"kind": "partition", "groups": ((0,),)}, {"kind": "drop", "probability": 0.1}])
def test_other_faults_are_refused(kind):
    with pytest.raises(ValueError, match=f"{kind['kind']} is not simulated yet"):
        Network(faults=[LinkFault(**kind)])


def test_a_host_without_processors_is_refused():
    with pytest.raises(ValueError, match="too few"):
        Processors(Clock(), 0)


def test_bandwidth_is_unlimited_by_default():
    assert math.isinf(Network().uplink) and math.isinf(Network().path(0, 1).bytes_per_s)
