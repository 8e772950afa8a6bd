"""Whole runs in virtual time: nodes die and come back, links are cut and lossy, and somebody ends a run early."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.suites import suite_or_skip

from bench.plan.build_run import run_of
from bench.plan.simulation_settings import SimulationSettings
from bench.run.simulated_run import SimulatedRun
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.console.signals import noted
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import verify_ledger
from honeybadger.network.outgoing import Outgoing

QUICK = {"duration": 0.6, "warmup": 0.1, "batch_size": 40, "seed": 7}


def simulate(
    out: Path | None = None,
    how: dict[str, Any] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    **options: Any,
) -> dict[str, Any]:
    settings = msgspec.structs.replace(run_of(**{**QUICK, **options}), out=out)
    chosen = SimulationSettings(**{"crypto": "ideal", **(how or {})})
    return SimulatedRun(settings, chosen, lambda progress: None, interrupted=interrupted).run()


def events(path: Path, *names: str) -> list[dict[str, Any]]:
    lines = map(json.loads, path.read_bytes().splitlines())
    return [line for line in lines if line["event"] in names]


FAULTS: dict[str, dict[str, Any]] = {
    "restart": {"restart": 1, "restart_after": 0.1},
    "restart all": {"restart_all": True, "restart_after": 0.1},
    "restart the primary": {"protocol": "pbft", "restart_primary": True, "restart_after": 0.1, "duration": 1.0},
    "partition": {"partition": "0|1,2,3@0.2-0.4"},
    "one way": {"partition": "2>*@0.2-0.4"},
    "drop": {"drop": "0.005"},
    "reset": {"reset": "50ms"},
    "bandwidth": {"bandwidth": "1:500kB"},
    "delay": {"delay": "1:5ms~1ms"},
    "slow": {"slow": "1:2ms@0.2-0.4"},
    "several clients": {"clients": 3, "rate": 300.0},
}


@pytest.mark.parametrize("name", FAULTS)
def test_with_faults_a_run_is_valid_loses_nothing_and_is_the_same_again(name: str, tmp_path: Path) -> None:
    traces = [tmp_path / "a", tmp_path / "b"]
    for trace in traces:
        summary = simulate(how={"trace": trace}, **FAULTS[name])
        assert summary["valid"], summary["reason"]
        assert summary["offered_committed_tx"] > 0
        assert summary["unanswered_tx"] == summary["abandoned_tx"], "only a dead node's clients wait in vain"
        assert bool(summary["abandoned_tx"]) == ("restart" in name)
        assert not summary["faults_recorded"] and not summary["refused_tx"]
    assert traces[0].read_bytes() == traces[1].read_bytes()


@pytest.mark.parametrize("name", ["restart", "restart all", "restart the primary"])
def test_outages_are_measured_as_in_a_real_run(name: str) -> None:
    summary = simulate(**FAULTS[name])
    rows = summary["restarts"]
    assert len(rows) == (4 if name == "restart all" else 1)
    for row in rows:
        assert row["down_s"] == pytest.approx(0.1, abs=0.06) and 0 < row["recovery_s"] < 3
    assert summary["restarted"] == sorted(row["node"] for row in rows) and not summary["crashed"]
    if name == "restart the primary":
        assert [row["node"] for row in rows] == [0]
    if name != "restart all":
        assert rows[0]["committed_tx_while_down_others"] > 0 or name == "restart the primary"
    assert summary["committed_tx_after_crash"] > 0


def test_a_node_that_was_down_for_many_epochs_takes_over_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than its peers keep for it: here a few epochs."""
    init = Outgoing.__init__
    monkeypatch.setattr(Outgoing, "__init__", lambda self, cap: init(self, 60_000))
    out, trace = tmp_path / "run", tmp_path / "trace"
    summary = simulate(out, {"trace": trace}, restart=1, restart_after=1.2, duration=3.0)
    assert summary["valid"], summary["reason"]
    (back,) = summary["restarted"]
    adopted = events(trace, "adopted")
    assert {event["node"] for event in adopted} == {back} and len(adopted) > 4
    assert len(events(out / f"node-{back}" / "events.jsonl", "started")) == 2
    assert len(set(summary["final_heights"])) == 1


