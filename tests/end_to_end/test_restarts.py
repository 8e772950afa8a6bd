"""Real nodes that are killed and come back with their data: nothing is lost, nobody is accused, all go on. Killed
around a journal write, a node never contradicts what it may have sent."""

import signal
from contextlib import closing
from functools import partial
from itertools import product

import pytest
from support.nodes.cluster_harness import Cluster, failing, local_summary, random_transactions, wait_until
from support.nodes.failing_node import POINTS

from honeybadger.ledger.sqlite import SQLiteStore

pytestmark = pytest.mark.processes

#: (where around a journal write, of which number) a node dies, one after the other
ONE_DIES = [("in the write", 1), ("before the sync", 2), ("before the send", 5)]
ALL_DIE = [("before the write", 1), ("after the send", 1)]


def kill_all(cluster: Cluster) -> None:
    for process in cluster.processes.values():
        process.kill()


def died(cluster: Cluster, *indices: int) -> bool:
    statuses = [cluster.processes[index].exit_status for index in indices]
    assert set(statuses) <= {None, -signal.SIGKILL}
    return None not in statuses


def certified(cluster: Cluster, height: int) -> bool:
    """Whether node 0 has a certificate of its block at this height, on its disk."""
    store = SQLiteStore(cluster.processes[0].data / "ledger.sqlite", read_only=True)
    with closing(store):
        return store.certificate(height) is not None


def test_every_node_in_turn(cluster):
    """The others go on meanwhile; without the last one, beyond its epoch window."""
    sent = []
    for index in range(4):
        sent += cluster.commit((index + 1) % 4)
        cluster.processes[index].kill()
        sent += cluster.grow(13 if index == 3 else 1, *({0, 1, 2, 3} - {index}))
        cluster.processes[index].restart()
        cluster.wait_connected()
    cluster.go_on(sent)


def some_or_all(some: list[tuple[str, int]], *writes: int) -> pytest.MarkDecorator:
    """Deaths: in the suite these few, between which both tests try every point; in the soak tests, all."""
    every = pytest.param(list(product(POINTS, writes)), marks=pytest.mark.soak, id="all")
    return pytest.mark.parametrize("deaths", [pytest.param(some, id="some"), every])


@some_or_all(ONE_DIES, 1, 2, 5)
def test_one_node_dies_again_and_again(cluster, deaths):
    """Scenario 26."""
    assert cluster.stop(3) == {3: 0}
    sent: list[bytes] = []
    for death in deaths:
        cluster.start(3, program=failing("crash", *death))
        sent += cluster.outlive(3)
        assert died(cluster, 3)
    cluster.go_on(sent)


@some_or_all(ALL_DIE, 1, 4)
def test_all_nodes_die_and_finish_what_they_had_begun(cluster, deaths):
    """Scenarios 26 and 28: first in the middle of load, then each at its own next journal write; those that do not get
    there because the others are gone are killed."""
    begun = cluster.offer(0, random_transactions(1000))
    wait_until(lambda: begun.unanswered() < 1000)
    acknowledged = list(begun.committed)
    offers = [begun]
    for death in deaths:
        kill_all(cluster)
        cluster.start(program=failing("crash", *death))
        offers += [cluster.offer(index, random_transactions(10)) for index in range(4)]
        wait_until(lambda: sum(died(cluster, index) for index in range(4)) >= 2)
    kill_all(cluster)
    cluster.start()
    cluster.wait_connected()
    for offer in offers:
        offer.submit()
        offer.wait()
    cluster.go_on(acknowledged + [tx for offer in offers for tx in offer.transactions])


def test_all_nodes_die_when_few_have_the_newest_block(cluster):
    """One node (of f = 1) cannot certify its newest block alone: all must be able to run that epoch again. Two can, and
    the others take the block over (scenario 28)."""
    sent = []
    top = cluster.height(0)
    for ahead in (1, 2):
        kill_all(cluster)
        cluster.start(*range(ahead))
        cluster.start(*range(ahead, 4), program=failing("stuck_disk", top + 2))
        cluster.wait_connected()
        cluster.wait_height(top)
        for have_it in (4, ahead):
            sent += cluster.commit(0)
            top += 1
            cluster.wait_height(top, *range(have_it))
        assert [cluster.height(index) for index in range(ahead, 4)] == [top - 1] * (4 - ahead)
        wait_until(partial(certified, cluster, top if ahead == 2 else top - 1))
        assert certified(cluster, top) == (ahead == 2)
    kill_all(cluster)
    cluster.start()
    cluster.wait_connected()
    cluster.wait_height(top)
    cluster.go_on(sent)


@pytest.mark.parametrize(
    "options",
    ["--restart-all", *(pytest.param(some, marks=pytest.mark.soak) for some in ("--restart 1", "-n 7 --restart 2"))],
)
def test_restarts_under_load(options):
    quick = ("--warmup", "0.5", "--duration", "2", "--rate", "200", "--restart-after", "0.5")
    summary = local_summary(*quick, *options.split())
    assert summary["valid"] and summary["crashed"] == [] and summary["restarted"]
    assert len(set(summary["final_heights"])) == 1
    assert summary["committed_tx_after_crash"] > 0 and summary["faults_recorded"] == []
