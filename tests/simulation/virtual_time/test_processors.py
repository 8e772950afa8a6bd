"""Processors are shared fairly, in slices, and none is idle while work waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.simulation.clock import Clock
from honeybadger.simulation.virtual_time.processors import SLICE_S, Processors

#: works that arrive: (when, processor time), seconds
ARRIVALS = st.lists(
    st.tuples(st.floats(0, 0.05), st.one_of(st.just(0.0), st.floats(1e-4, 0.03))), min_size=1, max_size=12
)
CORES = st.integers(1, 4)


class Shared:
    """A host that is given works; `began`, `ended`: when, by number."""

    def __init__(self, cores: int, works: list[tuple[float, float]]) -> None:
        self.clock = Clock()
        self.host = Processors(self.clock, cores)
        self.works = works
        self.began: dict[int, float] = {}
        self.ended: dict[int, float] = {}
        for number, (at, _) in enumerate(works):
            self.clock.at(at, lambda number=number: self._give(number))
        while self.clock.step():
            pass

    def _give(self, number: int) -> None:
        def work() -> float:
            assert number not in self.began
            self.began[number] = self.clock.now
            return self.works[number][1]

        def done() -> None:
            assert number not in self.ended
            self.ended[number] = self.clock.now

        self.host.run(work, done)


def fluid(cores: int, works: list[tuple[float, float]]) -> dict[int, float]:
    """When each would end if processors were divided exactly: every work gets min(1, cores / works) of one."""
    left = {number: cost for number, (_, cost) in enumerate(works)}
    arrivals = sorted((at, number) for number, (at, _) in enumerate(works))
    now, there, ended = 0.0, set(), {}
    while arrivals or there:
        while arrivals and arrivals[0][0] <= now:
            there.add(arrivals.pop(0)[1])
        for number in [n for n in there if left[n] <= 1e-12]:
            there.remove(number)
            ended[number] = now
        speed = min(1.0, cores / len(there)) if there else 0.0
        steps = [left[n] / speed for n in there] + [arrivals[0][0] - now for _ in arrivals[:1]]
        if steps:
            step = min(steps)
            now += step
            for number in there:
                left[number] -= step * speed
    return ended


@given(CORES, ARRIVALS)
def test_all_work_is_done_and_no_processor_is_idle_while_work_waits(cores, works):
    shared = Shared(cores, works)
    assert shared.ended.keys() == shared.began.keys() == set(range(len(works)))
    assert shared.host.busy_s == pytest.approx(sum(cost for _, cost in works))
    # The last to end was served whenever a processor was idle, so all were busy while it waited.
    last = max(shared.ended, key=shared.ended.__getitem__)
    at, cost = works[last]
    before = sum(other for number, (_, other) in enumerate(works) if number != last)
    assert at + cost - 1e-9 <= shared.ended[last] <= at + cost + before / cores + 1e-9
    if cores == 1:
        # The end of a busy period does not depend on who is served in it.
        end = 0.0
        for at, cost in sorted(works):
            end = max(end, at) + cost
        assert max(shared.ended.values()) == pytest.approx(end)


@given(CORES, ARRIVALS)
def test_nobody_is_further_behind_an_exact_division_than_a_slice_for_each_other_work(cores, works):
    shared, ideal = Shared(cores, works), fluid(cores, works)
    for number, ended in shared.ended.items():
        assert ended <= ideal[number] + len(works) * SLICE_S + 1e-9


@given(st.integers(2, 12), st.integers(1, 12))
def test_equal_works_on_one_processor_end_together(count, slices):
    cost = slices * SLICE_S
    shared = Shared(1, [(0.0, cost)] * count)
    for number in range(count):
        assert shared.ended[number] == pytest.approx(count * cost - (count - 1 - number) * SLICE_S)


@given(CORES, ARRIVALS)
def test_with_as_many_processors_as_works_each_takes_its_time_with_one_event(cores, works):
    shared = Shared(max(cores, len(works)), works)
    for number, (at, cost) in enumerate(works):
        assert shared.began[number] == at and shared.ended[number] == at + cost
    assert shared.clock.events == 2 * len(works)


@given(CORES, ARRIVALS)
def test_the_same_works_are_served_in_the_same_way(cores, works):
    first, second = Shared(cores, works), Shared(cores, works)
    assert list(first.ended.items()) == list(second.ended.items()) and first.began == second.began
    assert first.clock.events == second.clock.events


def test_a_long_work_gives_way_at_once_to_one_that_comes_after_its_slice_and_goes_on_after_it():
    shared = Shared(1, [(0.0, 0.1), (0.05, 0.001)])
    assert shared.began[1] == 0.05 and shared.ended[1] == pytest.approx(0.051)
    assert shared.ended[0] == pytest.approx(0.101)


def test_a_work_keeps_its_processor_for_a_slice():
    shared = Shared(1, [(0.0, 0.1), (0.001, 0.001)])
    assert shared.began[1] == pytest.approx(SLICE_S)


def test_nobody_is_cut_when_nobody_waits():
    shared = Shared(1, [(0.0, 1.0), (0.5, 0.001)])
    # Two arrivals, the end that was planned and came to nothing, the cut, and two ends.
    assert shared.clock.events == 6


def test_work_that_gives_more_work_while_it_begins():
    clock = Clock()
    host = Processors(clock, 1)
    ended = []

    def work() -> float:
        host.run(lambda: 0.001, lambda: ended.append(("second", clock.now)))
        return 0.004

    host.run(work, lambda: ended.append(("first", clock.now)))
    while clock.step():
        pass
    assert [name for name, _ in ended] == ["second", "first"]
    assert [at for _, at in ended] == pytest.approx([0.004, 0.005])


def test_a_host_without_processors_is_refused():
    with pytest.raises(ValueError, match="too few"):
        Processors(Clock(), 0)
