"""Real nodes whose disk is full or lies: they stop with one line, or say less, or are repaired from the others, who go
on."""

import shutil
import sqlite3
from contextlib import closing

import msgspec
import pytest
from support.nodes.cluster_harness import (
    PATIENCE_S,
    Cluster,
    failing,
    one_line_error,
    quick_command,
    running,
    wait_until,
)

from honeybadger.cluster.processes import NodeProcess
from honeybadger.ledger import Block, SQLiteStore

pytestmark = pytest.mark.processes


def one_line(process: NodeProcess, *words: str) -> None:
    """The node has ended by itself, and its last words are one line for people."""
    wait_until(lambda: process.exit_status is not None)
    assert process.exit_status not in (0, None) and process.exit_status > 0
    assert process.traceback == ""
    assert process.last_words.lower().startswith("error:")
    for word in words:
        assert word in process.last_words


def how_it_is(cluster: Cluster, index: int) -> tuple[str, dict]:
    """What the node says of itself: in the table of `status`, and in its JSON."""
    asked = ("status", "--cluster", str(cluster.manifest_path), "--node", str(index), "--timeout", "30")
    table = " ".join(quick_command(*asked).stdout.decode().split())
    return table, msgspec.json.decode(quick_command(*asked, "--json").stdout)[0]


@pytest.mark.parametrize("write", [2, *(pytest.param(k, marks=pytest.mark.soak) for k in (5, 12))])
def test_a_full_disk_stops_the_node_before_it_says_what_it_cannot_remember(cluster, tmp_path, write):
    """Scenario 49: the journal cannot grow, then neither it nor the events, then one of all files."""
    assert cluster.stop(3) == {3: 0}
    sent = []
    for what in ("journal", "events"):
        mark = tmp_path / what
        cluster.start(3, program=failing("full_disk", what, write, mark))
        sent += cluster.outlive(3)
        one_line(cluster.processes[3], "the vote journal cannot be written", "No space left on device")
        assert not mark.exists()
    # Whichever of ledger, journal and events meets the limit first.
    longest = max(path.stat().st_size for path in cluster.processes[3].data.parent.rglob("*") if path.is_file())
    cluster.start(3, program=failing("small_files", longest + (1 << 19)))
    sent += cluster.outlive(3, size=4000)
    one_line(cluster.processes[3])
    cluster.go_on(sent)


def test_a_damaged_or_lost_journal_costs_a_time_of_silence(tmp_path):
    """No block has a proposal of the node until it has passed all epochs in which it may have voted, but it keeps up
    (scenario 27)."""
    with running(tmp_path / "c", start=(0, 1, 2)) as cluster:
        cluster.start(3, program=failing("reserve", 16))
        cluster.wait_connected()
        node = cluster.processes[3]
        sent = cluster.commit(3) + cluster.commit(0)
        node.kill()
        segment = max((node.data / "journal").glob("votes-*.log"), key=lambda path: path.stat().st_mtime_ns)
        content = bytearray(segment.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
        segment.write_bytes(content)
        node.restart()
        wait_until(lambda: "silent through epoch" in cluster.said(3))
        bound = int(cluster.said(3).split("silent through epoch")[1].split()[0])
        cluster.wait_connected()
        table, told = how_it_is(cluster, 3)
        assert f"node 3 is silent through epoch {bound}" in table
        assert told["silent_through"] == bound and f"silent through epoch {bound}" in told["unwell"]
        refused = quick_command("submit", "--cluster", str(cluster.manifest_path), "--node", "3", "-", stdin=b"x")
        assert refused.stdout.split() == [b"refused:", b"silent"] and refused.returncode != 0
        while cluster.status(0, PATIENCE_S)["epoch"] <= bound:
            sent += cluster.commit(len(sent) % 3, count=1)
        wait_until(lambda: (cluster.status(3) or told)["silent_through"] == 0)
        assert "silent" not in how_it_is(cluster, 3)[0]
        headers = [block.header for block in cluster.go_on(sent)]
        silent = [header for header in headers if headers[0].epoch + 4 < header.epoch <= bound]
        assert len(silent) > 5
        assert not any(3 in header.proposers for header in silent)
        assert any(3 in header.proposers for header in headers if header.epoch > bound)

        node.kill()
        shutil.rmtree(node.data / "journal")
        cluster.mark()
        node.restart()
        wait_until(lambda: "silent through epoch" in cluster.said(3))
        cluster.finish(cluster.grow(5, 0, 1))


def test_a_broken_ledger_file_is_said_in_one_line(cluster, tmp_path):
    """By the node and by `repair`, which advises what is done here: the whole ledger then comes from the others."""
    sent = cluster.commit(0)
    node = cluster.processes[1]
    assert cluster.stop(1) == {1: 0}
    file = node.data / "ledger.sqlite"
    content = file.read_bytes()
    for broken in (
        content[: len(content) // 2],
        b"\x5a" * len(content),
        b"\x5a" * 4096 + content[4096:],
    ):
        file.write_bytes(broken)
        node.restart()
        one_line(node, "honeybadger ledger repair")
        assert file.read_bytes() == broken
    result = quick_command("ledger", "repair", str(node.data), "--cluster", str(cluster.manifest_path))
    assert "move it and its -wal and -shm files away and start the node" in one_line_error(result)
    assert file.read_bytes() == broken
    sent += cluster.commit(0)
    for part in node.data.glob("ledger.sqlite*"):
        part.rename(tmp_path / part.name)
    cluster.go_on(sent)


def blocks_of(node: NodeProcess) -> list[Block]:
    with closing(SQLiteStore(node.data / "ledger.sqlite", read_only=True)) as store:
        return list(store.iter_blocks())


def in_ledger(node: NodeProcess, *statements: str) -> list:
    """What the last of these SQL statements finds in the node's ledger."""
    connection = sqlite3.connect(node.data / "ledger.sqlite")
    with connection:
        found = [connection.execute(statement).fetchall() for statement in statements]
    connection.close()
    return found[-1]


def test_damaged_blocks_are_fetched_from_the_others(cluster):
    """Scenario 49."""
    node = cluster.processes[2]
    repair = ("ledger", "repair", str(node.data), "--cluster", str(cluster.manifest_path), "--timeout", "10")
    # Bodies of several parts of 512 KiB.
    sent = cluster.commit(0, 150, 15_000)
    cluster.wait_height(cluster.height(0), 2)
    assert "another process is writing" in one_line_error(quick_command(*repair))
    assert cluster.stop(2) == {2: 0}
    whole = blocks_of(node)
    largest = sorted(whole, key=lambda block: len(block.body))[-2:]
    assert min(len(block.body) for block in largest) > 512 * 1024
    first, second = sorted(block.header.height for block in largest)
    in_ledger(
        node,
        f"UPDATE blocks SET segment = 9 WHERE height = {first}",
        "INSERT INTO segments VALUES (9, 1, 1)",
        f"UPDATE blocks SET header = x'00' WHERE height = {second}",
    )
    node.restart()
    one_line(node, f"block {first}", "honeybadger ledger repair")

    result = quick_command(*repair)
    said = result.stderr.decode()
    assert result.returncode == 0, said
    assert f"block {first}: body is missing; fetched from node " in said
    assert f"block {second}: header cannot be decoded" in said
    assert result.stdout.startswith(b"repaired 2; good: ")
    assert blocks_of(node) == whole
    cluster.go_on(sent)
