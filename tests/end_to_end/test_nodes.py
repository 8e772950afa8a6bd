"""Real nodes: they agree; strangers and mistakes are named; nothing stops them that may not, even if nobody reads what
they say any more. Also what the commands `submit`, `status`, `ledger` and `cluster load` say about them."""

import json
import os
import shutil
import signal
from typing import Any

import msgspec
import pytest
import zmq
from support.nodes.cluster_harness import (
    PATIENCE_S,
    Cluster,
    failing,
    one_line_error,
    quick_command,
    random_transactions,
    run_command,
    running,
    wait_until,
)

from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest, Member
from honeybadger.cluster.processes import NodeProcess
from honeybadger.ledger.certificates import certificate_of, verify_certificate
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.security import Credentials, secure_peer
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

pytestmark = pytest.mark.processes


def test_four_nodes_commit_what_is_submitted_to_each(cluster):
    offers = [cluster.offer(index, random_transactions(150)) for index in range(4)]
    for offer in offers:
        offer.wait()
    sent = {tx for offer in offers for tx in offer.transactions}
    blocks = {block.header.height: block.transactions() for block in cluster.agree(sent)}
    assert sum(map(len, blocks.values())) == len(sent)
    assert all(tx in blocks[height] for offer in offers for tx, height in offer.committed.items())
    # The certificate of a block is of this block.
    first, second, *_ = sorted(blocks)
    store = SQLiteStore(cluster.processes[1].data / "ledger.sqlite", read_only=True)
    wait_until(lambda: certificate_of(store, first) is not None)
    certificate, public = certificate_of(store, first), cluster.manifest.public_keys.certificate
    assert verify_certificate(public, store.header(first).hash, certificate)
    assert not verify_certificate(public, store.header(second).hash, certificate)
    store.close()


def test_one_client_at_one_node_is_enough(cluster):
    """The other nodes have nothing to propose and must join all the same (scenario 38)."""
    height = cluster.submit(2, [b"alone"])
    # Again: it is in the ledger, so the answer is its height, and no second copy.
    assert cluster.submit(2, [b"alone"]) == height
    cluster.submit(1, [b"alone", b"other"])
    assert sorted(tx for block in cluster.agree() for tx in block.transactions()) == [b"alone", b"other"]


def test_an_unknown_key_is_refused(cluster, tmp_path):
    """A node of another cluster, whose manifest points at ours, gets no connection and does no harm."""
    stranger = Cluster(tmp_path / "theirs")
    members = [
        msgspec.structs.replace(theirs, port=ours.port) if i != 3 else theirs
        for i, (ours, theirs) in enumerate(zip(cluster.manifest.members, stranger.manifest.members, strict=True))
    ]
    Manifest(stranger.manifest.consensus, members, stranger.manifest.runtime).save(stranger.manifest_path)
    stranger.start(3)
    try:
        wait_until(lambda: "no connection to node 0" in stranger.said(3))
        sent = cluster.commit(0)
        assert stranger.status(3)["peers_connected"] == 0
    finally:
        stranger.stop()
    cluster.agree(sent)


def test_a_wrong_manifest_is_refused_and_the_difference_named(cluster):
    cluster.processes[3].kill()
    home = cluster.directory / "wrong"
    (home / "node-3").mkdir(parents=True)
    manifest = cluster.manifest_path.read_text().replace("batch_size = 200", "batch_size = 400")
    (home / "cluster.toml").write_text(manifest)
    shutil.copy(cluster.directory / "node-3" / "keys.toml", home / "node-3")
    wrong = NodeProcess(home, 3)
    assert wrong.wait(30) == 1
    assert "batch_size is 400 here and 200 there" in wrong.last_words
    cluster.commit(0)
    wait_until(lambda: "batch_size is 200 here and 400 there" in cluster.said(0))


def test_a_used_port_and_data_in_use_are_named(cluster, tmp_path):
    home = cluster.directory / "node-0"
    node = ("node", "--cluster", str(cluster.manifest_path), "--keys", str(home / "keys.toml"), "--data")
    assert str(cluster.manifest.members[0].port) in one_line_error(run_command(*node, str(tmp_path / "elsewhere")))
    assert str(home / "data") in one_line_error(run_command(*node, str(home / "data")))


def test_submit_status_and_ledger_commands(cluster):
    manifest = ("--cluster", str(cluster.manifest_path))
    result = run_command("submit", *manifest, "--node", "1", "-", stdin=b"one\ntwo\n\nthree\n")
    assert result.returncode == 0, result.stderr
    assert [line.isdigit() for line in result.stdout.split()] == [True] * 3
    assert quick_command("submit", *manifest, "--hex", "-", stdin=b"c0ffee\n").returncode == 0
    assert "line 1" in one_line_error(quick_command("submit", *manifest, "--hex", "-", stdin=b"nonsense\n"))
    too_long = quick_command("submit", *manifest, "-", stdin=b"x" * 70_000)
    assert "longer than 65536" in one_line_error(too_long)
    status = quick_command("status", *manifest)
    assert status.returncode == 0 and status.stdout.count(b"3 of 3") == 4
    chain = cluster.agree()
    assert sorted(tx for block in chain for tx in block.transactions()) == [b"one", b"three", b"two", b"\xc0\xff\xee"]

    data = str(cluster.processes[2].data)
    assert quick_command("ledger", "show", data).stdout.count(b"\n") > len(chain)
    asked = quick_command("ledger", "sql", data, "SELECT text FROM transactions WHERE text IS NOT NULL")
    assert {b"one", b"two", b"three"} <= set(asked.stdout.split(b"\n")), asked.stderr
    verified = quick_command("ledger", "verify", data)
    assert verified.returncode == 0 and b" transactions" in verified.stdout
    exported = [msgspec.json.decode(line) for line in quick_command("ledger", "export", data).stdout.splitlines()]
    assert [bytes.fromhex(tx) for block in exported for tx in block["transactions"]][-4:] == [
        tx for block in chain for tx in block.transactions()
    ]
    proof = quick_command("ledger", "prove", data, b"two".hex()).stdout
    root = next(block for block in chain if b"two" in block.transactions()).header.hash.hex()
    good = quick_command("ledger", "check-proof", "-", b"two".hex(), root, stdin=proof)
    assert good.returncode == 0, good.stderr
    assert quick_command("ledger", "check-proof", "-", b"one".hex(), root, stdin=proof).returncode == 1


