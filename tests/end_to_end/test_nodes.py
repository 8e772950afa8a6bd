"""Four real nodes: they agree, survive a crash, wait for a late one, and lose nothing when connections are cut."""

from __future__ import annotations

import time

import msgspec
import pytest
from cluster_harness import (
    Cluster,
    CuttingProxy,
    one_line_error,
    random_transactions,
    run_command,
    running,
    same_prefix,
    wait_until,
)

from honeybadger.cluster.manifest import Manifest

pytestmark = pytest.mark.processes


def test_four_nodes_commit_what_is_submitted_to_each(tmp_path):
    with running(tmp_path / "c") as cluster:
        sent = {index: random_transactions(150) for index in range(4)}
        heights = {index: cluster.submit(index, sent[index]) for index in range(4)}
        top = max(max(h.values()) for h in heights.values())
        cluster.wait_height(top)
        assert set(cluster.stop().values()) == {0}
        chains = [cluster.blocks(index) for index in range(4)]
        assert same_prefix(chains) >= top
        for index in range(4):
            committed = cluster.transactions(index)
            assert len(committed) == len(set(committed))
            assert set(committed) == {tx for txs in sent.values() for tx in txs}
        blocks = {block.header.height: block.transactions() for block in chains[0]}
        for index in range(4):
            assert all(sent[index][position] in blocks[h] for position, h in heights[index].items())


def test_one_client_at_one_node_is_enough(tmp_path):
    """The other nodes have nothing to propose and must join all the same (scenario 38)."""
    with running(tmp_path / "c") as cluster:
        assert set(cluster.submit(2, [b"alone"])) == {0}
        # Again: it is in the ledger, so the answer is its height, and no second copy.
        assert cluster.submit(2, [b"alone"], request=2) == {0: 1}
        cluster.submit(1, [b"alone", b"other"], request=3)
        cluster.stop()
        assert sorted(cluster.transactions(0)) == [b"alone", b"other"]


def test_a_killed_node_does_not_stop_the_others(tmp_path):
    with running(tmp_path / "c") as cluster:
        cluster.submit(0, random_transactions(100))
        cluster.processes[3].kill()
        before = cluster.status(0)["height"]
        for number in range(5):
            cluster.submit(number % 3, random_transactions(50), request=10 + number)
        after = max(cluster.status(i)["height"] for i in range(3))
        assert after > before
        cluster.wait_height(after, 0, 1, 2)
        cluster.stop()
        same_prefix([cluster.blocks(index) for index in range(4)])


def test_more_killed_nodes_than_tolerated_stop_the_cluster_without_a_fork(tmp_path):
    with running(tmp_path / "c") as cluster:
        cluster.submit(0, random_transactions(100))
        for index in (2, 3):
            cluster.processes[index].kill()
        # An epoch that had all its messages may still end; then nothing moves.
        time.sleep(1)
        before = cluster.status(0)["height"]
        with pytest.raises(AssertionError, match="unanswered"):
            cluster.client(0)
            _submit_briefly(cluster)
        assert cluster.status(0)["height"] == before
        cluster.stop()
        same_prefix([cluster.blocks(index) for index in range(4)])


def _submit_briefly(cluster: Cluster) -> None:
    import cluster_harness

    patience, cluster_harness.PATIENCE_S = cluster_harness.PATIENCE_S, 3.0
    try:
        cluster.submit(0, random_transactions(10), request=99)
    finally:
        cluster_harness.PATIENCE_S = patience


def test_a_late_node_gets_everything(tmp_path):
    """Three nodes run for 5 s; the fourth starts then and ends with the same ledger."""
    with running(tmp_path / "c", start=(0, 1, 2)) as cluster:
        start = time.monotonic()
        number = 0
        while time.monotonic() < start + 5:
            number += 1
            cluster.submit(number % 3, random_transactions(80), request=number)
        height = cluster.status(0)["height"]
        assert height > 8, "the test needs the late node to be further behind than the epoch window"
        cluster.start(3)
        cluster.wait_height(height, 3)
        heights = cluster.submit(3, [b"from the late one"])
        cluster.wait_height(heights[0])
        cluster.stop()
        assert same_prefix([cluster.blocks(index) for index in range(4)]) >= heights[0]


def test_cut_connections_lose_nothing(tmp_path):
    """Everything that nodes 0 and 1 exchange goes through proxies that keep cutting the connection."""
    cluster = Cluster(tmp_path / "c")
    proxies = {index: CuttingProxy(cluster.manifest.members[index].port) for index in (0, 1)}
    try:
        for index in (0, 1):
            other = 1 - index
            members = list(cluster.manifest.members)
            members[other] = msgspec.structs.replace(members[other], port=proxies[other].port)
            detour = Manifest(cluster.manifest.consensus, members, cluster.manifest.runtime)
            home = cluster.directory / f"view-{index}"
            home.mkdir()
            detour.save(home / "cluster.toml")
            (home / f"node-{index}").symlink_to(cluster.directory / f"node-{index}")
            _start_with_view(cluster, index, home)
        cluster.start(2, 3)
        cluster.wait_connected()
        sent = []
        cuts = 0
        for number in range(1, 21):
            transactions = random_transactions(200, size=400)
            sent += transactions
            cluster.submit(number % 4, transactions, request=number)
            cuts += proxies[number % 2].cut()
        assert cuts > 5
        top = max(cluster.status(i)["height"] for i in range(4))
        cluster.wait_height(top)
        faults = [cluster.status(i)["faults"] for i in range(4)]
        cluster.stop()
        assert faults == [[]] * 4
        assert same_prefix([cluster.blocks(index) for index in range(4)]) >= top
        assert sorted(cluster.transactions(0)) == sorted(sent)
    finally:
        cluster.stop()
        for proxy in proxies.values():
            proxy.close()


