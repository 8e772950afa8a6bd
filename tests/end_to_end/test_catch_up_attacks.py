"""Scenario 33 with real nodes: what a faulty node serves to one that is behind is refused, named, and not needed."""

from __future__ import annotations

import shutil

import pytest
from cluster_harness import Cluster, random_transactions, same_prefix, wait_until

pytestmark = pytest.mark.processes

LIAR, BEHIND = 3, 2


def test_false_blocks_and_certificates_do_not_reach_a_ledger(tmp_path):
    """The liar is asked first for a third of what is missing; its shares of certificates are bad as well."""
    cluster = Cluster(tmp_path / "c")
    try:
        cluster.start(LIAR, extra=("--byzantine", "bad-certificates"))
        cluster.start(0, 1, BEHIND)
        cluster.wait_connected()
        sent = random_transactions(50)
        cluster.submit(0, sent)
        while cluster.height(0) < 16:
            offered = cluster.offer(cluster.height(0) % 2, random_transactions(20))
            offered.wait()
            offered.client.close()
            sent += offered.transactions
        wait_until(lambda: len({cluster.height(index) for index in range(4)}) == 1)
        # With nothing of its own the node needs every block from others, who have forgotten the messages.
        cluster.processes[BEHIND].kill()
        shutil.rmtree(cluster.processes[BEHIND].data)
        cluster.processes[BEHIND].restart()
        top = cluster.height(0)
        cluster.wait_height(top, BEHIND)
        after = cluster.offer(BEHIND, random_transactions(20))
        after.wait()
        cluster.wait_height(max(cluster.height(index) for index in (0, 1, BEHIND)), 0, 1, BEHIND)
        adopted = cluster.events(BEHIND, "adopted")
        accused = cluster.accused(0, 1, BEHIND)
        cluster.stop()
        assert {event["height"] for event in adopted} >= set(range(1, 13))
        assert {node for _, node, _, _ in accused} == {LIAR}
        named = {(by, kind) for by, _, kind, _ in accused}
        assert (BEHIND, "BAD_CERTIFICATE") in named
        assert {kind for _, kind in named} == {"BAD_CERTIFICATE"}
        same_prefix([cluster.blocks(index) for index in (0, 1, BEHIND)])
        assert set(cluster.transactions(BEHIND)) >= {*sent, *after.transactions}
    finally:
        cluster.stop()


def test_a_node_that_serves_blocks_drop_by_drop_is_not_waited_for(tmp_path):
    """The liar is asked first for a third of what is missing, and sends a message every four seconds: its third alone
    would take two minutes. Nobody is accused."""
    cluster = Cluster(tmp_path / "c")
    try:
        cluster.start(LIAR, extra=("--byzantine", "drip-blocks"))
        cluster.start(0, 1, BEHIND)
        cluster.wait_connected()
        request = 0
        while (top := cluster.height(0)) < 48:
            request += 1
            cluster.submit(request % 2, random_transactions(20), request)
        wait_until(lambda: len({cluster.height(index) for index in range(4)}) == 1)
        cluster.processes[BEHIND].kill()
        shutil.rmtree(cluster.processes[BEHIND].data)
        cluster.processes[BEHIND].restart()
        cluster.wait_height(top, BEHIND)
        adopted = cluster.events(BEHIND, "adopted")
        cluster.stop()
        assert {event["height"] for event in adopted} >= set(range(1, top - 3))
        assert cluster.accused() == set()
        same_prefix([cluster.blocks(index) for index in (0, 1, BEHIND)])
    finally:
        cluster.stop()
