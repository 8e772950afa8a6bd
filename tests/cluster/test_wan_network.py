"""The emulated network itself: namespaces that are made and removed, round trips that are measured."""

import os
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import psutil
import pytest

from honeybadger.cluster.errors import ClusterError, WanUnavailable
from honeybadger.cluster.wan import echo, emulation, namespaces, netem, tun
from honeybadger.cluster.wan.commands import CommandFailed
from honeybadger.cluster.wan.emulation import Emulation, worst_deviation_percent
from honeybadger.cluster.wan.namespaces import Namespaces, remove_leftovers, remove_run
from honeybadger.cluster.wan.netem import NetemLinks
from honeybadger.cluster.wan.profile import Profile
from honeybadger.cluster.wan.user_space import UserSpaceLinks

pytestmark = pytest.mark.processes


@cache
def can_make_namespaces() -> bool:
    made = Namespaces(1)
    try:
        made.make()
    except WanUnavailable:
        return False
    finally:
        remove_run(os.getpid())
    return True


@cache
def can_shape(links) -> bool:
    try:
        with Emulation(Profile.find("two-regions"), 2, [links]):
            return True
    except WanUnavailable:
        return False


needs_root = pytest.mark.skipif("not can_make_namespaces()", reason="no right to make network namespaces: run as root")
needs_tun = pytest.mark.skipif(
    "not can_shape(UserSpaceLinks)", reason="no TUN devices: run as root, after modprobe tun"
)
needs_netem = pytest.mark.skipif("not can_shape(NetemLinks)", reason="no netem: run as root, after modprobe sch_netem")
either_emulator = pytest.mark.parametrize(
    "links",
    [
        pytest.param(NetemLinks, marks=needs_netem),
        pytest.param(UserSpaceLinks, marks=needs_tun),
    ],
)


class Unshaped:
    """Links that are left as they are."""

    name = "unshaped"

    def __init__(self, namespaces, profile) -> None:
        """As the others."""

    def start(self) -> None:
        pass

    def report(self):
        return {"lateness_ms": None}

    def stop(self) -> None:
        pass


class Impossible(Unshaped):
    """Links that no machine can shape."""

    name = "impossible"

    def start(self) -> None:
        raise WanUnavailable("--wan needs a miracle")


def lives(process: int) -> bool:
    """Not ended: the first process of this machine may take a moment to take note of its end."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def forwarders() -> list[psutil.Process]:
    """Those of this process, which may have other children."""
    return [child for child in psutil.Process().children() if any("forwarding" in word for word in child.cmdline())]


def names_of(run: int) -> list[str]:
    return [name for name in namespaces._existing() if f"-{run}-" in name]


def mine() -> list[str]:
    return names_of(os.getpid())


def _namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


@needs_root
def test_a_network_joins_its_nodes_and_this_machine_until_it_is_removed():
    network = Namespaces(3)
    try:
        network.make()
        there = (network.addresses[1], 5000)
        with (
            network.inside(1, lambda: socket.create_server(there)) as server,
            network.inside(2, lambda: socket.create_connection(there, 5)),
            socket.create_connection(there, 5) as client,
        ):
            callers = {server.accept()[1][0], server.accept()[1][0]}
            assert callers == {network.addresses[2], client.getsockname()[0]}
        code = "import os; print(os.getpid(), os.stat('/proc/self/ns/net').st_ino)"
        process = subprocess.Popen(
            [*network.launcher(0), sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        )
        said = process.communicate()[0].split()
        assert said == [str(process.pid), str(network.inside(0, _namespace))], "signals must reach the node itself"
        assert int(said[1]) != _namespace()
        text = network.inside(0, lambda: Path("/proc/sys/net/ipv4/tcp_wmem").read_text())
        assert int(text.split()[2]) == 64 << 20, "long links get large buffers"
        assert len(mine()) == 4
        network.remove()
        assert mine() == []
        assert f"hbwan{os.getpid()}" not in (name for _, name in socket.if_nameindex())
        network.remove()
    finally:
        remove_run(os.getpid())


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


def gone_with(code: str, *, by_itself: bool) -> None:
    """Run `code`, which prints the id of a process that it started, and waits; kill it: nothing is left. `by_itself`:
    the process ends before anybody cleans up."""
    dead = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert dead.stdout is not None
    process = int(dead.stdout.readline())
    assert lives(process)
    assert dead.pid not in remove_leftovers(), "it lives"
    assert len(names_of(dead.pid)) == 3
    dead.kill()
    dead.wait()
    dead.stdout.close()
    if not by_itself:
        # Another run on this machine may do it first.
        remove_leftovers()
    limit = time.monotonic() + 60
    while lives(process) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not lives(process)
    remove_leftovers()
    assert not names_of(dead.pid)


@needs_root
def test_what_a_killed_run_left_is_removed_with_its_processes():
    gone_with(
        """
import subprocess, sys, time
from honeybadger.cluster.wan.commands import run
from honeybadger.cluster.wan.namespaces import Namespaces
made = Namespaces(2)
made.make()
inside = subprocess.Popen([*made.launcher(1), sys.executable, "-c", "import time; time.sleep(300)"])
while str(inside.pid) not in run("ip", "netns", "pids", made.names[1]).split():
    time.sleep(0.05)
