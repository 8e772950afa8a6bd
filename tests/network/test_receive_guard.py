"""The guard against messages without end, on real sockets: who is cut, and above all who is not."""

import contextlib
import os
import random
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import zmq
from support.endless import MIB, attack, connect, gone, part
from support.network import HOST, until

from honeybadger.network import receive_guard
from honeybadger.network.receive_guard import Limits, ReceiveGuard

#: messages that may wait, per connection
WAITING = 4
LIMITS = Limits(MIB, MIB, (WAITING + 2) * MIB)


class Stand:
    """A PULL socket with its guard; `peers` are connected by hand, without CURVE."""

    def __init__(self, limits: Limits = LIMITS, ready: Callable[[], None] = lambda: None) -> None:
        self.context: Any = zmq.Context()
        self.pull: Any = self.context.socket(zmq.PULL)
        self.pull.rcvhwm = WAITING
        self.guard = ReceiveGuard(self.pull, limits, ready)
        self.port = self.pull.bind_to_random_port(f"tcp://{HOST}")
        self.peers: list[socket.socket] = []
        self.received: list[list[bytes]] = []

    def connect(self) -> socket.socket:
        self.peers.append(connect(self.port, b"PUSH"))
        return self.peers[-1]

    def read(self, most: int = 1 << 30) -> None:
        """Read until empty, or `most` messages: the first part says who sends."""
        for _ in range(most):
            try:
                frames = self.pull.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                self.guard.look(empty=True)
                return
            self.guard.delivered(frames, sum(map(len, frames)), frames[0].bytes)
            self.received.append([frame.bytes for frame in frames])

    def held(self) -> list[int]:
        """Bytes that each connection has brought and that were not delivered, at the last look."""
        return [c.taken - c.start for c in self.guard._connections.values()]

    def close(self) -> None:
        for raw in self.peers:
            raw.close()
        self.guard.close()
        self.pull.close(0)
        self.context.destroy(0)


