"""Real nodes that are killed and come back with their data: nothing is lost, nobody is accused, all go on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from cluster_harness import random_transactions, run_command, running, same_prefix, wait_until

pytestmark = pytest.mark.processes

QUICK = ("--warmup", "0.5", "--batch-size", "400", "--json", "--restart-after", "1")


def test_a_killed_node_comes_back_and_catches_up(tmp_path):
    with running(tmp_path / "c") as cluster:
        cluster.submit(3, random_transactions(100))
        cluster.processes[3].kill()
        for number in range(20):
            cluster.submit(number % 3, random_transactions(50), request=10 + number)
        height = cluster.status(0)["height"]
        assert height > 12, "the test needs the node to be further behind than the epoch window"
        cluster.processes[3].restart()
        cluster.wait_height(height, 3)
        cluster.submit(3, [b"after the restart"], request=99)
        top = max(cluster.status(index)["height"] for index in range(4))
        cluster.wait_height(top)
        assert all(cluster.status(index)["faults"] == [] for index in range(4))
        assert set(cluster.stop().values()) == {0}
        assert same_prefix([cluster.blocks(index) for index in range(4)]) >= top
        assert b"after the restart" in cluster.transactions(0)


def test_every_node_in_turn(tmp_path):
    with running(tmp_path / "c") as cluster:
        for index in range(4):
            cluster.submit((index + 1) % 4, random_transactions(100), request=1 + index)
            cluster.processes[index].kill()
            cluster.submit((index + 1) % 4, random_transactions(100), request=11 + index)
            cluster.processes[index].restart()
            cluster.wait_connected()
            height = max(cluster.status((index + 1) % 4)["height"], 1)
            cluster.wait_height(height, index)
        cluster.stop()
        chains = [cluster.blocks(index) for index in range(4)]
        same_prefix(chains)
        assert len(set(cluster.transactions(0))) == 800


def test_all_nodes_at_once_finish_what_they_had_begun(tmp_path):
    with running(tmp_path / "c") as cluster:
        sent = random_transactions(100)
        cluster.submit(0, sent)
        before = cluster.status(0)["height"]
        for process in cluster.processes.values():
            process.kill()
        for process in cluster.processes.values():
            process.restart()
        cluster.wait_connected()
        cluster.submit(1, random_transactions(100), request=2)
        cluster.wait_height(before + 1)
        cluster.stop()
        chains = [cluster.blocks(index) for index in range(4)]
        assert same_prefix(chains) > before
        assert set(sent) <= set(cluster.transactions(0))


@pytest.mark.parametrize("ahead", [1, 2])
def test_all_nodes_die_when_few_have_the_newest_block(tmp_path, ahead):
    """One node (of f = 1) cannot certify its newest block alone: all must be able to run that epoch again.

    Two can, and the others take the block over.
    """
    stuck = range(ahead, 4)
    with running(tmp_path / "c", start=range(ahead)) as cluster:
        for index in stuck:
            cluster.start(index, program=(str(Path(__file__).with_name("stuck_disk_node.py")), "3"))
        cluster.wait_connected()
        sent = random_transactions(300)
        for height in (1, 2, 3):
            cluster.submit(0, sent[100 * height - 100 : 100 * height], request=height)
            cluster.wait_height(height, *range(ahead))
        assert [cluster.status(index)["height"] for index in stuck] == [2] * len(stuck)
        # Long enough for a certificate, if there are enough shares, to reach the disk.
        time.sleep(1.5)
        for process in cluster.processes.values():
            process.kill()
        for index in range(4):
            cluster.start(index)
        cluster.wait_connected()
        cluster.wait_height(3)
        cluster.submit(1, [b"and on"], request=9)
        cluster.wait_height(4)
        assert all(cluster.status(index)["faults"] == [] for index in range(4))
        cluster.stop()
        assert same_prefix([cluster.blocks(index) for index in range(4)]) >= 4
        assert cluster.transactions(3) == [*cluster.transactions(0)]
        assert set(sent) <= set(cluster.transactions(3))


def test_a_lost_journal_makes_a_node_silent_but_not_blind(tmp_path):
    with running(tmp_path / "c") as cluster:
        cluster.submit(0, random_transactions(100))
        cluster.processes[2].kill()
        shutil.rmtree(cluster.processes[2].data / "journal")
        cluster.processes[2].restart()
        wait_until(lambda: "silent through epoch" in cluster.processes[2].log.read_text())
        for number in range(5):
            cluster.submit(number % 2, random_transactions(50), request=10 + number)
        cluster.wait_height(cluster.status(0)["height"], 2)
        cluster.stop()
        same_prefix([cluster.blocks(index) for index in range(4)])


def test_certificates_are_stored(tmp_path):
    from honeybadger.ledger.certificates import block_statement
    from honeybadger.ledger.sqlite import SQLiteStore

    with running(tmp_path / "c") as cluster:
        heights = cluster.submit(0, random_transactions(100))
        cluster.wait_height(max(heights.values()))
        cluster.submit(0, [b"one more block"], request=2)
        cluster.stop()
        store = SQLiteStore(cluster.processes[1].data / "ledger.sqlite", read_only=True)
        try:
            certificate = store.certificate(1)
            assert certificate is not None
            public = cluster.manifest.public_keys.certificate
            assert public.verify(block_statement(store.header(1).hash), certificate)
            assert not public.verify(block_statement(store.header(2).hash), certificate)
        finally:
            store.close()


@pytest.mark.parametrize(
    "options",
    [
        ("--restart", "1"),
        pytest.param(("-n", "7", "--restart", "2"), marks=pytest.mark.soak),
        ("--restart-all",),
    ],
)
def test_restarts_under_load(options):
    result = run_command("local", *QUICK, "--duration", "6", *options)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["valid"] and summary["crashed"] == [] and summary["restarted"]
    assert len(set(summary["final_heights"])) == 1
    assert summary["committed_tx_after_crash"] > 0 and summary["faults_recorded"] == []
