"""The batch size at which overhead is small: the line through three runs, and whether a run keeps what it promises."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan.build_run import run_of
from bench.plan.fields import Given, SettingsError
from bench.plan.simulation_settings import SimulationSettings
from bench.studies import suggest_batch
from bench.studies.suggest_batch import Sample, fit, suggest, suggestion
from honeybadger.cluster.errors import ClusterError

IDEAL = SimulationSettings(crypto="ideal")


def samples(fixed: float, copies: float, accepted: float = 1.0, bent: float = 1.0) -> list[Sample]:
    """Of a line, with the middle one `bent` times as high."""
    points = [(1, 1000.0, 1.0), (2, 2000.0, bent), (4, 4000.0, 1.0)]
    return [Sample(size, payload, (fixed + copies * payload) * by, 5.0, accepted) for size, payload, by in points]


@given(
    fixed=st.floats(1, 1e9),
    copies=st.floats(1, 1000),
    overhead=st.floats(0.001, 0.9),
    nodes=st.integers(4, 100),
    protocol=st.sampled_from(["honeybadger", "pbft"]),
)
@settings(max_examples=50, deadline=None)
def test_the_smallest_batch_size_with_at_most_this_overhead(
    fixed: float, copies: float, overhead: float, nodes: int, protocol: str
) -> None:
    run = run_of(nodes=nodes, tx_size="250", protocol=protocol, batch_size=nodes)
    found = suggestion(run, samples(fixed, copies), overhead)
    step = 1 if protocol == "pbft" else nodes
    assert found.batch_size >= 1 and found.batch_size % step == 0
    # To the accuracy with which a line is found again.
    slack = 1e-6 + 1e-9 * fixed / copies
    assert fixed / (fixed + copies * 250 * found.batch_size) <= overhead * (1 + slack)
    before = found.batch_size - step
    assert before == 0 or fixed / (fixed + copies * 250 * before) > overhead * (1 - slack)


def test_the_line_and_how_far_off_the_middle_is() -> None:
    line = fit(samples(500.0, 3.0, bent=0.8))
    assert (line.fixed_bytes, line.copies) == pytest.approx((500, 3)) and line.error == pytest.approx(0.25)
    assert line.overhead(0) == 1 and line.overhead(line.payload_bytes(0.1)) == pytest.approx(0.1)


def test_proposals_that_are_left_out_need_a_larger_batch() -> None:
    run = run_of(nodes=4, batch_size=4, protocol="pbft")
    whole, half = (suggestion(run, samples(1e5, 3.0, accepted), 0.1).batch_size for accepted in (1.0, 0.5))
    assert half == pytest.approx(2 * whole, abs=1)


def test_without_overhead_the_smallest_batch_there_is_will_do() -> None:
    found = suggestion(run_of(nodes=7), samples(-1.0, 3.0), 0.1)
    assert (found.batch_size, found.overhead) == (7, 0.0)


@pytest.mark.parametrize("copies", [0.0, -1.0])
def test_what_does_not_grow_has_no_suggestion(copies: float) -> None:
    with pytest.raises(ClusterError, match="does not grow with the batch"):
        fit(samples(1e6, copies))


def asked(**options: Any) -> dict[str, Given]:
    return {key.replace("_", "-"): Given(value, key) for key, value in options.items()}


@pytest.mark.parametrize("protocol", ["honeybadger", "pbft"])
def test_a_run_at_the_suggested_batch_size_has_the_overhead_that_is_promised(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another seed, and with transactions that are all of one length, unlike those that it was found with."""
    _, found = suggest(asked(nodes=4, protocol=protocol), IDEAL, 0.1)
    assert abs(found.line.error) < 0.02
    monkeypatch.setattr(suggest_batch, "LONGEST_VARIED", 0)
    asks = asked(nodes=4, protocol=protocol, seed=9)
    run = suggest_batch._sample(asks, IDEAL, found.batch_size, lambda progress: None)
    assert 1 - found.line.copies * run.payload_bytes / run.sent_bytes == pytest.approx(0.1, abs=0.025)


def test_a_single_node_sends_nothing() -> None:
    with pytest.raises(SettingsError, match="--suggest-batch needs two nodes or more"):
        suggest(asked(nodes=1), IDEAL, 0.1)


def test_a_run_that_is_not_valid_is_said_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    class Invalid:
        def __init__(self, settings: Any, how: Any, show: Any) -> None:
            tried.append(settings.duration_s)

        def run(self) -> dict[str, Any]:
            return {"valid": False, "reason": "nothing was committed"}

    monkeypatch.setattr(suggest_batch, "SimulatedRun", Invalid)
    with pytest.raises(ClusterError, match="a run with batch size 64 is not valid: nothing was committed"):
        suggest(asked(nodes=4), IDEAL, 0.1)
    assert tried == [0.1, 1.0, 10.0]
