"""A node's numbers tell of connections that it had to cut, and of how late it was."""

import time
from pathlib import Path

import gevent
import pytest
from support.endless import MIB, attack, connect, gone, part
from support.lone_node import Home
from support.network import until

from honeybadger.network import receive_guard, transport
from honeybadger.node import client_api
from honeybadger.node.usage import LAG_PERIOD_S, HubLag


def test_connections_that_are_cut_and_the_longest_tick_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real sockets, without CURVE so that messages without end can be sent by hand."""
    monkeypatch.setattr(receive_guard, "OVERHEAD_BYTES", MIB // 8)
    monkeypatch.setattr(transport, "IN_FLIGHT_BYTES", MIB)
    monkeypatch.setattr(client_api, "LONGEST_REQUEST", MIB)
    monkeypatch.setattr(client_api, "UNFINISHED_BYTES", MIB)
    home = Home(tmp_path, nodes=2, curve=False)
    node, me = home.node(), home.manifest.members[0]
    report = node.parts.report

    def step() -> None:
        node.each_tick()
        while node.core.peers.receive() is not None:
            pass
        node.parts.clients.serve()
        gevent.sleep(0)

    def told() -> tuple[int, int]:
        """Connections cut, of peers and of clients, by status and usage."""
        cut = report.status()["connections_cut"]
        assert report.usage()["connections_cut"] == cut
        return cut["peers"], cut["clients"]

    peer = connect(me.port, b"DEALER", step, member=b"1")
    client = connect(me.client_port, b"DEALER", step)
    assert told() == (0, 0)
    attack(peer)
    until(lambda: gone(peer), step)
    assert told() == (1, 0)
    client.sendall(part(10, more=False))
    attack(client)
    until(lambda: gone(client), step)
    assert told() == (1, 1)
    for raw in (peer, client):
        raw.close()
    node.parts.reactor.longest_tick_s = 0.5
    assert [report.usage()["longest_tick_s"] for _ in range(2)] == [0.5, 0.0]
    node._close()


def test_a_blocked_loop_is_noticed_and_forgotten_when_it_was_told() -> None:
    lag = HubLag()
    assert lag.take() is None, "not started"
    lag.start()
    try:
        # Nobody but this greenlet runs meanwhile: the timer is late by the rest of the pause.
        time.sleep(4 * LAG_PERIOD_S)
        gevent.sleep(0.01)
        told = lag.take()
        assert told is not None and told >= 2.5 * LAG_PERIOD_S
        assert lag.take() == 0.0
    finally:
        lag.close()
    assert lag.take() is None
