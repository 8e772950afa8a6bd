"""What must hold before a node starts."""

import resource
import socket
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import zmq

from honeybadger.cluster import processes
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.preflight import BASE_DESCRIPTORS, DESCRIPTORS_PER_PEER, check_machine

Limits = list[tuple[int, int]]


def limits(patch: pytest.MonkeyPatch, soft: int, hard: int) -> Limits:
    made: Limits = []
    patch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    patch.setattr(resource, "setrlimit", lambda which, limit: made.append(limit))
    return made


def test_enough_descriptors_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, 100_000, 100_000)
    check_machine(4, True)
    assert made == []


def test_a_soft_limit_is_raised_generously(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what the members need: strangers' idle connections take descriptors too."""
    needed = BASE_DESCRIPTORS + DESCRIPTORS_PER_PEER * 100
    for hard, soft in ((needed, needed), (100_000, 65_536), (resource.RLIM_INFINITY, 65_536)):
        made = limits(monkeypatch, 256, hard)
        check_machine(100, True)
        assert made == [(soft, hard)]


def test_a_hard_limit_that_is_too_low_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, 256, 512)
    with pytest.raises(ClusterError, match="the limit is 512"):
        check_machine(100, True)


def test_zeromq_without_curve_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda what: False)
    with pytest.raises(ClusterError, match="without CURVE"):
        check_machine(4, True)
    check_machine(4, False)


def test_free_ports_are_not_those_that_outgoing_connections_get(monkeypatch, tmp_path):
    """While a node is down, a connection of any process could take such a port, and the node could not come back."""
    limits = tmp_path / "range"
    limits.write_text(f"{processes.LOWEST_PORT + 40}\t60999\n")
    monkeypatch.setattr(processes, "_EPHEMERAL", limits)
    # Who else listens on this machine decides nothing.
    unused = SimpleNamespace(bind=lambda place: None, setsockopt=lambda *_: None)
    unheard = SimpleNamespace(socket=lambda: nullcontext(unused), SOL_SOCKET=1, SO_REUSEADDR=2)
    monkeypatch.setattr(processes, "socket", unheard)
    found = processes.free_ports(12)
    assert len(set(found)) == 12
    assert all(processes.LOWEST_PORT <= port < processes.LOWEST_PORT + 40 for port in found)
    with pytest.raises(ClusterError, match=r"of 41 ports are free"):
        processes.free_ports(41)


@pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux only: run the tests there")
def test_ports_are_ours_until_the_next_call():
    """No other process finds them free, but a node can listen on them."""
    (port,) = processes.free_ports(1)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with zmq.Context() as context, context.socket(zmq.PULL) as node:
        node.bind(f"tcp://127.0.0.1:{port}")
    processes.free_ports(1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
