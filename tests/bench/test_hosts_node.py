"""A node of another host as the controller sees it: its events in our time, and what becomes of it with its host."""

import json
from contextlib import suppress
from types import SimpleNamespace

import pytest

from bench.measure.observations import read_node
from bench.places.hosts.deploy import _platforms
from bench.places.hosts.host_node import HostNode
from bench.places.hosts.inventory import Host
from bench.places.hosts.link import HostError


@pytest.fixture
def link():
    return SimpleNamespace(lost="", host=Host(name="h", ssh="192.0.2.1"))


@pytest.fixture
def node(link, tmp_path):
    asked = []

    def ask(link, do, **arguments):
        if link.lost:
            raise HostError(link.host, link.lost)
        asked.append((do, arguments))
        return {}

    node = HostNode(link, ask, tmp_path, 2, offset_s=1000.0)
    node.asked = asked
    return node


def test_events_come_in_our_time_wherever_they_are_cut(node):
    lines = [{"t": 1001.5, "event": "started", "node": 2, "height": 0}, {"t": 1003.0, "event": "other"}]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    for begin in range(0, len(data), 7):
        node.grown("events.jsonl", data[begin : begin + 7])
    # Cut short by a kill; then the next life goes on.
    node.grown("events.jsonl", b'{"t": 1004, "ev' + b"\n" + data)
    times = []
    for line in node.events.read_bytes().splitlines():
        with suppress(json.JSONDecodeError):
            times.append(json.loads(line)["t"])
    assert times == [1.5, 3.0, 1.5, 3.0]
    assert read_node(node.events).started_at == [1.5, 1.5]


def test_nothing_else_that_a_host_sends_is_written(node, tmp_path):
    node.grown("../../evil", b"x")
    node.grown("log.txt", b"error: out of memory\n")
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt"}
    assert node.last_words == "host h: out of memory"


def test_a_node_on_a_lost_host_is_left_alone(node, link):
    assert node.exit_status is None and not node.killed
    link.lost = "not a word for 15 s"
    node.terminate()
    node.kill()
    node.restart("--schedule-start", "1")
    assert node.wait(60) is None and node.killed and node.exit_status is None and node.asked == []


def test_a_restart_forgets_the_last_end(node):
    node.ended(-9)
    assert node.exit_status == -9 and node.wait(0) == -9
    node.restart("--more")
    assert node.exit_status is None and node.restarts == 1
    assert node.asked == [("start", {"node": 2, "again": True, "extra": ["--more"]})]


def test_wheels_for_an_older_glibc_are_good_for_a_newer_one_only():
    flags = list(_platforms("2.28", "x86_64"))
    assert "manylinux_2_28_x86_64" in flags and "manylinux_2_17_x86_64" in flags and "manylinux2014_x86_64" in flags
    assert not any("_2_29_" in flag or "_2_34_" in flag for flag in flags)
    assert set(_platforms("", "aarch64")) == {"--platform", "musllinux_1_2_aarch64", "musllinux_1_1_aarch64"}
