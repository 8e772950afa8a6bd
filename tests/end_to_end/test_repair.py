"""A real node whose ledger was damaged while it was stopped: repaired from the others, it goes on."""

from __future__ import annotations

import sqlite3

import pytest
from cluster_harness import one_line_error, random_transactions, run_command, running, same_prefix, wait_until

pytestmark = pytest.mark.processes


def damage(path, *statements):
    connection = sqlite3.connect(path)
    with connection:
        for sql in statements:
            connection.execute(sql)
    connection.close()


def rows(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT height, header, body FROM blocks JOIN bodies USING (height)").fetchall()
    connection.close()
    return found


def test_damaged_blocks_are_fetched_from_the_others(tmp_path):
    with running(tmp_path / "c") as cluster:
        node = cluster.processes[2]
        repair = ("ledger", "repair", str(node.data), "--cluster", str(cluster.manifest_path), "--timeout", "10")
        # Bodies of several parts of 512 KiB.
        cluster.submit(0, random_transactions(300, 15_000))
        cluster.wait_height(cluster.status(0)["height"], 2)
        assert "another process is writing" in one_line_error(run_command(*repair))
        node.terminate()
        assert node.wait(30) == 0
        whole = rows(node.data / "ledger.sqlite")
        largest = sorted(whole, key=lambda row: len(row[2]))[-2:]
        assert min(len(body) for _, _, body in largest) > 512 * 1024
        first, second = sorted(height for height, _, _ in largest)
        damage(
            node.data / "ledger.sqlite",
            f"DELETE FROM bodies WHERE height = {first}",
            f"UPDATE blocks SET header = x'00' WHERE height = {second}",
        )
        node.restart()
        wait_until(lambda: node.exit_status is not None)
        assert node.exit_status != 0
        assert f"block {first}" in node.last_words
        assert "honeybadger ledger repair" in node.last_words

        result = run_command(*repair)
        said = result.stderr.decode()
        assert result.returncode == 0, said
        assert f"block {first}: body is missing; fetched from node " in said
        assert f"block {second}: header cannot be decoded" in said
        assert result.stdout.startswith(b"repaired 2; good: ")
        assert rows(node.data / "ledger.sqlite") == whole

        node.restart()
        cluster.wait_connected()
        sent = random_transactions(20)
        cluster.submit(2, sent, request=3)
        assert cluster.status(2)["height"] > len(whole)
        wait_until(lambda: cluster.status(0)["height"] > len(whole))
        cluster.stop()
        assert same_prefix([cluster.blocks(index) for index in range(4)]) > len(whole)


def test_a_ledger_that_was_moved_away_is_fetched_as_a_whole(tmp_path):
    """What `repair` advises when the file itself is broken."""
    with running(tmp_path / "c") as cluster:
        node = cluster.processes[1]
        cluster.submit(0, random_transactions(200))
        node.terminate()
        assert node.wait(30) == 0
        cluster.submit(0, random_transactions(50), request=2)
        file = node.data / "ledger.sqlite"
        file.write_bytes(b"\0" * 4096 + file.read_bytes()[4096:])
        result = run_command("ledger", "repair", str(node.data), "--cluster", str(cluster.manifest_path))
        assert "move it and its -wal and -shm files away and start the node" in one_line_error(result)
        for part in node.data.glob("ledger.sqlite*"):
            part.rename(tmp_path / part.name)
        node.restart()
        cluster.wait_connected()
        cluster.wait_height(cluster.status(0)["height"], 1)
        cluster.submit(1, random_transactions(20), request=3)
        cluster.stop()
        same_prefix([cluster.blocks(index) for index in range(4)])
