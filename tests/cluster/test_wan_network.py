"""The emulated network itself: namespaces that are made and removed, round trips that are measured."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.wan import echo, emulation, namespaces
from honeybadger.cluster.wan.commands import CommandFailed, run
from honeybadger.cluster.wan.emulation import Emulation, worst_deviation_percent
from honeybadger.cluster.wan.errors import WanUnavailable
from honeybadger.cluster.wan.namespaces import Namespaces, remove_leftovers, remove_run
from honeybadger.cluster.wan.profile import Profile

pytestmark = pytest.mark.processes


def can_make_namespaces() -> bool:
    made = Namespaces(1)
    try:
        made.make()
    except WanUnavailable:
        return False
    finally:
        remove_run(os.getpid())
    return True


def can_shape() -> bool:
    if not can_make_namespaces():
        return False
    made = Namespaces(1)
    made.make()
    try:
        run("tc", "-n", made.hub, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except CommandFailed:
        return False
    finally:
        made.remove()
    return True


needs_root = pytest.mark.skipif(not can_make_namespaces(), reason="no right to make network namespaces here")
needs_netem = pytest.mark.skipif(not can_shape(), reason="this kernel has no netem, or no right to use it")


def lives(process: int) -> bool:
    """Not ended: the first process of this machine may take a moment to take note of its end."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def mine() -> list[str]:
    return [name for name in namespaces._existing() if f"-{os.getpid()}-" in name]


@pytest.fixture
def network():
    made = Namespaces(3)
    try:
        made.make()
        yield made
    finally:
        remove_run(os.getpid())


@needs_root
def test_nodes_reach_each_other_and_this_machine_reaches_them(network):
    with network.inside(1, lambda: socket.create_server((network.addresses[1], 5000))) as server:
        peer = network.inside(2, lambda: socket.create_connection((network.addresses[1], 5000), 5))
        client = socket.create_connection((network.addresses[1], 5000), 5)
        callers = {server.accept()[1][0], server.accept()[1][0]}
        assert callers == {network.addresses[2], client.getsockname()[0]}
        peer.close()
        client.close()