def connected(stand: Stand) -> socket.socket:
    """A connection that the guard has noticed."""
    raw = stand.connect()
    until(lambda: stand.guard._connections, stand.read)
    return raw


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Limits without slack, and a look whenever one is possible: the hardest for honest peers."""
    monkeypatch.setattr(receive_guard, "OVERHEAD_BYTES", MIB // 8)
    monkeypatch.setattr(receive_guard, "LOOK_S", 0)
    monkeypatch.setattr(receive_guard, "COST_SHARE", 1e9)
    made = Stand()
    yield made
    made.close()


def test_who_goes_on_for_ever_is_cut_and_nobody_else(stand: Stand) -> None:
    good, bad = stand.connect(), stand.connect()
    good.sendall(part(MIB // 2))
    until(lambda: stand.held() and max(stand.held()) > MIB // 2, stand.read)
    attack(bad)
    until(lambda: gone(bad), stand.read)
    assert stand.guard.cut == 1
    good.sendall(part(3, more=False))
    until(lambda: stand.received, stand.read)
    assert [len(one) for one in stand.received[0]] == [MIB // 2, 3]
    assert not gone(good)


def test_finished_messages_earn_no_longer_one(stand: Stand) -> None:
    bad = stand.connect()
    bad.sendall(part(0, more=False) * 5000)
    until(lambda: len(stand.received) == 5000, stand.read)
    # Little more than the limit.
    attack(bad, 12)
    until(lambda: gone(bad), stand.read)


def test_a_socket_that_is_never_empty_hides_nobody(stand: Stand) -> None:
    """One peer keeps the node reading while another sends without end."""
    busy, bad = stand.connect(), stand.connect()
    busy.setblocking(False)
    attack(bad)
    flood, empty = part(5, more=False) * 100, [0]

    def step() -> None:
        with contextlib.suppress(BlockingIOError):
            busy.send(flood)
        before = len(stand.received)
        for _ in range(50):
            if not stand.pull.poll(1000):
                empty[0] += 1
            stand.read(1)
        assert len(stand.received) == before + 50
        stand.guard.look()

    until(lambda: gone(bad), step)
    assert empty == [0]
    assert not gone(busy)


def test_a_socket_that_is_not_read_is_bounded_too(stand: Stand) -> None:
    patient, bad = stand.connect(), stand.connect()
    message = part(MIB // 2 - 20) + part(MIB // 2 - 20, more=False)
    for _ in range(WAITING):
        patient.sendall(message)
    attack(bad, 80)
    until(lambda: gone(bad), stand.guard.look)
    assert stand.guard.cut == 1
    until(lambda: len(stand.received) == WAITING, stand.read)
    assert stand.guard.cut == 1
    assert not gone(patient)


def test_what_waits_in_the_kernel_does_not_count(stand: Stand) -> None:
    """A peer that sends more finished messages than ZeroMQ takes, to a node that does not read."""
    peer = stand.connect()
    peer.setblocking(False)
    left = memoryview((part(MIB // 2 - 20) + part(MIB // 2 - 20, more=False)) * 24)
    stuck = 0
    while left and stuck < 50:
        try:
            left = left[peer.send(left) :]
            stuck = 0
        except BlockingIOError:
            stuck += 1
        stand.guard.look()
        gevent.sleep(0.001)
    assert stand.guard.cut == 0

    def step() -> None:
        nonlocal left
        with contextlib.suppress(BlockingIOError):
            left = left[peer.send(left) :]
        stand.read()

    until(lambda: len(stand.received) == 24, step)
    assert stand.guard.cut == 0


def test_what_arrives_after_the_socket_was_empty_is_not_judged(stand: Stand) -> None:
    peer = stand.connect()
    until(lambda: stand.held(), stand.read)
    stand.read()
    peer.sendall(part(MIB - 20, more=False) * 3)
    until(lambda: stand.held()[0] > 2 * MIB, stand.guard.look)
    stand.guard.look(empty=True)
    until(lambda: len(stand.received) == 3, stand.read)
    assert stand.guard.cut == 0


def test_frames_without_content_do_not_add_up(stand: Stand) -> None:
    peer = stand.connect()
    for number in range(1, 31):
        peer.sendall(part(0) * 999 + part(0, more=False))
        until(lambda number=number: len(stand.received) == number, stand.read)
    stand.guard.look(empty=True)
    assert stand.guard.cut == 0
    assert max(stand.held()) < MIB // 8


def test_many_connections_share_what_one_may_hold(stand: Stand) -> None:
    honest = stand.connect()
    honest.sendall(part(1000))
    until(lambda: len(stand.held()) == 1, stand.read)
    bad = [stand.connect() for _ in range(8)]
    for raw in bad:
        raw.sendall(part(MIB // 2))
    until(lambda: sum(map(gone, bad)) >= 6, stand.read)
    until(lambda: sum(stand.held()) <= MIB + MIB // 8, stand.read)
    assert stand.guard.cut == sum(map(gone, bad)) == 6
    assert not gone(honest)
    # The oldest were cut: a new connection of a peer whose old one is dead survives.
    assert [gone(raw) for raw in bad[-2:]] == [False, False]


def test_another_senders_connections_do_not_count(stand: Stand) -> None:
    peers = [stand.connect() for _ in range(4)]
    for number, raw in enumerate(peers):
        raw.sendall(part(number, more=False))
    until(lambda: len(stand.received) == 4, stand.read)
    for raw in peers:
        raw.sendall(part(MIB // 2))
    until(lambda: sum(stand.held()) > 2 * MIB, stand.read)
    for _ in range(5):
        stand.read()
    assert stand.guard.cut == 0
    for raw in peers:
        raw.sendall(part(3, more=False))
    until(lambda: len(stand.received) == 8, stand.read)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 9))])
def test_honest_peers_are_never_cut(stand: Stand, seed: int) -> None:
    """Messages up to the longest legal one, tiny ones, pauses in the middle, a slow reader, and reconnects."""
    rng = random.Random(seed)

    class Honest:
        """Sends whatever the connection takes; a new connection begins with a new message."""

        def __init__(self, name: bytes) -> None:
            self.name, self.sent, self.left, self.raw = name, 0, b"", stand.connect()

        def step(self) -> None:
            if not self.left:
                if self.sent >= 40:
                    return
                self.sent += 1
                if rng.random() < 0.05:
                    self.raw.close()
                    self.raw = stand.connect()
                count = rng.choice([1, 2, 64])
                size = rng.choice([0, 1, 300, (MIB - 100) // count])
                head = b"\x01" + bytes([len(self.name)]) + self.name
                self.left = head + part(size) * (count - 1) + part(size, more=False)
            self.raw.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sent = self.raw.send(self.left[: rng.choice([1, 5000, 200_000, MIB])])
                self.left = self.left[sent:]

    honest = [Honest(b"%d" % number) for number in range(3)]

    def step() -> None:
        for peer in honest:
            peer.step()
        choice = rng.random()
        if choice < 0.4:
            stand.read(rng.choice([1, 1000]))
        elif choice < 0.7:
            stand.guard.look()
        assert stand.guard.cut == 0

    until(lambda: all(peer.sent == 40 and not peer.left for peer in honest), step, seconds=60)
    # The last message of a connection that was not closed arrives.
    for number, peer in enumerate(honest):
        peer.raw.setblocking(True)
        peer.raw.sendall(part(0, more=False) + part(number, more=False))
    until(lambda: {len(m[0]) for m in stand.received[-20:] if len(m) == 1} >= {0, 1, 2}, stand.read)
    assert stand.guard.cut == 0


def test_a_descriptor_that_is_used_again_is_another_connection(stand: Stand) -> None:
    seen: list[int] = []
    for _ in range(6):
        raw = stand.connect()
        raw.sendall(part(MIB // 2))
        until(lambda: any(size > MIB // 2 for size in stand.held()), stand.read)
        seen += stand.guard._connections
        raw.close()
        until(lambda: not stand.guard._connections, stand.read)
    assert len(set(seen)) < 6, "no number was used twice"
    assert stand.guard.cut == 0


def test_a_number_that_became_another_file_is_left_alone(stand: Stand) -> None:
    listener = socket.create_server((HOST, 0))
    one = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    connection = stand.connect()
    until(lambda: stand.guard._connections, stand.read)
    (fd, known), *_ = stand.guard._connections.items()
    stand.guard._connections[one.fileno()] = receive_guard._Connection(known.identity, taken=1 << 40)
    stand.guard._cut(one.fileno())
    stand.guard._connections[one.fileno()] = receive_guard._Connection(known.identity)
    stand.guard.look(empty=True)
    assert list(stand.guard._connections) == [fd]
    assert stand.guard.cut == 0
    one.sendall(b"still here")
    assert other.recv(100) == b"still here"
    # Nor would it be taken for a connection of ours, which is what an event that is read late could name.
    assert stand.guard._aim(one.fileno())
    assert not stand.guard._is_ours()
    assert stand.guard._aim(fd)
    assert stand.guard._is_ours()
    for raw in (listener, one, other, connection):
        raw.close()


def test_the_guard_sees_without_free_descriptors(stand: Stand) -> None:
    bad = stand.connect()
    until(lambda: stand.guard._connections, stand.read)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 20, limits[1])
        )
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        assert taken
        attack(bad)
        until(lambda: gone(bad), stand.read)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_cut_connection_is_not_kept_open(stand: Stand) -> None:
    """Neither is one that ended by itself: the guard's own descriptor lets go after each look."""
    raw = stand.connect()
    until(lambda: stand.guard._connections, stand.read)
    probe, idle = (os.fstat(one.fileno()).st_ino for one in (stand.guard._probe, stand.guard._idle))
    assert probe == idle
    raw.close()


def test_the_owner_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfinished messages make no socket readable."""
    monkeypatch.setattr(receive_guard, "OVERHEAD_BYTES", 0)
    called: list[bool] = []
    stand = Stand(ready=lambda: called.append(True))
    raw = stand.connect()
    attack(raw, 12)
    until(lambda: called)
    until(lambda: gone(raw), stand.read)
    stand.close()


def test_without_the_kernels_count_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive_guard, "_counts_bytes", lambda: False)
    stand = Stand()
    raw = stand.connect()
    raw.sendall(part(0) + part(7, more=False))
    attack(raw)
    until(lambda: stand.received, stand.read)
    assert stand.guard.cut == 0
    stand.close()


def test_trouble_is_kept_inside(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no")

    stand.connect()
    until(lambda: stand.guard._connections, stand.read)
    for name in ("dup2", "fstat"):
        with monkeypatch.context() as patch:
            patch.setattr(receive_guard.os, name, broken)
            stand.guard.look(empty=True)
    stand.pull.close(0)
    stand.guard.look(empty=True)