print(inside.pid, flush=True)
time.sleep(300)
""",
        by_itself=False,
    )


@needs_root
def test_an_unshaped_network_is_refused(monkeypatch):
    monkeypatch.setattr(emulation, "ATTEMPTS", 2)
    with (
        pytest.raises(ClusterError, match=r"of 1 pairs are more than 5% from the profile.*east and west"),
        Emulation(Profile.find("two-regions"), 2, [Unshaped]) as wan,
    ):
        wan.measure()
    assert mine() == []


def test_the_first_way_that_is_possible_is_taken():
    wan = Emulation(Profile.find("two-regions"), 2, [Impossible, Unshaped, Impossible])
    wan._shape()
    assert wan.result() == {"emulator": "unshaped", "lateness_ms": None}


@needs_root
def test_where_no_way_is_possible_one_line_says_why_and_nothing_is_left(monkeypatch):
    monkeypatch.setattr(netem, "UNSHAPED", "warp")
    monkeypatch.setattr(tun, "DEVICE", "/dev/net/nothing")
    with pytest.raises(WanUnavailable) as raised:
        Emulation(Profile.find("two-regions"), 2).__enter__()
    said = str(raised.value)
    assert said.startswith("--wan: links cannot be shaped: netem: this kernel cannot shape links (tc says: ")
    assert said.endswith("user-space: /dev/net/tun cannot be used: No such file or directory") and "\n" not in said
    assert mine() == []


@either_emulator
def test_shaped_links_have_the_round_trips_of_the_profile(links):
    with Emulation(Profile.find("two-regions"), 3, [links]) as wan:
        skip_if_busy(wan.measure)
        found = wan.result()
    trips = {tuple(pair["nodes"]): pair["measured_rtt_ms"] for pair in found["pairs"]}
    assert trips.keys() == {(0, 1), (0, 2), (1, 2)}
    assert trips[0, 1] == pytest.approx(40, rel=0.05) and trips[0, 2] < 3
    assert found["worst_deviation_percent"] <= 5 and found["emulator"] == links.name
    assert mine() == []


@needs_tun
def test_nodes_speak_through_the_process_and_clients_past_it():
    data = os.urandom(1 << 20)
    with Emulation(Profile.find("two-regions"), 2, [UserSpaceLinks]) as wan:
        network = wan._namespaces
        there = (wan.addresses[1], 5000)
        with network.inside(1, lambda: socket.create_server(there)) as server:
            peer = network.inside(0, lambda: socket.create_connection(there, 10))
            assert transfer(peer, server.accept()[0], data) == data, "checksums that nobody has computed"
            client = socket.create_connection(there, 10)
            assert transfer(client, server.accept()[0], data) == data
        forwarded = wan.result()["forwarded"]
    assert len(data) < forwarded["bytes"] < 1.5 * len(data), "the peer's megabyte and not the client's"
    assert forwarded["packets"] < forwarded["bytes"] / 2_000, "large segments are carried in one piece"
    assert forwarded["dropped"] == 0


def transfer(sender: socket.socket, receiver: socket.socket, data: bytes) -> bytes:
    """What arrives of it."""
    thread = threading.Thread(target=sender.sendall, args=(data,))
    thread.start()
    receiver.settimeout(10)
    got = b""
    while len(got) < len(data) and (piece := receiver.recv(1 << 20)):
        got += piece
    thread.join()
    sender.close()
    receiver.close()
    return got


@needs_tun
def test_without_the_process_nodes_are_apart_and_the_run_fails():
    with Emulation(Profile.find("two-regions"), 2, [UserSpaceLinks]) as wan:
        (forwarding,) = forwarders()
        forwarding.kill()
        psutil.wait_procs([forwarding], 10)
        server = wan._namespaces.inside(1, lambda: socket.create_server((wan.addresses[1], 5000)))
        with server, pytest.raises(OSError):
            wan._namespaces.inside(0, lambda: socket.create_connection((wan.addresses[1], 5000), 0.5))
        with pytest.raises(ClusterError, match=r"--wan: the process that carries packets ended: it said nothing"):
            wan.result()
    assert mine() == []


@needs_tun
def test_a_process_that_cannot_begin_is_told_with_its_last_words(monkeypatch):
    monkeypatch.setattr("honeybadger.cluster.wan.user_space.json.dumps", lambda plan: "no plan")
    with pytest.raises(WanUnavailable, match=r"user-space: the process that carries packets ended: json\..*Expecting"):
        Emulation(Profile.find("two-regions"), 2, [UserSpaceLinks]).__enter__()
    assert mine() == [] and forwarders() == []


@needs_tun
def test_the_process_ends_with_a_run_that_is_killed():
    gone_with(
        """
import time
import psutil
from honeybadger.cluster.wan.emulation import Emulation
from honeybadger.cluster.wan.profile import Profile
from honeybadger.cluster.wan.user_space import UserSpaceLinks
with Emulation(Profile.find("two-regions"), 2, [UserSpaceLinks]):
    print(psutil.Process().children()[0].pid, flush=True)
    time.sleep(300)
""",
        by_itself=True,
    )


def skip_if_busy(measure):
    """How exact a measurement is depends on what else the machine does; that decides no test."""
    try:
        measure()
    except ClusterError as error:
        pytest.skip(f"{error}: run it again when the machine is quiet")


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
