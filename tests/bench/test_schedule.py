"""Whole nodes under an adversarial scheduler: what the paper says of PBFT and of Honey Badger."""

import pytest

from bench.plan.build_run import run_of
from bench.plan.simulation_settings import SimulationSettings
from bench.run.simulated_run import SimulatedRun


def simulate(protocol: str, schedule: str | None, **how):
    run = run_of(protocol=protocol, nodes=4, rate=100.0, duration=1.0, warmup=0.2, seed=1)
    chosen = SimulationSettings(crypto="ideal", schedule=schedule, **how)
    return SimulatedRun(run, chosen, lambda progress: None).run()


def test_whoever_leads_is_late_and_only_the_protocol_with_a_leader_minds() -> None:
    asynchronous, calm = simulate("honeybadger", "leader"), simulate("honeybadger", None)
    assert asynchronous["valid"] and asynchronous["simulation"]["schedule"] == "leader"
    assert asynchronous["throughput_tx_per_s"] == pytest.approx(calm["throughput_tx_per_s"], rel=0.2)
    stalled = simulate("pbft", "leader")
    assert not stalled["valid"] and not stalled["committed_tx"]
    assert "nothing was committed" in stalled["reason"]


def test_the_same_seed_gives_the_same_schedule() -> None:
    one, other = simulate("honeybadger", "late:50"), simulate("honeybadger", "late:50")
    assert one["latency_s"] == other["latency_s"]
    assert one["latency_s"]["p50"] > 1.3 * simulate("honeybadger", None)["latency_s"]["p50"]
