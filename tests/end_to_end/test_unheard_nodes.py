"""Nobody reads what the nodes say any more, or their terminal was closed: only what was asked to stop them may."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import zmq
from cluster_harness import PATIENCE_S, Cluster, random_transactions, wait_until

from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Member
from honeybadger.cluster.processes import NodeProcess
from honeybadger.network.security import Credentials, secure_peer
from honeybadger.protocols.parameters import Parameters

pytestmark = pytest.mark.processes

UNHEARD = (str(Path(__file__).with_name("unheard_node.py")),)


def test_unheard_nodes_outlive_50_strangers_and_a_node_of_older_keys(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "new")
    members = cluster.manifest.members
    addresses = [(member.host, member.port, member.client_port) for member in members]
    http_ports = [member.http_port for member in members]
    write_cluster(tmp_path / "older", *make_cluster(4, 1, Parameters(), addresses, http_ports=http_ports))
    older = None
    try:
        cluster.start(0, 1, 2, program=UNHEARD)
        cluster.wait_connected(0, 1, 2)
        older = NodeProcess(tmp_path / "older", 3, program=UNHEARD)
        for member in members[:3]:
            let_strangers_knock(member, 50)
        wait_until(lambda: all(failed_to_reach(cluster, index, 3) for index in range(3)))
        assert [process.exit_status for process in cluster.processes.values()] == [None] * 3
        assert older.exit_status is None
        cluster.submit(0, random_transactions(20))
        cluster.wait_height(cluster.height(0), 0, 1, 2)
    finally:
        if older is not None:
            older.kill()
        statuses = cluster.stop()
    assert statuses == {0: 0, 1: 0, 2: 0}


def test_a_node_goes_on_after_signals_that_it_was_started_to_ignore(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "c", 1)
    cluster.start(launcher=("env", "--ignore-signal=HUP,INT,TERM"))
    try:
        cluster.wait_connected()
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(cluster.processes[0].pid, number)
        # A node that was told to stop might still answer the first one.
        for request in range(3):
            cluster.submit(0, random_transactions(3), request)
    finally:
        # Whoever started it with --attached can still stop it.
        assert cluster.stop() == {0: 0}


def test_a_node_stops_in_order_when_its_terminal_is_closed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "c", 1)
    cluster.start()
    try:
        cluster.wait_connected()
        os.kill(cluster.processes[0].pid, signal.SIGHUP)
        assert cluster.processes[0].wait(PATIENCE_S) == 0
    finally:
        cluster.stop()
    assert cluster.processes[0].last_words == "node 0: stopped"


def let_strangers_knock(member: Member, count: int) -> None:
    """Connect with `count` keys that the node does not know; returns when it has refused them all."""
    context: Any = zmq.Context()
    strangers = []
    for _ in range(count):
        public, secret = zmq.curve_keypair()
        stranger = context.socket(zmq.PUSH)
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