def _start_with_view(cluster: Cluster, index: int, home) -> None:
    from honeybadger.cluster.processes import NodeProcess

    cluster.processes[index] = NodeProcess(home, index)


def test_an_unknown_key_is_refused(tmp_path):
    """A node of another cluster, whose manifest points at ours, gets no connection and does no harm."""
    with running(tmp_path / "ours") as cluster:
        stranger = Cluster(tmp_path / "theirs")
        members = [
            msgspec.structs.replace(theirs, port=ours.port) if i != 3 else theirs
            for i, (ours, theirs) in enumerate(zip(cluster.manifest.members, stranger.manifest.members, strict=True))
        ]
        Manifest(stranger.manifest.consensus, members, stranger.manifest.runtime).save(stranger.manifest_path)
        stranger.start(3)
        try:
            log = stranger.processes[3].log
            wait_until(lambda: "no connection to node 0" in log.read_text())
            cluster.submit(0, random_transactions(50))
            assert stranger.status(3)["peers_connected"] == 0
        finally:
            stranger.stop()
        assert all(cluster.status(i)["faults"] == [] for i in range(4))


def test_a_wrong_manifest_is_refused_and_the_difference_named(tmp_path):
    cluster = Cluster(tmp_path / "c")
    try:
        text = cluster.manifest_path.read_text()
        home = tmp_path / "other"
        home.mkdir()
        (home / "cluster.toml").write_text(text.replace("batch_size = 200", "batch_size = 400"))
        (home / "node-3").symlink_to(cluster.directory / "node-3")
        cluster.start(0, 1, 2)
        cluster.wait_connected(0, 1, 2)
        _start_with_view(cluster, 3, home)
        assert cluster.processes[3].wait(30) == 1
        assert "batch_size is 400 here and 200 there" in cluster.processes[3].last_words
        cluster.submit(0, random_transactions(50))
        wait_until(lambda: "batch_size is 200 here and 400 there" in cluster.processes[0].log.read_text())
    finally:
        cluster.stop()


def test_a_used_port_is_named(tmp_path):
    with running(tmp_path / "c") as cluster:
        port = cluster.manifest.members[0].port
        result = run_command(
            *("node", "--cluster", str(cluster.manifest_path), "--keys", str(tmp_path / "c" / "node-0" / "keys.toml")),
            *("--data", str(tmp_path / "elsewhere")),
        )
        assert str(port) in one_line_error(result)


def test_a_second_process_on_the_same_data_is_refused(tmp_path):
    with running(tmp_path / "c") as cluster:
        result = run_command(
            *("node", "--cluster", str(cluster.manifest_path), "--keys", str(tmp_path / "c" / "node-0" / "keys.toml")),
            *("--data", str(cluster.processes[0].data)),
        )
        one_line_error(result)


def test_submit_status_and_ledger_commands(tmp_path):
    with running(tmp_path / "c") as cluster:
        manifest = ("--cluster", str(cluster.manifest_path))
        result = run_command("submit", *manifest, "--node", "1", "-", stdin=b"one\ntwo\n\nthree\n")
        assert result.returncode == 0, result.stderr
        assert [line.isdigit() for line in result.stdout.split()] == [True] * 3
        assert run_command("submit", *manifest, "--hex", "-", stdin=b"c0ffee\n").returncode == 0
        assert "line 1" in one_line_error(run_command("submit", *manifest, "--hex", "-", stdin=b"nonsense\n"))
        too_long = run_command("submit", *manifest, "-", stdin=b"x" * 70_000)
        assert "longer than 65536" in one_line_error(too_long)
        status = run_command("status", *manifest)
        assert status.returncode == 0 and status.stdout.count(b"3 of 3") == 4
        top = max(cluster.status(i)["height"] for i in range(4))
        cluster.wait_height(top)
        data = str(cluster.processes[2].data)
        assert run_command("ledger", "show", data).stdout.count(b"\n") > top
        verified = run_command("ledger", "verify", data)
        assert verified.returncode == 0 and b"4 transactions" in verified.stdout
        lines = run_command("ledger", "export", data).stdout.splitlines()
        exported = [bytes.fromhex(tx) for line in lines for tx in msgspec.json.decode(line)["transactions"]]
        assert sorted(exported) == sorted([b"one", b"two", b"three", b"\xc0\xff\xee"])
        proof = run_command("ledger", "prove", data, b"two".hex()).stdout
        block = next(b for b in cluster.blocks(0) if b"two" in b.transactions())
        good = run_command("ledger", "check-proof", "-", b"two".hex(), block.header.hash.hex(), stdin=proof)
        assert good.returncode == 0, good.stderr
        bad = run_command("ledger", "check-proof", "-", b"one".hex(), block.header.hash.hex(), stdin=proof)
        assert bad.returncode == 1
        cluster.processes[3].kill()
        assert run_command("status", *manifest, "--timeout", "1").returncode == 1
    assert run_command("status", *manifest, "--timeout", "0.5").returncode == 1
    unanswered = run_command("submit", *manifest, "--timeout", "0.5", "-", stdin=b"lost\n")
    assert "unanswered" in one_line_error(unanswered)
