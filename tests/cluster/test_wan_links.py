"""Links emulated in user space, without any network: the model, the packets' headers, the loop that forwards."""

import os
import random
import socket
import struct
import threading
from itertools import chain
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.cluster.wan.forwarding import Forwarder, Lateness, Plan
from honeybadger.cluster.wan.link_model import LinkModel, Shape
from honeybadger.cluster.wan.netem import packets
from honeybadger.cluster.wan.profile import Link
from honeybadger.cluster.wan.tun import HEADER_BYTES, destination, wire_bytes
from honeybadger.cluster.wan.user_space import shape

SHAPES = st.builds(
    Shape,
    delay_ns=st.integers(10**6, 10**9),
    jitter_ns=st.integers(0, 10**6),
    loss=st.sampled_from([0.0, 0.2]),
    ns_per_byte=st.floats(0.8, 80_000),
    room_bytes=st.integers(2_000, 200_000),
)
#: what is sent: how long after the one before, nanoseconds, and how many bytes
SENDINGS = st.lists(st.tuples(st.integers(0, 10**8), st.integers(54, 65_600)), max_size=60)


@given(SHAPES, SENDINGS, st.integers(0, 2**32))
def test_packets_keep_their_order_their_delay_and_the_rate(shape, sendings, seed):
    link = LinkModel[int](shape, random.Random(seed).random)
    now = most = 0
    sent, arrived = {}, []
    for number, (pause, size) in enumerate(sendings):
        now += pause
        while link.due_ns is not None and link.due_ns <= now:
            arrived.append((link.due_ns, link.take()))
        if link.put(now, number, size):
            sent[number] = now, size
        most = max(most, link.bytes)
    while link.due_ns is not None:
        arrived.append((link.due_ns, link.take()))
    assert [number for _, number in arrived] == list(sent), "what is accepted arrives, once and in order"
    assert len(sent) + link.lost + link.dropped == len(sendings)
    assert most <= shape.room_bytes and link.bytes == 0
    before = None
    for when, number in arrived:
        at, size = sent[number]
        assert when >= at + shape.delay_ns - shape.jitter_ns + int(size * shape.ns_per_byte)
        if before is not None:
            assert when - before >= int(size * shape.ns_per_byte), "no faster than the rate"
        before = when


@given(SENDINGS)
def test_an_idle_link_adds_its_delay_and_the_bytes_time_exactly(sendings):
    link = LinkModel[int](Shape(10**9, 0, 0.0, 2.0, 10**6))
    now = 0
    for number, (pause, size) in enumerate(sendings):
        now += pause + 10**10
        assert link.put(now, number, size)
        assert link.due_ns == now + 10**9 + 2 * size
        assert link.take() == number


def test_jitter_goes_both_ways_and_to_its_full_width():
    link = LinkModel[int](Shape(10**7, 10**6, 0.0, 0.001, 10**9), random.Random(1).random)
    delays = []
    for number in range(2_000):
        now = number * 10**8
        assert link.put(now, number, 100)
        delays.append((link.due_ns or 0) - now)
        link.take()
    assert 9.0e6 <= min(delays) < 9.05e6 and 10.95e6 < max(delays) <= 11.0e6 + 1
    assert sum(delays) / len(delays) == pytest.approx(10e6, rel=0.01)


def test_loss_takes_its_share_and_no_room():
    link = LinkModel[int](Shape(10**7, 0, 0.1, 1.0, 10**9), random.Random(2).random)
    accepted = sum(link.put(0, number, 1_000) for number in range(10_000))
    assert link.lost == 10_000 - accepted == pytest.approx(1_000, rel=0.1)
    assert link.bytes == 1_000 * accepted and not link.dropped


def test_what_comes_last_finds_no_room():
    link = LinkModel[str](Shape(10**7, 0, 0.0, 1.0, 2_000))
    assert [link.put(0, name, 900) for name in "abc"] == [True, True, False]
    assert link.dropped == 1 and link.take() == "a"
    assert link.put(0, "d", 900)
    assert [link.take(), link.take()] == ["b", "d"]


def test_a_link_has_the_shape_of_the_profile_and_the_room_of_netem():
    link = Link(delay_ms=82.5, jitter_ms=1.5, loss_percent=0.5, rate_mbit_per_s=100.0)
    assert shape(link) == Shape(82_500_000, 1_500_000, 0.005, 80.0, packets(link) * 1_500)
    model = LinkModel[int](shape(link), lambda: 0.5)
    model.put(0, 0, 12_500_000)
    assert model.due_ns == 82_500_000 + 10**9, "100 Mbit take a second"


# -- packets -----------------------------------------------------------------------------------------------


def packet(to: str, data: bytes = b"", segment: int = 0, version: int = 4) -> bytes:
    """A TCP segment as a TUN device hands it over; `segment`: bytes of data that each packet of it will have."""
    virtio = struct.pack("=BBHHHH", 1, 1 if segment else 0, 52, segment, 20, 16)
    ip = bytes([version << 4 | 5]) + bytes(15) + socket.inet_aton(to)
    tcp = bytes(12) + bytes([8 << 4]) + bytes(19)
    return virtio + ip + tcp + data


