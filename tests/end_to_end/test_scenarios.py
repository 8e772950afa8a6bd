"""Real nodes whose links and processes fail: as long as N-f can talk they go on; who was cut off takes part again.

Numbers of scenarios: docs/scenarios.md. Faults begin and end when the test says so, never at a time.
"""

from __future__ import annotations

import time

import pytest
from cluster_harness import Cluster, random_transactions, running, same_prefix, steered, wait_until

from honeybadger.cluster.manifest import Runtime
from honeybadger.network.fault_schedule import LinkFault

pytestmark = pytest.mark.processes

#: seconds on the steered clock: faults begin here, and are over
BEGIN, END = 1000.0, 1_000_000.0
#: less than what the nodes say to each other about MANY blocks of LARGE transactions, with parameters that allow it
SMALL_CAP = Runtime(held_bytes_per_peer=2_000_000)
LARGE = 4000
SMALL = {"epoch_window": 2, "max_tx_bytes": LARGE, "max_proposal_bytes": 100_000}
#: more blocks than the epoch window has epochs
MANY = 60


def fault(kind: str, **details) -> LinkFault:
    return LinkFault(kind=kind, start_s=BEGIN, end_s=END, **details)


def at_rest(cluster: Cluster, *indices: int) -> list[int]:
    """The heights of the nodes once none has changed for a second: epochs that had all their messages have ended."""
    heights: list[int] = []
    since = time.monotonic()

    def unchanged() -> bool:
        nonlocal heights, since
        now = [cluster.height(index) for index in indices]
        if now != heights:
            heights, since = now, time.monotonic()
        return time.monotonic() - since > 1

    wait_until(unchanged)
    return heights


def stays_at(cluster: Cluster, heights: list[int], *indices: int, seconds: float = 2.0) -> None:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert [cluster.height(index) for index in indices] == heights
        time.sleep(0.1)


def grow(cluster: Cluster, blocks: int, *indices: int, size: int = 100) -> list[bytes]:
    """Let these nodes commit until the first has so many blocks more; what was committed."""
    first, *_ = indices
    wanted = cluster.height(first) + blocks
    sent: list[bytes] = []
    turn = 0
    while cluster.height(first) < wanted:
        submission = cluster.offer(indices[turn % len(indices)], random_transactions(50, size))
        submission.wait()
        submission.client.close()
        sent += submission.transactions
        turn += 1
    return sent


def finish(cluster: Cluster, sent: list[bytes]) -> None:
    """All nodes have the same ledger with everything in it once, nobody is accused, and all stop in good order."""
    top = max(cluster.height(index) for index in cluster.processes)
    cluster.wait_height(top)
    accused = cluster.accused()
    status = cluster.stop()
    assert not accused
    assert set(status.values()) == {0}
    assert same_prefix([cluster.blocks(index) for index in cluster.processes]) >= top
    for index in cluster.processes:
        committed = cluster.transactions(index)
        assert len(set(committed)) == len(committed)
        assert set(committed) >= set(sent)


def test_f_plus_1_nodes_down_stop_the_cluster_until_one_returns(tmp_path):
    """Scenario 25, with `kill -9` in the middle of load."""
    with running(tmp_path / "c") as cluster:
        before = cluster.offer(0, random_transactions(2000))
        wait_until(lambda: before.unanswered() < 2000)
        for index in (2, 3):
            cluster.processes[index].kill()
        stopped = at_rest(cluster, 0, 1)
        during = [cluster.offer(index, random_transactions(50)) for index in (0, 1)]
        stays_at(cluster, stopped, 0, 1)
        assert [submission.unanswered() for submission in during] == [50, 50]
        same_prefix([cluster.blocks(index) for index in range(4)])

        cluster.processes[2].restart()
        top = max(submission.wait() for submission in (before, *during))
        cluster.wait_height(top, 0, 1, 2)
        sent = [tx for submission in (before, *during) for tx in submission.transactions]
        assert set(cluster.transactions(2)) >= set(sent)

        cluster.processes[3].restart()
        cluster.wait_connected()
        last = cluster.offer(3, random_transactions(20))
        last.wait()
        finish(cluster, sent + last.transactions)


def test_nodes_that_start_as_too_few_wait(tmp_path):
    """Scenario 25, from the start."""
    cluster = Cluster(tmp_path / "c")
    try:
        cluster.start(0, 1)
        cluster.wait_connected(0, 1)
        submissions = [cluster.offer(index, random_transactions(50)) for index in (0, 1)]
        stays_at(cluster, [0, 0], 0, 1)
        assert [submission.unanswered() for submission in submissions] == [50, 50]
        cluster.start(3)
        for submission in submissions:
            submission.wait()
        cluster.start(2)
        cluster.wait_connected()
        finish(cluster, [tx for submission in submissions for tx in submission.transactions])
    finally:
        cluster.stop()


