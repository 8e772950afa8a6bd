"""The controller's view of its nodes, with made-up nodes; and of one real process that fails."""

import json
import time
from types import SimpleNamespace

import pytest

import bench.places.processes
import bench.run.cluster
from bench.places.processes import ThisMachine
from bench.plan.build_run import run_of
from bench.run.cluster import RunningCluster, agreed_leader
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import NodeProcess
from honeybadger.network.fault_schedule import LinkFault


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
def started(tmp_path, monkeypatch):
    monkeypatch.setattr(bench.places.processes, "NodeProcess", FakeNode)

    def started(wan=None, **changes) -> RunningCluster:
        settings = run_of(**{"duration": 5, "seed": 1, **changes})
        cluster = RunningCluster(tmp_path / "run", settings, ThisMachine(wan))
        cluster.start()
        return cluster

    return started


def test_nodes_are_ready_when_each_has_met_all(started):
    cluster = started(byzantine="1:silent")
    assert [node.extra for node in cluster.nodes] == [(), (), (), ("--byzantine", "silent")]
    assert cluster.schedule_zero == 5.0, "the last of the first connections"


def test_a_node_that_meets_nobody_is_named(started, monkeypatch):
    monkeypatch.setattr(FakeNode, "meets", (0, 1, 2))
    monkeypatch.setattr(bench.run.cluster, "START_TIMEOUT_S", 0.0)
    monkeypatch.setattr(bench.run.cluster, "START_TIMEOUT_PER_NODE_S", 0.05)
    with pytest.raises(ClusterError, match=r"node 0 was not ready in time: out of memory"):
        started()


def test_only_correct_nodes_must_not_die_and_a_killed_one_did_not_end_by_what_it_said_last(started):
    cluster = started(byzantine="1:silent")
    for index, status in enumerate((-9, 1, 1, 1)):
        cluster.nodes[index].exit_status = status
    cluster.nodes[2].killed = True
    assert cluster.look_for_deaths() == [0, 1] and cluster.look_for_deaths() == []
    assert cluster.died == {
        0: "node 0 ended unasked, killed by SIGKILL; its last words: out of memory",
        1: "node 1 ended unasked: out of memory",
    }


def test_link_faults_are_in_the_manifest_and_go_on_after_a_restart(started, tmp_path):
    fault = LinkFault(kind="partition", groups=((0, 1), (2, 3)), end_s=3.0)
    cluster = started(partition="0,1|2,3@0-3")
    assert Manifest.load(tmp_path / "run" / "cluster.toml").faults == (fault,)
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
def test_in_an_emulated_wan_nodes_have_their_own_addresses_and_launchers(started, tmp_path, base_port, ports):
    cluster = started(wan=FakeWan(), base_port=base_port)
    assert [node.launcher for node in cluster.nodes] == [("in", f"namespace-{node}") for node in range(4)]
    members = Manifest.load(tmp_path / "run" / "cluster.toml").members
    assert [(m.host, m.port, m.client_port) for m in members] == [(host, *ports) for host in FakeWan.addresses]


def test_without_link_faults_a_restart_needs_no_schedule(started):
    cluster = started()
    cluster.restart([2])
    assert cluster.nodes[2].extra == ()


@pytest.mark.parametrize(
    ("following", "leader"),
    [
        ({0: 2, 1: 2, 2: 2, 3: 1}, 2),
        ({0: 2, 1: 2, 2: 2}, 2),
        ({0: 2, 1: 2, 2: 3, 3: 2}, None),
        ({0: 2, 1: 2, 3: 2}, None),
        ({0: 2, 1: 2, 2: 3, 3: 3}, None),
        ({0: None, 1: None, 2: None}, None),
        ({}, None),
    ],
)
def test_the_leader_is_whom_enough_follow_itself_among_them(following, leader):
    assert agreed_leader(following, 3) == leader


@pytest.mark.parametrize(
    ("heights", "wait_s", "same"),
    [
        ([(5, 5, 5)], 0.0, True),
        ([(5, 5, 4), (5, None, 5), (5, 5, 5)], 0.0, True),
        ([(5, 5, 4)], 0.0, False),
        ([(5, 5, None)], 0.0, False),
        ([(None, None, None)], 0.0, False),
        ([(5, 5, 4)] * 30 + [(5, 5, 5)], 7.0, True),
        ([(4, 4, 4)] * 30 + [(5, 5, 4)], 7.0, False),
        ([(i, i, i - 1) for i in range(1, 1000)], 0.0, False),
    ],
)
def test_waiting_for_the_same_height(started, monkeypatch, heights, wait_s, same):
    """Byzantine nodes are not asked, and while link faults last nothing is decided."""
    cluster = started(byzantine="1:silent")
    clock = SimpleNamespace(now=1000.0)
    script = [iter([row[index] for row in heights]) for index in range(3)]
    last = list(heights[-1])
    fake_time = SimpleNamespace(monotonic=lambda: clock.now, sleep=lambda s: setattr(clock, "now", clock.now + s))
    monkeypatch.setattr(bench.run.cluster, "time", fake_time)

    def ask_status(connections, nodes, timeout_s):
        told = {index: next(script[index], last[index]) for index in nodes}
        return {index: {"height": height} for index, height in told.items() if height is not None}

    monkeypatch.setattr(bench.run.cluster, "ask_status", ask_status)
    ticks = []
    assert cluster.await_same_height(1000.0 + wait_s, False, lambda: ticks.append(clock.now)) is same
    assert clock.now >= 1000.0 + wait_s and ticks


@pytest.mark.processes
def test_a_node_is_started_through_its_launcher_and_a_traceback_in_its_output_is_found(tmp_path):
    (tmp_path / "node-0").mkdir()
    program = ("-c", "import os\nprint(os.environ['PLACE'], flush=True)\ndef f(): raise KeyError('x')\nf()")
    node = NodeProcess(tmp_path, 0, program=program, launcher=("env", "PLACE=east"))
    assert node.wait(30) == 1 and node.traceback == "KeyError: 'x'"
    assert "east" in node.log.read_text().splitlines()
    node.log.write_text("error: nothing special\n")
    assert node.traceback == "" and node.last_words == "error: nothing special"
    node.log.write_text("Traceback (most recent call last):\n  File\na.b.SomeError: c.d\n")
    assert node.traceback == "SomeError: c.d"


def test_the_last_words_of_a_node_do_not_begin_with_the_module_of_an_error(started, monkeypatch):
    def connected(node):
        node.exit_status, node.last_words = 1, "honeybadger.adversary.corrupt.StrategyError: x.y (mine.py, line 4)"

    cluster = started(byzantine="1:silent")
    monkeypatch.setattr(cluster.place, "start", lambda *_: cluster.nodes)
    connected(cluster.nodes[3])
    with pytest.raises(ClusterError, match=r"^node 3 ended at once: StrategyError: x\.y \(mine\.py, line 4\)$"):
        cluster.start()
