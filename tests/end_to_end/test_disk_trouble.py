"""Real nodes whose disk is full or lies: they stop with one line or say less, and the others go on."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest
from cluster_harness import Cluster, random_transactions, run_command, running, same_prefix, wait_until

from honeybadger.cluster.processes import NodeProcess

pytestmark = pytest.mark.processes


def stop(process: NodeProcess) -> None:
    process.terminate()
    assert process.wait(30) == 0


def one_line(process: NodeProcess, *words: str) -> None:
    """The node has ended by itself, and its last words are one line for people."""
    wait_until(lambda: process.exit_status is not None)
    assert process.exit_status not in (0, None) and process.exit_status > 0
    assert process.traceback == ""
    assert process.last_words.lower().startswith("error:")
    for word in words:
        assert word in process.last_words


def commit(cluster: Cluster, index: int, count: int = 20, size: int = 100) -> list[bytes]:
    offered = cluster.offer(index, random_transactions(count, size))
    offered.wait()
    offered.client.close()
    return offered.transactions


def finish(cluster: Cluster, sent: list[bytes]) -> None:
    cluster.wait_connected()
    sent = sent + [tx for index in range(4) for tx in commit(cluster, index)]
    cluster.wait_height(max(cluster.height(index) for index in range(4)))
    accused = cluster.accused()
    assert set(cluster.stop().values()) == {0}
    assert not accused
    same_prefix([cluster.blocks(index) for index in range(4)])
    for index in range(4):
        committed = cluster.transactions(index)
        assert len(set(committed)) == len(committed) and set(committed) >= set(sent)


def how_it_is(cluster: Cluster, index: int) -> tuple[tuple[int, str], str, dict]:
    """What the node says of itself: over HTTP, in the table of `status`, and in its JSON."""
    connection = HTTPConnection("127.0.0.1", cluster.manifest.members[index].http_port, timeout=60)
    connection.request("GET", "/health")
    reply = connection.getresponse()
    health = reply.status, reply.read().decode()
    connection.close()
    asked = ("status", "--cluster", str(cluster.manifest_path), "--node", str(index), "--timeout", "30")
    table = " ".join(run_command(*asked).stdout.decode().split())
    return health, table, msgspec.json.decode(run_command(*asked, "--json").stdout)[0]


@pytest.mark.parametrize("what", ["journal", "events"])
@pytest.mark.parametrize("write", [2, *(pytest.param(k, marks=pytest.mark.soak) for k in (5, 12))])
def test_a_full_disk_stops_the_node_before_it_says_what_it_cannot_remember(tmp_path, what, write):
    with running(tmp_path / "c") as cluster:
        stop(cluster.processes[3])
        mark = tmp_path / "mark"
        script = str(Path(__file__).with_name("full_disk_node.py"))
        cluster.start(3, program=(script, what, str(write), str(mark)))
        sent: list[bytes] = []
        while cluster.processes[3].exit_status is None:
            sent += commit(cluster, len(sent) % 3)
        one_line(cluster.processes[3], "the vote journal cannot be written", "No space left on device")
        assert not mark.exists()
        sent += commit(cluster, 0)
        cluster.start(3)
        finish(cluster, sent)


def test_no_file_can_grow(tmp_path):
    """Whichever of ledger, journal and events meets the limit first."""
    with running(tmp_path / "c") as cluster:
        stop(cluster.processes[3])
        script = str(Path(__file__).with_name("full_disk_node.py"))
        cluster.start(3, program=(script, "all", str(1 << 20), str(tmp_path / "mark")))
        sent: list[bytes] = []
        while cluster.processes[3].exit_status is None:
            sent += commit(cluster, len(sent) % 3, size=4000)
        one_line(cluster.processes[3])
        cluster.start(3)
        finish(cluster, sent)


def test_a_damaged_journal_costs_a_time_of_silence(tmp_path):
    """No block has a proposal of the node until it has passed all epochs in which it may have voted."""
    with running(tmp_path / "c") as cluster:
        node = cluster.processes[3]
        sent = commit(cluster, 3) + commit(cluster, 0)
        node.kill()
        segment = max((node.data / "journal").glob("votes-*.log"), key=lambda path: path.stat().st_mtime_ns)
        content = bytearray(segment.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
        segment.write_bytes(content)
        said = len(node.log.read_text())
        node.restart()
        wait_until(lambda: "silent through epoch" in node.log.read_text()[said:])
        bound = int(node.log.read_text()[said:].split("silent through epoch")[1].split()[0])
        cluster.wait_connected()
        health, table, told = how_it_is(cluster, 3)
        assert health[0] == 503 and f"silent through epoch {bound}" in health[1]
        assert f"node 3 is silent through epoch {bound}" in table
        assert told["silent_through"] == bound and told["unwell"] in health[1]
        refused = run_command("submit", "--cluster", str(cluster.manifest_path), "--node", "3", "-", stdin=b"x")
        assert refused.stdout.split() == [b"refused:", b"silent"] and refused.returncode != 0
        while (cluster.status(0) or {"epoch": 0})["epoch"] <= bound:
            sent += commit(cluster, len(sent) % 3, count=1)
        wait_until(lambda: cluster.status(3)["silent_through"] == 0)
        assert "silent" not in str(how_it_is(cluster, 3)[:2])
        sent += commit(cluster, 3)
        finish(cluster, sent)
        blocks = cluster.blocks(0)
        before = blocks[0].header.epoch
        silent = [block.header for block in blocks if before + 4 < block.header.epoch <= bound]
        assert len(silent) > 20
        assert not any(3 in header.proposers for header in silent)
        assert any(3 in block.header.proposers for block in blocks if block.header.epoch > bound)


@pytest.mark.parametrize("harm", ["half", "garbage in front", "only garbage"])
def test_a_broken_ledger_file_is_said_in_one_line(tmp_path, harm):
    with running(tmp_path / "c") as cluster:
        sent = commit(cluster, 0, count=200, size=4000)
        cluster.wait_height(cluster.height(0), 3)
        node = cluster.processes[3]
        stop(node)
        file = node.data / "ledger.sqlite"
        content = file.read_bytes()
        broken = {
            "half": content[: len(content) // 2],
            "garbage in front": b"\x5a" * 4096 + content[4096:],
            "only garbage": b"\x5a" * len(content),
        }[harm]
        file.write_bytes(broken)
        node.restart()
        one_line(node, "honeybadger ledger repair")
        assert file.read_bytes() == broken
        sent += commit(cluster, 1)
        # What `repair` advises when the file itself is broken.
        for part in node.data.glob("ledger.sqlite*"):
            part.rename(tmp_path / part.name)
        node.restart()
        cluster.wait_connected()
        cluster.wait_height(cluster.height(0), 3)
        sent += commit(cluster, 1)
        cluster.stop()
        same_prefix([cluster.blocks(index) for index in range(4)])
        assert set(sent) <= set(cluster.transactions(0))