def test_load_says_what_became_of_it_and_status_can_be_of_one_node(cluster):
    """With all nodes, with three of four, and with too few."""
    of = ("--cluster", str(cluster.manifest_path))
    load = ("cluster", "load", *of, "--rate", "100", "--duration", "0.5")
    result = quick_command(*load, "--tx-size", "50", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["offered"], told["committed"], told["refused"], told["unanswered"]) == (50, 50, 0, 0)
    assert told["same_ledger"] and told["height"] > 0 and 0 < told["latency_p50_s"] <= told["latency_p99_s"]

    assert b"50 committed" in quick_command(*load).stdout

    cluster.processes[3].kill()
    one = quick_command("status", *of, "--node", "1", "--json")
    assert one.returncode == 0 and [status["node"] for status in json.loads(one.stdout)] == [1]
    assert quick_command("status", *of, "--timeout", "1").returncode == 1
    assert quick_command("status", *of, "--node", "3", "--timeout", "0.5").returncode == 1
    assert "node 4 is not in the manifest" in one_line_error(quick_command("status", *of, "--node", "4"))
    # They get the whole load, and the fourth is named.
    result = quick_command(*load, "--timeout", "5", "--json")
    told = json.loads(result.stdout)
    assert result.returncode == 1, "not all nodes have the same ledger"
    assert (told["offered"], told["committed"], told["missing"], told["same_ledger"]) == (50, 50, [3], True)
    assert b"no answer from node 3" in result.stderr and b"going on without node 3" in result.stderr

    cluster.processes[2].kill()
    error = one_line_error(quick_command(*load, "--timeout", "1"))
    assert "fewer than 3 of 4 nodes were ready within 1 s: no answer from nodes 2 and 3" in error
    assert "exceeds max_tx_bytes" in one_line_error(quick_command(*load, "--tx-size", "1000000"))
    unanswered = quick_command("submit", *of, "--timeout", "0.5", "-", stdin=b"lost\n")
    assert "unanswered" in one_line_error(unanswered)


def test_unheard_nodes_outlive_50_strangers_and_a_node_of_older_keys(tmp_path):
    cluster = Cluster(tmp_path / "new")
    members = cluster.manifest.members
    addresses = [(member.host, member.port, member.client_port) for member in members]
    write_cluster(tmp_path / "older", *make_cluster(4, 1, HoneyBadgerParameters(), addresses))
    older = None
    try:
        cluster.start(0, 1, 2, program=failing("unheard"))
        cluster.wait_connected(0, 1, 2)
        older = NodeProcess(tmp_path / "older", 3, program=failing("unheard"))
        for member in members[:3]:
            let_strangers_knock(member, 50)
        wait_until(lambda: all(failed_to_reach(cluster, index, 3) for index in range(3)))
        assert [process.exit_status for process in cluster.processes.values()] == [None] * 3
        assert older.exit_status is None
        cluster.commit(0)
        cluster.wait_height(cluster.height(0), 0, 1, 2)
    finally:
        if older is not None:
            older.kill()
        statuses = cluster.stop()
    assert statuses == {0: 0, 1: 0, 2: 0}


def test_a_node_goes_on_after_signals_that_it_was_started_to_ignore(tmp_path):
    cluster = Cluster(tmp_path / "c", 1)
    cluster.start(launcher=("env", "--ignore-signal=HUP,INT,TERM"))
    try:
        cluster.wait_connected()
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(cluster.processes[0].pid, number)
        # A node that was told to stop might still answer the first one.
        for _ in range(3):
            cluster.commit(0, 3)
    finally:
        # Whoever started it with --attached can still stop it.
        assert cluster.stop() == {0: 0}


def test_a_node_stops_in_order_when_its_terminal_is_closed(tmp_path):
    with running(tmp_path / "c", 1) as cluster:
        os.kill(cluster.processes[0].pid, signal.SIGHUP)
        assert cluster.processes[0].wait(PATIENCE_S) == 0
    assert cluster.processes[0].last_words == "node 0: stopped"


def let_strangers_knock(member: Member, count: int) -> None:
    """Connect with `count` keys that the node does not know; returns when it has refused them all."""
    context: Any = zmq.Context()
    strangers = []
    for _ in range(count):
        public, secret = zmq.curve_keypair()
        stranger = context.socket(zmq.DEALER)
        secure_peer(stranger, Credentials(1, public.decode(), secret.decode(), [member.public_key], True), 0)
        strangers.append((stranger, stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)))
        stranger.connect(f"tcp://{member.host}:{member.port}")
    try:
        for _, monitor in strangers:
            assert monitor.poll(PATIENCE_S * 1000), "a stranger got no answer: the node does not work any more"
    finally:
        context.destroy(0)


def failed_to_reach(cluster: Cluster, index: int, peer: int) -> bool:
    """Whether a node has reported that a handshake with `peer` failed."""
    return any(event["peer"] == peer and event["failure"] for event in cluster.events(index, "connection"))
