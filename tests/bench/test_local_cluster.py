"""The controller's view of its nodes, with made-up nodes; and of one real process that fails."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import bench.local_cluster
import bench.this_machine
from bench.local_cluster import LocalCluster, agreed_primary
from bench.settings import LocalSettings
from bench.this_machine import ThisMachine
from bench.workload import TxSizes
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.cluster.processes import NodeProcess
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.parameters import Parameters


class FakeNode:
    """A node that has met the peers in `meets` as soon as it is started."""

    meets: tuple[int, ...] = (0, 1, 2, 3)

    def __init__(self, directory, index, extra=(), launcher=()):
        self.index, self.extra, self.launcher = index, extra, launcher
        self.killed, self.exit_status, self.last_words = False, None, "error: out of memory"
        self.events = directory / f"node-{index}" / "events.jsonl"
        peers = [peer for peer in self.meets if peer != index]
        events = [{"t": 1.0, "event": "started", "height": 0}]
        events += [{"t": 2.0 + peer, "event": "connection", "peer": peer, "up": True} for peer in peers]
        self.events.write_text("".join(json.dumps(event) + "\n" for event in events))

    def restart(self, *extra):
        self.extra = extra


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(bench.this_machine, "NodeProcess", FakeNode)

    def make(wan=None, **changes) -> LocalCluster:
        values = {
            "parameters": Parameters(),
            "runtime": Runtime(),
            "tx_sizes": TxSizes.parse(250),
            "duration_s": 5.0,
            "warmup_s": 1.0,
        }
        values |= {"rate": None, "crash": 0, "restart": 0, "restart_after_s": 1.0, "base_port": None, "seed": 1}
        settings = LocalSettings(**{"nodes": 4, "faults": 1, "out": None, **values, **changes})
        return LocalCluster(tmp_path / "run", settings, ThisMachine(wan))

    return make


def test_nodes_are_ready_when_each_has_met_all(make):
    cluster = make(byzantine={3: "silent"})
    cluster.start()
    assert [node.extra for node in cluster.nodes] == [(), (), (), ("--byzantine", "silent")]
    assert cluster.schedule_zero == 5.0, "the last of the first connections"


def test_a_node_that_meets_nobody_is_named(make, monkeypatch):
    monkeypatch.setattr(FakeNode, "meets", (0, 1, 2))
    monkeypatch.setattr(bench.local_cluster, "START_TIMEOUT_S", 0.0)
    monkeypatch.setattr(bench.local_cluster, "START_TIMEOUT_PER_NODE_S", 0.05)
    with pytest.raises(ClusterError, match=r"node 0 was not ready in time: out of memory"):
        make().start()


def test_only_correct_nodes_must_not_die(make):
    cluster = make(byzantine={3: "silent"})
    cluster.start()
    for index in (1, 2, 3):
        cluster.nodes[index].exit_status = 1
    cluster.nodes[2].killed = True
    assert cluster.look_for_deaths() == [1] and cluster.look_for_deaths() == []
    assert cluster.died == {1: "node 1 ended unasked: out of memory"}


def test_a_killed_node_did_not_end_by_what_it_said_last(make):
    cluster = make()
    cluster.start()
    cluster.nodes[1].exit_status = -9
    assert cluster.look_for_deaths() == [1]
    assert cluster.died == {1: "node 1 ended unasked, killed by SIGKILL; its last words: out of memory"}


def test_link_faults_are_in_the_manifest_and_go_on_after_a_restart(make, tmp_path):
    fault = LinkFault(kind="partition", groups=((0, 1), (2, 3)), end_s=3.0)
    cluster = make(link_faults=(fault,))
    assert Manifest.load(tmp_path / "run" / "cluster.toml").faults == (fault,)
    cluster.start()
    cluster.schedule_zero = time.monotonic() - 100.0
    cluster.restart([2])
    option, start = cluster.nodes[2].extra
    assert option == "--schedule-start" and time.time() - float(start) == pytest.approx(100.0, abs=1.0)


class FakeWan:
    """Addresses of four nodes, and a command for each."""

    addresses = ("10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.4")

    def launcher(self, node):
        return ("in", f"namespace-{node}")


@pytest.mark.parametrize(("base_port", "ports"), [(None, (7000, 7001)), (9000, (9000, 9001))])
def test_in_an_emulated_wan_nodes_have_their_own_addresses_and_launchers(make, tmp_path, base_port, ports):
    cluster = make(wan=FakeWan(), base_port=base_port)
    cluster.start()
    assert [node.launcher for node in cluster.nodes] == [("in", f"namespace-{node}") for node in range(4)]
    members = Manifest.load(tmp_path / "run" / "cluster.toml").members
    assert [(m.host, m.port, m.client_port) for m in members] == [(host, *ports) for host in FakeWan.addresses]


def test_without_link_faults_a_restart_needs_no_schedule(make):
    cluster = make()
    cluster.start()
    cluster.restart([2])
    assert cluster.nodes[2].extra == ()


@pytest.mark.parametrize(
    ("following", "primary"),
    [
        ({0: (2, True), 1: (2, True), 2: (2, True), 3: (1, True)}, 2),
        ({0: (2, True), 1: (2, True), 2: (2, True)}, 2),
        ({0: (2, True), 1: (2, True), 2: (2, False), 3: (2, True)}, None),
        ({0: (2, True), 1: (2, True), 3: (2, True)}, None),
        ({0: (2, True), 1: (2, True), 2: (3, True), 3: (3, True)}, None),
        ({0: (2, True), 1: (2, False), 2: (2, True), 3: (3, False)}, 2),
        ({}, None),
    ],
)
def test_the_primary_is_whom_enough_follow_itself_among_them(following, primary):
    details = {node: {"primary": whom, "active": active} for node, (whom, active) in following.items()}
    assert agreed_primary(details, 3) == primary


@pytest.mark.parametrize(
    ("heights", "wait_s", "same"),
    [
        ([(5, 5, 5)], 0.0, True),
        ([(5, 5, 4), (5, None, 5), (5, 5, 5)], 0.0, True),
        ([(5, 5, 4)], 0.0, False),
        ([(5, 5, None)], 0.0, False),
        ([(5, 5, 4)] * 30 + [(5, 5, 5)], 7.0, True),
        ([(4, 4, 4)] * 30 + [(5, 5, 4)], 7.0, False),
        ([(i, i, i - 1) for i in range(1, 1000)], 0.0, False),
    ],
)
def test_waiting_for_the_same_height(make, monkeypatch, heights, wait_s, same):
    """Byzantine nodes are not asked, and while link faults last nothing is decided."""
    cluster = make(byzantine={3: "silent"})
    cluster.start()
    clock = SimpleNamespace(now=1000.0)
    script = [iter([row[index] for row in heights]) for index in range(3)]
    last = list(heights[-1])
    fake_time = SimpleNamespace(monotonic=lambda: clock.now, sleep=lambda s: setattr(clock, "now", clock.now + s))
    monkeypatch.setattr(bench.local_cluster, "time", fake_time)
    monkeypatch.setattr(bench.local_cluster, "_height", lambda index: next(script[index], last[index]))
    monkeypatch.setattr(cluster, "_clients", contextmanager(lambda up: (yield list(up))))
    ticks = []
    assert cluster.await_same_height(1000.0 + wait_s, False, lambda: ticks.append(clock.now)) is same
    assert clock.now >= 1000.0 + wait_s and ticks


@pytest.mark.processes
def test_a_node_is_started_through_its_launcher(tmp_path):
    (tmp_path / "node-0").mkdir()
    program = ("-c", "import os; print(os.environ['PLACE'])")
    node = NodeProcess(tmp_path, 0, program=program, launcher=("env", "PLACE=east"))
    assert node.wait(30) == 0 and node.last_words == "east"


def test_a_traceback_in_the_output_is_found(tmp_path):
    (tmp_path / "node-0").mkdir()
    node = NodeProcess(tmp_path, 0, program=("-c", "print('before', flush=True)\ndef f(): raise KeyError('x')\nf()"))
    assert node.wait(30) == 1
    assert node.traceback == "KeyError: 'x'"
    node.log.write_text("error: nothing special\n")
    assert node.traceback == ""
