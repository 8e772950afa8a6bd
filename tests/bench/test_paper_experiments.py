"""The experiments of the paper's figures: their settings are the paper's, and they run, with few nodes and batches."""

from typing import Any

import pytest

from bench.measure.results import grouped, read_results
from bench.plan.estimate import Estimate
from bench.plan.experiment import READY_MADE, Experiment
from bench.plan.simulation_settings import SimulationSettings
from bench.run.experiment_runner import Runner, one_by_one
from bench.run.simulated_run import SimulatedRun
from bench.show.against import BATCH_SIZE, BYTES, EPOCH, NODES_AT_SHARE, THROUGHPUT
from bench.show.published import read_points
from honeybadger.cluster.toml_file import read_toml
from honeybadger.protocols.quorums import Quorums

NAMES = sorted(path.stem for path in READY_MADE.glob("paper-*.toml"))
#: what stands for a number of nodes
FEW = {4: 4, 8: 4, 16: 4, 32: 5, 64: 5, 104: 5}


def small(raw: dict[str, Any]) -> dict[str, Any]:
    """The same experiment with few nodes, small batches, short delays, and little time."""
    made = dict(raw)
    series = [made] if "nodes" in made else [{**one} for one in made["series"]]
    for one in series:
        nodes, batches = one["nodes"], one["batch-size"]
        shares = [batch / nodes for batch in (batches if isinstance(batches, list) else [batches])]
        one["nodes"] = FEW[nodes]
        one["faults"] = 1
        # Two sizes for each N, the same transactions per node for all N.
        one["batch-size"] = sorted({FEW[nodes] * (2 if share < 1000 else 6) for share in shares})
        one["duration"] = 1.2
        one.pop("window", None)
    if "series" in made:
        made["series"] = series
    if "delay" in made:
        made["delay"] = ["", "leader:300ms@0.2-0.5"]
    made["simulation"] = {key: value for key, value in made["simulation"].items() if key != "bundle"}
    return made


def results(raw, out):
    experiment = Experiment.parse(raw, "x")
    how = SimulationSettings.make(experiment.simulation or {})

    def quiet(*_: Any) -> None:
        pass

    work = one_by_one(lambda settings: SimulatedRun(settings, how, quiet).run())
    found = Runner(experiment, out, begin=quiet, end=quiet).run(work, Estimate())
    assert all(result.valid for result in found), [result.summary["reason"] for result in found]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_small_one_runs_and_has_its_figures(name, tmp_path):
    raw = small(read_toml(READY_MADE / f"{name}.toml"))
    found = results(raw, tmp_path)
    groups = grouped(read_results(tmp_path))
    wanted = {
        "paper-batch": [(BATCH_SIZE, THROUGHPUT), (BATCH_SIZE, EPOCH), (NODES_AT_SHARE, THROUGHPUT)],
        "paper-pbft": [(NODES_AT_SHARE, THROUGHPUT), (NODES_AT_SHARE, EPOCH)],
        "paper-bytes": [(BATCH_SIZE, BYTES)],
        "paper-leader-delay": [],
    }[name]
    for along, quantity in wanted:
        rows = along.rows(along.groups(groups, quantity.figure), quantity)
        assert {row["protocol"] for row in rows} == {one.get("protocol", "honeybadger") for one in raw["series"]}
        assert all(row[quantity.column] > 0 for row in rows)
    for one in (result.summary for result in found):
        assert one["place"] == "virtual time" and one["suite"] == "ideal"
        handled = sum(node["messages_handled"] for node in one["per_node"]) / one["ledger"]["height"]
        assert one["messages_per_epoch"] == pytest.approx(handled, rel=0.4), "as in the whole run"
        assert one["epoch_at_quorum_s"]["p50"] > 0.1, "two delays between regions"


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_those_of_the_paper(name):
    experiment = Experiment.load(READY_MADE / f"{name}.toml")
    how = SimulationSettings.make(experiment.simulation or {})
    assert (how.cores, how.own_hosts, how.uplink_mbit, how.downlink_mbit) == (2, True, 250, 250), "a t2.medium"
    for run in (one.settings for one in experiment.runs):
        assert run.quorums == Quorums(run.nodes, run.nodes // 4) and run.tx_size == "250" and run.wan == "eight-regions"
        if name != "paper-leader-delay" and run.protocol == "honeybadger":
            assert run.options["coin-schedule"] == "every-round"


def test_batches_are_those_of_the_published_points():
    points = read_points(READY_MADE / "published.csv")
    published = {(point.nodes, point.batch_size) for point in points if point.source.startswith("authors' logs")}
    run = {
        (one.options["nodes"], one.options["batch-size"])
        for one in Experiment.load(READY_MADE / "paper-batch.toml").runs
    }
    assert published & run == {(32, 16384), (32, 524288), (64, 1048576), (104, 53248), (104, 851968)}
