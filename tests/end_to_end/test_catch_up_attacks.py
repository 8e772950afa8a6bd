"""Scenario 33 with real nodes: what a faulty node serves to one that is behind is refused, named, and not needed."""

import pytest
from support.nodes.cluster_harness import Cluster, random_transactions, running, stays_at, wait_until

from honeybadger.cluster.manifest import Runtime

pytestmark = pytest.mark.processes

BEHIND, LIAR = 2, 3
CORRECT = (0, 1, BEHIND)
#: such a small cap, beyond which nothing is kept for a node that is away, takes small proposals
CAP = Runtime(held_bytes_per_peer=2_000_000)
SMALL = {"epoch_window": 2, "max_tx_bytes": 5_000, "max_proposal_bytes": 101_000}


def adopted(cluster: Cluster) -> set[int]:
    return {event["height"] for event in cluster.events(BEHIND, "adopted")}


def test_too_few_wait_and_false_blocks_and_certificates_do_not_reach_a_ledger(tmp_path):
    """Two correct nodes wait until the liar joins them (scenario 25), and make blocks with it; the third correct node
    is late. It asks the liar, which is alone then, and the others when they are back."""
    with running(tmp_path / "c", start=(0, 1), runtime=CAP, **SMALL) as cluster:
        offers = [cluster.offer(index, random_transactions(50)) for index in (0, 1)]
        stays_at(cluster, [0, 0], 0, 1)
        assert [offer.unanswered() for offer in offers] == [50, 50]
        cluster.start(LIAR, extra=("--byzantine", "bad-certificates"))
        for offer in offers:
            offer.wait()
        # More than the others keep for the late node, so the blocks themselves must be fetched.
        sent = [tx for offer in offers for tx in offer.transactions] + cluster.grow(20, 0, 1, size=5_000)
        height = cluster.height(0)
        assert cluster.stop(0, 1) == {0: 0, 1: 0}
        cluster.start(BEHIND)
        false = ("header ", "body ", "certificate ")
        wait_until(lambda: any(fault["detail"].startswith(false) for fault in cluster.events(BEHIND, "fault")))
        assert not adopted(cluster)
        for index in (0, 1):
            cluster.processes[index].restart()
        cluster.wait_height(height, BEHIND)
        assert adopted(cluster) >= set(range(1, height - 3))
        cluster.finish(sent + cluster.commit(BEHIND), *CORRECT, liars=[LIAR])
        named = {(by, kind) for by, _, kind, _ in cluster.accused(*CORRECT)}
        assert (BEHIND, "BAD_CERTIFICATE") in named
        assert {kind for _, kind in named} == {"BAD_CERTIFICATE"}


@pytest.mark.soak
def test_a_node_that_serves_blocks_drop_by_drop_is_not_waited_for(tmp_path):
    """The liar is asked first for a third of what is missing, and sends a message every four seconds: its third alone
    would take two minutes. Nobody is accused."""
    with running(tmp_path / "c", start=(0, 1), runtime=CAP, **SMALL) as cluster:
        cluster.start(LIAR, extra=("--byzantine", "drip-blocks"))
        sent = cluster.grow(48, 0, 1, size=5_000)
        height = cluster.height(0)
        cluster.start(BEHIND)
        cluster.wait_height(height, BEHIND)
        # Of the later ones, some are made from what the others still kept for it.
        assert adopted(cluster) >= set(range(1, height // 2))
        cluster.finish(sent, *CORRECT)
