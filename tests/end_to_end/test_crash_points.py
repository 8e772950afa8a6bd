"""Scenario 26 with real processes: killed around a journal write, a node never contradicts what it may have sent."""

from __future__ import annotations

import signal
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from cluster_harness import Cluster, random_transactions, running, same_prefix, wait_until
from crashing_node import POINTS

pytestmark = pytest.mark.processes


def start_crashing(cluster: Cluster, index: int, point: str, write: int) -> None:
    """Start a node that dies at its `write`-th journal write."""
    cluster.start(index, program=(str(Path(__file__).with_name("crashing_node.py")), point, str(write)))


def died(cluster: Cluster, *indices: int) -> bool:
    statuses = [cluster.processes[index].exit_status for index in indices]
    assert set(statuses) <= {None, -signal.SIGKILL}
    return None not in statuses


def finish(cluster: Cluster, sent: list[bytes]) -> None:
    """With all nodes up again and connected: all go on, all have everything, and nobody was ever accused."""
    last = random_transactions(20)
    for index in range(4):
        offered = cluster.offer(index, last[5 * index : 5 * index + 5])
        top = offered.wait()
    cluster.wait_height(top)
    accused = cluster.accused()
    assert set(cluster.stop().values()) == {0}
    assert not accused
    same_prefix([cluster.blocks(index) for index in range(4)])
    for index in range(4):
        committed = cluster.transactions(index)
        assert len(set(committed)) == len(committed)
        assert set(committed) >= {*sent, *last}


def some(quick: Collection[str]) -> list[Any]:
    """All points, of which only `quick` are tried by default; between them the two tests below try each."""
    return [point if point in quick else pytest.param(point, marks=pytest.mark.soak) for point in POINTS]


@pytest.mark.parametrize("point", some(("before the sync", "in the write")))
def test_one_node_dies_again_and_again(tmp_path, point):
    with running(tmp_path / "c") as cluster:
        victim = cluster.processes[3]
        victim.terminate()
        assert victim.wait(30) == 0
        sent: list[bytes] = []
        for write in (1, 2, 3, 5, 9):
            start_crashing(cluster, 3, point, write)
            while not died(cluster, 3):
                offered = cluster.offer(write % 3, random_transactions(10))
                offered.wait()
                offered.client.close()
                sent += offered.transactions
        cluster.start(3)
        cluster.wait_connected()
        finish(cluster, sent)


@pytest.mark.parametrize("point", some(("before the write", "after the send", "before the send")))
@pytest.mark.parametrize("write", [1, pytest.param(4, marks=pytest.mark.soak)])
def test_all_nodes_die(tmp_path, point, write):
    """Each at its own next write; those that do not get there because the others are gone are killed."""
    with running(tmp_path / "c") as cluster:
        sent = random_transactions(40)
        cluster.submit(0, sent)
        for process in cluster.processes.values():
            process.kill()
        for index in range(4):
            start_crashing(cluster, index, point, write)
        offers = [cluster.offer(index, random_transactions(10)) for index in range(4)]
        wait_until(lambda: sum(died(cluster, index) for index in range(4)) >= 2)
        for process in cluster.processes.values():
            process.kill()
        cluster.start()
        cluster.wait_connected()
        for offer in offers:
            offer.submit()
            offer.wait()
        finish(cluster, sent + [tx for offer in offers for tx in offer.transactions])