@needs_root
def test_a_process_is_started_as_itself_in_its_namespace(network):
    code = "import os; print(os.getpid(), os.stat('/proc/self/ns/net').st_ino)"
    process = subprocess.Popen([*network.launcher(0), sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    said = process.communicate()[0].split()
    assert said == [str(process.pid), str(network.inside(0, _namespace))], "signals must reach the node itself"
    assert int(said[1]) != _namespace()


def _namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


@needs_root
def test_long_links_get_large_buffers(network):
    text = network.inside(0, lambda: Path("/proc/sys/net/ipv4/tcp_wmem").read_text())
    assert int(text.split()[2]) == 64 << 20


@needs_root
def test_everything_is_removed_and_that_may_be_repeated(network):
    assert len(mine()) == 4
    network.remove()
    assert mine() == []
    assert f"hbwan{os.getpid()}" not in run("ip", "link")
    network.remove()


@needs_root
def test_half_a_network_is_removed(monkeypatch):
    made = Namespaces(3)
    plug = made._plug

    def fail(port, device, namespace):
        if port == "node1":
            raise CommandFailed("Cannot allocate memory")
        plug(port, device, namespace)

    monkeypatch.setattr(made, "_plug", fail)
    with pytest.raises(WanUnavailable, match="the network cannot be made: Cannot allocate memory"):
        made.make()
    assert len(mine()) == 3
    made.remove()
    assert mine() == []


@needs_root
def test_what_a_killed_run_left_is_removed_with_its_processes():
    code = """
import subprocess, sys, time
from honeybadger.cluster.wan.namespaces import Namespaces
made = Namespaces(2)
made.make()
inside = subprocess.Popen([*made.launcher(1), sys.executable, "-c", "import time; time.sleep(300)"])
while str(inside.pid) not in __import__("honeybadger.cluster.wan.commands", fromlist=["run"]).run(
    "ip", "netns", "pids", made.names[1]
).split():
    time.sleep(0.05)
print(inside.pid, flush=True)
time.sleep(300)
"""
    dead = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert dead.stdout is not None
    left = int(dead.stdout.readline())
    names = [name for name in namespaces._existing() if f"-{dead.pid}-" in name]
    assert len(names) == 3
    assert dead.pid not in remove_leftovers(), "it lives"
    assert set(names) <= set(namespaces._existing())
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    dead.stdout.close()
    assert dead.pid in remove_leftovers()
    assert not set(names) & set(namespaces._existing())
    limit = time.monotonic() + 10
    while lives(left) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not lives(left)


@needs_root
def test_an_unshaped_network_is_refused(monkeypatch):
    monkeypatch.setattr(emulation, "_NEEDED", ())
    monkeypatch.setattr(emulation, "tc_commands", lambda *_: ["qdisc show dev wan0"])
    with (
        pytest.raises(ClusterError, match=r"of 1 pairs is not the profile's within 5%.*east and west"),
        Emulation(Profile.find("two-regions"), 2) as wan,
    ):
        wan.measure()
    assert mine() == []


@needs_root
def test_a_kernel_without_netem_is_named_and_nothing_is_left(monkeypatch):
    monkeypatch.setattr(emulation, "_NEEDED", (("warp", ["qdisc add dev lo root warp"]),))
    with pytest.raises(WanUnavailable, match="this kernel cannot shape links, warp is missing"):
        Emulation(Profile.find("two-regions"), 2).__enter__()
    assert mine() == []


@needs_netem
def test_shaped_links_have_the_round_trips_of_the_profile():
    with Emulation(Profile.find("two-regions"), 3) as wan:
        skip_if_busy(wan.measure)
    trips = {tuple(pair["nodes"]): pair["measured_rtt_ms"] for pair in wan.measured["pairs"]}
    assert trips.keys() == {(0, 1), (0, 2), (1, 2)}
    assert trips[0, 1] == pytest.approx(40, rel=0.05) and trips[0, 2] < 2
    assert wan.measured["worst_deviation_percent"] <= 5
    assert mine() == []


def skip_if_busy(measure):
    """How exact a measurement is depends on what else the machine does; that decides no test."""
    try:
        measure()
    except ClusterError as error:
        pytest.skip(str(error))


def test_without_rights_it_says_so(monkeypatch):
    def refuse(name, *arguments, lines=()):
        if "route" in arguments:
            return "[]"
        raise CommandFailed("mkdir /run/netns failed: Permission denied")

    monkeypatch.setattr(namespaces, "run", refuse)
    with pytest.raises(WanUnavailable, match=r"needs root \(CAP_NET_ADMIN and CAP_SYS_ADMIN\): mkdir .* denied"):
        Namespaces(2).make()


def test_a_network_in_use_is_not_taken(monkeypatch):
    routes = '[{"dst": "default"}, {"dst": "10.77.5.0/25"}, {"dst": "10.77.6.9"}, {"type": "local", "dst": "10.0.0.1"}]'
    monkeypatch.setattr(namespaces, "run", lambda *_: routes)
    assert str(namespaces._free_network(5)) == "10.77.7.0/24"
    monkeypatch.setattr(namespaces, "run", lambda *_: '[{"dst": "10.0.0.0/8"}]')
    with pytest.raises(ClusterError, match=r"no network of 10\.77\.0\.0/16 is free"):
        namespaces._free_network(5)


def test_round_trips_are_measured_and_silent_nodes_are_left_out():
    sockets = [echo.open_socket(f"127.0.0.{host}") for host in (11, 12)]
    deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deaf.bind(("127.0.0.13", echo.PORT))
    deaf.setblocking(False)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.sendto(b"not a probe", ("127.0.0.11", echo.PORT))
    stranger.sendto(bytes(echo._PROBE.size), ("127.0.0.11", echo.PORT))
    stranger.setblocking(False)
    try:
        found = echo.measure(sockets, 0.05)
        assert found.keys() == {(0, 1)}
        assert 0 < found[0, 1] < 0.05
        with pytest.raises(BlockingIOError):
            stranger.recv(64)
    finally:
        for one in (*sockets, deaf, stranger):
            one.close()


def test_the_worst_deviation_is_of_pairs_that_are_far_apart():
    near = {"profile_rtt_ms": 1.0, "measured_rtt_ms": 1.4}
    far = {"profile_rtt_ms": 100.0, "measured_rtt_ms": 97.0}
    farther = {"profile_rtt_ms": 200.0, "measured_rtt_ms": 202.0}
    assert worst_deviation_percent([near, far, farther]) == pytest.approx(3.0)
    assert worst_deviation_percent([near]) is None
