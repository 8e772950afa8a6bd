"""Real clusters in which node 3 lies, each strategy in turn: the others commit, agree, and accuse nobody else."""

from __future__ import annotations

import json

import msgspec
import pytest
from cluster_harness import Cluster, random_transactions, same_prefix, wait_until

from honeybadger.adversary import EXPECTED_FAULTS, POSSIBLE_FAULTS, STRATEGIES
from honeybadger.cluster.manifest import Manifest

pytestmark = pytest.mark.processes

LIAR = 3
CORRECT = (0, 1, 2)
#: epochs for a strategy to go through its turns
ROUNDS = 12
#: blocks within which the liar must be caught at everything that the table promises
MOST_ROUNDS = 150
#: by so much a correct node may grow under attack; it grows by a few megabytes in any run
GROWTH_BYTES = 40 << 20


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path / "c")
    try:
        yield cluster
    finally:
        cluster.stop()


def start(cluster, name, correct=CORRECT):
    cluster.start(*correct)
    cluster.start(LIAR, extra=("--byzantine", name))
    cluster.wait_connected(*correct, peers=len(correct))


def submit_rounds(cluster, first, rounds, nodes=CORRECT):
    """Small rounds, each a block at least, at `nodes` in turn, as requests from `first`; returns what was submitted."""
    sent = []
    for request in range(first, first + rounds):
        transactions = random_transactions(5)
        cluster.submit(nodes[request % len(nodes)], transactions, request)
        sent += transactions
    return sent


def recorded(cluster, nodes=CORRECT):
    """(accused, kind) of all that running nodes have counted."""
    found = set()
    for index in nodes:
        status = cluster.status(index, timeout=30)
        assert status is not None
        found |= {(node, kind) for node, kind, _ in status["faults"]}
    return found


def events(cluster, index, name):
    lines = cluster.processes[index].events.read_bytes().splitlines(keepends=True)
    parsed = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [event for event in parsed if event["event"] == name]


def growth(cluster, index):
    """Resident memory now, compared with the first second after the start, in bytes."""
    resident = [event["rss_bytes"] for event in events(cluster, index, "usage")]
    return resident[-1] - resident[0]


def check_stopped(cluster, name, sent):
    """All ended well; the correct nodes agree on what was `sent`, once each, and have accused nobody but the liar."""
    assert set(cluster.stop().values()) == {0}
    same_prefix([cluster.blocks(index) for index in CORRECT])
    longest = max((cluster.transactions(index) for index in CORRECT), key=len)
    assert sorted(longest) == sorted(sent)
    faults = [fault for index in CORRECT for fault in events(cluster, index, "fault")]
    assert {fault["node"] for fault in faults} <= {LIAR}
    assert {fault["kind"] for fault in faults} <= {kind.name for kind in POSSIBLE_FAULTS[name]}
    for index in CORRECT:
        assert growth(cluster, index) < GROWTH_BYTES


@pytest.mark.parametrize("name", STRATEGIES)
def test_correct_nodes_go_on_and_accuse_the_liar(cluster, name):
    """The liar is caught at all that the table promises; bad shares, for instance, are noticed only if they come in
    time to be tried, so there are more rounds if need be."""
    start(cluster, name)
    sent = submit_rounds(cluster, 1, ROUNDS)
    wanted = {(LIAR, kind.name) for kind in EXPECTED_FAULTS[name]}
    rounds = ROUNDS
    while not recorded(cluster) >= wanted:
        assert rounds < MOST_ROUNDS, f"not recorded: {wanted - recorded(cluster)}"
        sent += submit_rounds(cluster, rounds + 1, 3)
        rounds += 3
    assert {node for node, _ in recorded(cluster)} <= {LIAR}
    check_stopped(cluster, name, sent)
    said = events(cluster, LIAR, "usage")[-1]["messages_sent"]
    if name == "silent":
        assert said == {}, "neither votes nor shares of certificates leave a silent node"
    else:
        assert said["BlockShare"] > 0


def test_catching_up_beside_a_node_that_serves_false_blocks(cluster):
    """Two correct nodes and the liar make blocks; the third correct node is late. It asks the liar, which is alone
    then, and the others when they are back."""
    manifest = cluster.manifest
    runtime = msgspec.structs.replace(manifest.runtime, held_bytes_per_peer=2_000_000)
    # Such a small cap takes small proposals.
    consensus = msgspec.structs.replace(
        manifest.consensus, epoch_window=2, max_tx_bytes=5_000, max_proposal_bytes=101_000
    )
    cluster.manifest = Manifest(consensus, manifest.members, runtime)
    cluster.manifest.save(cluster.manifest_path)
    start(cluster, "bad-certificates", correct=(0, 1))
    # More than the others keep for the late node, so the blocks themselves must be fetched.
    sent = []
    for request in range(1, 3 * ROUNDS):
        transactions = random_transactions(20, 5_000)
        cluster.submit(request % 2, transactions, request)
        sent += transactions
    height = cluster.status(0, timeout=30)["height"]
    others = [cluster.processes[index] for index in (0, 1)]
    for process in others:
        process.terminate()
    assert [process.wait(30) for process in others] == [0, 0]
    cluster.start(2)
    cluster.wait_connected(2, peers=1)

    def refused() -> bool:
        details = [fault["detail"] for fault in events(cluster, 2, "fault")]
        return any(detail.startswith(("header ", "body ", "certificate ")) for detail in details)

    wait_until(refused)
    assert not events(cluster, 2, "adopted")
    for process in others:
        process.restart()
    cluster.wait_height(height, 2)
    sent += submit_rounds(cluster, 100, 3)
    check_stopped(cluster, "bad-certificates", sent)
    assert len(events(cluster, 2, "adopted")) > 4


@pytest.mark.soak
@pytest.mark.parametrize("name", ["flood", "replay"])
def test_memory_under_a_long_attack(cluster, name):
    """Half a minute under load and half a minute without: nothing piles up."""
    start(cluster, name)
    sent = []
    while len(events(cluster, 0, "usage")) < 30:
        sent += submit_rounds(cluster, len(sent) + 1, 1)
    wait_until(lambda: len(events(cluster, 0, "usage")) >= 60)
    check_stopped(cluster, name, sent)