def test_only_ipv4_has_a_destination():
    assert destination(packet("10.77.0.9")) == socket.inet_aton("10.77.0.9")
    assert destination(packet("10.77.0.9", version=6)) is None
    assert destination(packet("10.77.0.9")[: HEADER_BYTES + 19]) is None
    assert destination(b"") is None


def test_a_large_segment_has_the_headers_of_all_its_packets_on_the_wire():
    assert wire_bytes(packet("10.77.0.9", bytes(100))) == 14 + 52 + 100
    assert wire_bytes(packet("10.77.0.9", bytes(4_000), segment=1_448)) == 3 * (14 + 52) + 4_000
    assert wire_bytes(packet("10.77.0.9", bytes(2_896), segment=1_448)) == 2 * (14 + 52) + 2_896
    assert wire_bytes(packet("10.77.0.9", segment=1_448)[:40]) == 14 + 30, "cut short: no header of TCP's"


# -- the loop ----------------------------------------------------------------------------------------------

ADDRESSES = ["10.77.0.1", "10.77.0.2", "10.77.0.3"]
FAST = (1_000_000, 0, 0.0, 0.01, 10**7)


@pytest.fixture
def carried():
    """Three nodes' ends of what stands for devices; `finish` ends the loop and returns its report."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in ADDRESSES]
    for _, theirs in pairs:
        theirs.setblocking(False)
    ended, end = os.pipe()
    full = (*FAST[:4], 100)
    plan = Plan([theirs.fileno() for _, theirs in pairs], ADDRESSES, [0, 1, 2], [[FAST, FAST, full]] * 3)
    forwarder = Forwarder(plan)
    thread = threading.Thread(target=forwarder.run, args=(ended,))
    thread.start()

    def finish():
        os.write(end, b"x")
        thread.join(10)
        assert not thread.is_alive()
        return forwarder.report()

    for mine, _ in pairs:
        mine.settimeout(10)
    yield SimpleNamespace(nodes=[mine for mine, _ in pairs], finish=finish)
    finish()
    for descriptor in (ended, end):
        os.close(descriptor)
    for one in chain.from_iterable(pairs):
        one.close()


def test_packets_go_to_the_node_that_they_are_for_as_they_are(carried):
    there = [packet(ADDRESSES[1], bytes([n]) * 3_000, segment=1_448) for n in range(20)]
    back = packet(ADDRESSES[0], b"back")
    for one in there:
        carried.nodes[0].send(one)
    carried.nodes[1].send(back)
    assert [carried.nodes[1].recv(70_000) for _ in there] == there
    assert carried.nodes[0].recv(70_000) == back
    report = carried.finish()
    assert report["forwarded"]["packets"] == 21
    assert report["forwarded"]["bytes"] == sum(map(len, there)) + len(back)
    assert 0 <= report["lateness_ms"]["median"] <= report["lateness_ms"]["p99"] <= report["lateness_ms"]["max"]


def test_what_is_for_no_peer_or_finds_no_room_goes_nowhere(carried):
    for stray in (
        packet("10.77.0.9"),
        packet("224.0.0.22"),
        packet(ADDRESSES[0]),
        packet(ADDRESSES[1], version=6),
        b"short",
        packet(ADDRESSES[2], bytes(100)),
    ):
        carried.nodes[0].send(stray)
    carried.nodes[0].send(packet(ADDRESSES[1], b"good"))
    assert carried.nodes[1].recv(70_000).endswith(b"good")
    forwarded = carried.finish()["forwarded"]
    assert (forwarded["packets"], forwarded["unknown"], forwarded["dropped"]) == (1, 5, 1)


def test_a_device_that_takes_nothing_is_loss_and_the_others_go_on(carried):
    carried.nodes[1].shutdown(socket.SHUT_RD)
    carried.nodes[0].send(packet(ADDRESSES[1], b"lost"))
    carried.nodes[1].send(packet(ADDRESSES[0], b"good"))
    assert carried.nodes[0].recv(70_000).endswith(b"good")
    report = carried.finish()
    assert report["forwarded"]["dropped"] == 1 and report["forwarded"]["packets"] == 1


def test_nodes_of_a_region_share_the_link_that_leads_there():
    plan = Plan([3, 4, 5, 6], [*ADDRESSES, "10.77.0.4"], [0, 1, 0, 1], [[FAST, FAST]] * 2)
    forwarder = Forwarder(plan)
    routes = {address: forwarder._routes[3][socket.inet_aton(address)] for address in ("10.77.0.2", "10.77.0.4")}
    assert {number for number, _ in routes.values()} == {routes["10.77.0.2"][0]}
    assert [device for _, device in routes.values()] == [4, 6]
    assert socket.inet_aton("10.77.0.1") not in forwarder._routes[3], "not to itself"
    assert len(forwarder._links) == 8, "to both regions from each node"


def test_lateness_is_counted_in_steps_of_ten_microseconds():
    late = Lateness()
    assert late.milliseconds() is None
    for number in range(98):
        late.note(number * 100)
    late.note(3_000_000)
    late.note(60 * 10**9)
    assert late.milliseconds() == {"median": 0.01, "p99": 3.01, "max": 60_000.0}
