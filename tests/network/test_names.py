"""Peers whose hosts have names: found when the name appears, followed when it moves, and harmless while it is away."""

import threading

import gevent
import pytest
from support.network import HOST, Endpoint, credentials, free_ports, until

import honeybadger.network.names as names
from honeybadger.network.names import is_name


@pytest.fixture
def book(monkeypatch):
    """Name → address, in place of DNS."""
    known: dict[str, str] = {}
    monkeypatch.setattr(names, "_look_up", known.get)
    monkeypatch.setattr(names, "PAUSE_S", 0.05)
    return known


def test_lookups_that_fail_are_no_address():
    assert names._look_up("localhost") == HOST
    assert names._look_up("no-such-host.invalid") is None and names._look_up("é" * 80) is None


def test_what_is_a_name():
    assert is_name("node-1") and is_name("a.b.example") and is_name("localhost")
    assert not any(map(is_name, ["127.0.0.1", "::1", "a b", "*", "a/b", "é", ""]))


def test_a_peer_is_found_when_its_name_appears_and_followed_when_it_moves(book):
    members, ports = credentials(2), free_ports(2)
    mine = Endpoint(members[0], [(HOST, ports[0]), ("other", ports[1])])
    addresses = [(HOST, ports[0]), (HOST, ports[1])]
    peer = Endpoint(members[1], addresses)
    for _ in range(20):
        mine.serve(), peer.serve()
        gevent.sleep(0.01)
    assert not mine.up(1)
    book["other"] = HOST
    until(lambda: mine.up(1), mine.serve, peer.serve)
    # It comes back at another address of this machine.
    peer.close()
    until(lambda: not mine.up(1), mine.serve)
    book["other"] = "127.0.0.2"
    peer = Endpoint(members[1], [(HOST, ports[0]), ("127.0.0.2", ports[1])])
    until(lambda: mine.up(1), mine.serve, peer.serve)
    assert mine.transport.send(1, [b"hello"])
    until(lambda: peer.received == [(0, [b"hello"])], mine.serve, peer.serve)
    mine.close()
    peer.close()


def test_a_reset_before_the_name_is_known_is_harmless(book):
    members, ports = credentials(2), free_ports(2)
    mine = Endpoint(members[0], [(HOST, ports[0]), ("other", ports[1])])
    mine.transport.reset(1)
    assert not mine.transport.send(1, [b"x"])
    mine.close()


def test_a_name_that_nobody_answers_for_does_not_hold_up_the_others(monkeypatch):
    """The lookup hangs as long as the test lasts; a peer with an address is served meanwhile."""
    hangs, end = threading.Event(), threading.Event()

    def look_up(name: str) -> None:
        hangs.set()
        end.wait(60)

    monkeypatch.setattr(names, "_look_up", look_up)
    members, ports = credentials(3), free_ports(3)
    addresses = [(HOST, port) for port in ports]
    one = Endpoint(members[0], [*addresses[:2], ("dead", ports[2])])
    other = Endpoint(members[1], addresses)
    try:
        until(lambda: one.up(1) and other.up(0) and hangs.is_set(), one.serve, other.serve)
        assert one.transport.send(1, [b"x"])
        until(lambda: other.received == [(0, [b"x"])], one.serve, other.serve)
        assert not one.up(2)
    finally:
        end.set()
        one.close()
        other.close()