def test_in_a_partition_only_the_larger_part_goes_on(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    summary = simulate(how={"trace": trace}, partition="0|1,2,3@0.2-0.5", duration=0.9)
    assert summary["valid"] and summary["committed_tx_after_link_faults"] > 0
    zero = summary["window"]["start"] + summary["link_fault_zero_s"]
    at = {node: [e["t"] for e in events(trace, "block") if e["node"] == node] for node in (0, 1)}
    cut = {node: [t for t in times if zero + 0.3 < t < zero + 0.5] for node, times in at.items()}
    assert cut[1] and not cut[0] and len(at[0]) == len(at[1])


def test_certificates_are_in_the_ledgers_and_prove_the_blocks(tmp_path: Path) -> None:
    simulate(tmp_path / "run", {"crypto": "suite"}, duration=0.4)
    manifest = Manifest.load(tmp_path / "run" / "cluster.toml")
    store = SQLiteStore(tmp_path / "run" / "node-1" / "ledger.sqlite", read_only=True)
    report = verify_ledger(store, certificate_key=manifest.public_keys.certificate)
    store.close()
    assert report.ok and report.certified > 4


def test_without_recovery_nothing_is_certified(tmp_path: Path) -> None:
    simulate(tmp_path / "run", recovery=False)
    store = SQLiteStore(tmp_path / "run" / "node-1" / "ledger.sqlite", read_only=True)
    assert store.height() > 4 and store.newest_certified() is None
    store.close()


def test_a_liar_that_serves_bad_certificates_is_named() -> None:
    summary = simulate(byzantine="1:bad-certificates", restart=1, restart_after=0.3, duration=1.2)
    assert summary["valid"], summary["reason"]
    assert {fault["node"] for fault in summary["faults_recorded"]} == {3}


MISTAKEN = """
from honeybadger.adversary.base import Adversary

class Mistaken(Adversary):
    def {hook}:
        raise KeyError("a mistake")
"""


@pytest.mark.parametrize("hook", ["change(self, recipient, message)", "__init__(self, context)"])
def test_a_strategy_with_a_mistake_in_it_is_told_as_in_a_real_run(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mistaken_{'init' if 'init' in hook else 'change'}"
    (tmp_path / f"{name}.py").write_text(MISTAKEN.format(hook=hook))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    if "init" in hook:
        with pytest.raises(ClusterError, match=r"node 3: .*KeyError: 'a mistake'"):
            simulate(byzantine=f"1:{name}:Mistaken")
        return
    summary = simulate(byzantine=f"1:{name}:Mistaken")
    assert summary["reason"].startswith(f"node 3 stopped: {name}:Mistaken failed: KeyError: 'a mistake'")


def test_a_run_that_is_interrupted_is_summarised_so_far_and_says_so(tmp_path: Path) -> None:
    asked = iter([False] * 3000)
    summary = simulate(tmp_path / "run", interrupted=lambda: next(asked, True), duration=60)
    assert summary["simulation"]["interrupted"] and not summary["valid"]
    assert summary["reason"].startswith("interrupted after 0.")
    assert 0 < summary["window"]["end"] <= summary["simulation"]["virtual_s"] < 2
    assert summary["epochs"] > 0 and summary["throughput_tx_per_s"] > 0
    assert json.loads((tmp_path / "run" / "summary.json").read_bytes())["simulation"]["interrupted"]


def test_a_run_that_is_interrupted_in_its_warm_up_says_so_too() -> None:
    summary = simulate(interrupted=lambda: True, duration=60)
    assert summary["simulation"]["interrupted"] and summary["epochs"] == 0 and not summary["valid"]


def test_a_run_to_the_end_was_not_interrupted() -> None:
    assert simulate()["simulation"]["interrupted"] is False


def test_another_suite_is_simulated_where_work_is_measured() -> None:
    """On hosts of their own, so that this machine may be busy."""
    suite_or_skip("charm")
    how = {"crypto": "suite", "costs": "measured", "own_hosts": True, "factor": 0.1}
    summary = simulate(how=how, suite="charm", rate=100.0, duration=0.3)
    assert summary["valid"], summary["reason"]
    assert summary["suite"] == "charm" and summary["simulation"]["mode"] == "measured"


def test_a_second_signal_interrupts_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), noted() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