@pytest.mark.parametrize(
    "cut",
    [
        fault("partition", groups=((3,),)),
        fault("one-way", senders=(3,)),
        fault("one-way", receivers=(3,)),
    ],
    ids=["partition", "cannot send", "cannot hear"],
)
def test_one_node_cut_off_catches_up_and_takes_part_again(tmp_path, cut):
    """Scenario 29: more blocks are missed than the epoch window has epochs, and more bytes than are kept for a peer."""
    with steered(tmp_path / "c", 4, [cut], SMALL_CAP, **SMALL) as cluster:
        sent = random_transactions(50)
        cluster.submit(3, sent)
        cluster.steer(BEGIN)
        # A node that hears but cannot be heard follows; the others do not need it.
        lost = at_rest(cluster, 3)[0]
        own = cluster.offer(3, random_transactions(20))
        sent += grow(cluster, MANY, 0, 1, 2, size=LARGE)
        hears = cut.senders == (3,)
        assert own.unanswered() == 20
        if not hears:
            assert cluster.height(3) == lost
            assert all(cluster.status(index)["memory"]["dropped_entries"].get(3) for index in range(3))
        cluster.steer(END)
        own.wait()
        cluster.wait_height(cluster.height(0), 3)
        assert hears or cluster.events(3, "adopted")
        after = cluster.offer(3, random_transactions(20))
        after.wait()
        finish(cluster, sent + own.transactions + after.transactions)
        blocks = {block.header.height: block for block in cluster.blocks(0)}
        assert any(3 in blocks[height].header.proposers for height in after.committed.values())


def test_a_partition_without_quorum_stops_all_and_loses_nothing(tmp_path):
    """Scenario 30."""
    with steered(tmp_path / "c", 4, [fault("partition", groups=((0, 1), (2, 3)))]) as cluster:
        before = cluster.offer(0, random_transactions(1000))
        wait_until(lambda: before.unanswered() < 1000)
        cluster.steer(BEGIN)
        stopped = at_rest(cluster, 0, 1, 2, 3)
        during = [cluster.offer(index, random_transactions(50)) for index in range(4)]
        stays_at(cluster, stopped, 0, 1, 2, 3)
        assert [submission.unanswered() for submission in during] == [50] * 4
        cluster.steer(END)
        for submission in (before, *during):
            submission.wait()
        finish(cluster, [tx for submission in (before, *during) for tx in submission.transactions])


def test_a_slow_node_holds_up_nobody_and_costs_its_cap(tmp_path):
    """Scenario 31: what is held for it is dropped beyond the cap, so it must take over blocks."""
    cap = SMALL_CAP.held_bytes_per_peer
    with steered(tmp_path / "c", 4, [fault("slow", receivers=(3,), every_s=0.5)], SMALL_CAP, **SMALL) as cluster:
        sent = random_transactions(20)
        cluster.submit(3, sent)
        cluster.steer(BEGIN)
        before = cluster.height(3)
        sent += grow(cluster, 2 * MANY, 0, 1, 2, size=LARGE)
        assert cluster.height(3) < before + MANY
        assert all(cluster.status(index)["memory"]["dropped_entries"].get(3) for index in range(3))
        cluster.steer(END)
        after = cluster.offer(3, random_transactions(20))
        after.wait()
        cluster.wait_height(cluster.height(0), 3)
        usage = [event for index in range(3) for event in cluster.events(index, "usage")]
        assert max(held for event in usage for held in event["held_bytes"].values()) <= cap
        assert cluster.events(3, "adopted")
        finish(cluster, sent + after.transactions)


@pytest.mark.parametrize(
    "faults",
    [
        [LinkFault(kind="reset", every_s=0.2)],
        [LinkFault(kind="drop", probability=0.02)],
        [LinkFault(kind="reset", every_s=0.5), LinkFault(kind="drop", probability=0.01)],
        [LinkFault(kind="delay", delay_s=0.02, jitter_s=0.02)],
        [LinkFault(kind="delay", delay_s=0.02, jitter_s=0.01), LinkFault(kind="reset", every_s=0.4)],
        [LinkFault(kind="bandwidth", bytes_per_s=1e6)],
    ],
    ids=["resets", "drops", "resets and drops", "delay", "delay and resets", "bandwidth"],
)
def test_bad_links_lose_and_double_nothing(tmp_path, faults):
    """Scenario 32, and links that are late."""
    cluster = Cluster(tmp_path / "c", faults=faults)
    try:
        # With resets there may be no moment at which all are connected, and none is needed.
        cluster.start_steered()
        submissions = [cluster.offer(index, random_transactions(50)) for _ in range(8) for index in range(4)]
        for submission in submissions:
            submission.wait()
        if any(fault.kind in ("reset", "drop") for fault in faults):
            broken = [event for index in range(4) for event in cluster.events(index, "connection") if not event["up"]]
            assert len(broken) > 10, "the test needs broken connections"
        finish(cluster, [tx for submission in submissions for tx in submission.transactions])
    finally:
        cluster.stop()
