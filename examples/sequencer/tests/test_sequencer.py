"""The example protocol on the in-memory network, in any order of messages, with crashes, and as processes."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sequencer import LEADER, SPECIFICATION, Batch, SequencerParameters, Stored, Submit

from bench.plan.build_run import run_of
from bench.plan.simulation_settings import SimulationSettings
from bench.run.simulated_run import SimulatedRun
from honeybadger.adversary import find_strategy
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.registry import find_protocol
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.schedulers import Late, lifo, shuffled

SMALL = SequencerParameters(batch_size=12, max_tx_bytes=1000, max_proposal_bytes=1 << 14)


def made(kind=SimulatedCluster, seed=0, nodes=3, **how):
    """A cluster whose nodes all have transactions, and these."""
    cluster = kind(nodes, seed, parameters=SMALL, specification=SPECIFICATION, **how)
    given = [b"%d of %d" % (i, me) for me in range(nodes) for i in range(20)]
    for me in cluster.correct:
        cluster.submit(me, given[20 * me : 20 * me + 20])
    return cluster, given


def test_it_is_registered_and_short():
    assert find_protocol("sequencer") is SPECIFICATION
    source = Path(sys.modules[SPECIFICATION.build.__module__].__file__).read_text()
    assert len(source.splitlines()) < 140
    assert sum(bool(line.strip()) for line in source.split('"""', 2)[2].splitlines()) < 100


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
@pytest.mark.parametrize("scheduler", [shuffled, lifo, Late()])
def test_all_commit_the_same_in_any_order_of_messages(nodes, scheduler):
    cluster, given = made(nodes=nodes, scheduler=scheduler)
    cluster.start()
    cluster.run_until_committed(given)
    cluster.check()
    assert not cluster.network.faults


def test_it_runs_in_virtual_time_as_it_is():
    run = run_of(protocol="sequencer", nodes=3, duration=0.4, warmup=0.1, batch_size=30, seed=1)
    summary = SimulatedRun(run, SimulationSettings(crypto="ideal"), lambda progress: None).run()
    assert summary["valid"] and summary["epochs"] > 10


@pytest.mark.parametrize("dying", [[0], [1], [0, 1, 2]])
def test_nodes_may_crash_at_any_time_and_come_back(dying):
    for steps in range(1, 80, 3):
        cluster, given = made(RestartableCluster, steps)
        cluster.start()
        with suppress(Stalled):
            cluster.run(lambda: False, steps)
        for me in dying:
            cluster.live[me].crash()
        with suppress(Stalled):
            cluster.run(lambda: False, steps % 50)
        for me in dying:
            cluster.restart(me)
        cluster.run_until_committed(given)
        cluster.check()
        assert not cluster.network.faults


def test_one_of_three_may_stay_away_unless_it_is_the_leader():
    cluster, given = made(RestartableCluster)
    cluster.at(5, lambda: cluster.live[2].crash())
    cluster.start()
    cluster.run(lambda: set(given[:40]) <= set(cluster.ledgers[1].transactions))
    cluster, given = made(RestartableCluster)
    cluster.at(5, lambda: cluster.live[LEADER].crash())
    cluster.start()
    with pytest.raises(Stalled):
        cluster.run_until_committed(given, 20_000)


def test_nothing_is_committed_until_enough_nodes_have_stored_it():
    cluster, given = made(RestartableCluster)
    cluster.start()
    for me in (1, 2):
        cluster.live[me].crash()
    with pytest.raises(Stalled):
        cluster.run_until_committed(given, 2_000)
    assert not cluster.ledgers[LEADER].blocks
    cluster.restart(1)
    cluster.run(lambda: set(given[:40]) <= set(cluster.ledgers[1].transactions))


def test_one_of_three_may_keep_to_itself_what_it_has():
    cluster, given = made(byzantine={2: Simulated(find_strategy("sequencer", "hoard"))})
    cluster.start()
    cluster.run_until_committed(given[:40])
    cluster.check()


def test_a_batch_of_another_node_or_beyond_the_window_is_a_fault():
    cluster, _ = made()
    node = cluster.nodes[1]
    for sender, message in [(2, Batch(1, [])), (LEADER, Batch(10, [])), (2, Stored(10))]:
        node.handle(sender, message)
    assert [(f.node, f.kind) for f in cluster.network.faults] == [(s, FaultKind.FUTURE_EPOCH) for s in (2, 0, 2)]
    cluster.nodes[LEADER].handle(2, Submit(0, [b"", bytes(1001)]))
    cluster.network.run(lambda: cluster.nodes[LEADER].epoch > 1, 1000)
    assert not {b"", bytes(1001)} & set(cluster.applications[LEADER].transactions)


@pytest.mark.processes
@pytest.mark.parametrize(
    "options",
    [
        "--restart-primary --restart-after 0.5",
        *(
            pytest.param(options, marks=pytest.mark.soak)
            for options in ("--crash 1", "--restart-all --restart-after 0.5")
        ),
    ],
)
def test_processes(options):
    run = (
        f"-m honeybadger.cli.main local --protocol sequencer -n 3 --warmup 0.5 --duration 4 --rate 100 --json {options}"
    )
    result = subprocess.run([sys.executable, *run.split()], capture_output=True, text=True, timeout=120)
    summary = json.loads(result.stdout)
    assert summary["valid"] and result.returncode == 0, summary["reason"] or result.stderr
    assert summary["protocol"] == "sequencer" and summary["faults_tolerated"] == 1
    assert not summary["faults_recorded"]
