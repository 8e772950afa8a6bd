"""Hosts and ports as text and for ZeroMQ. A host is a name, which stands for an IPv4 address, or an address."""

from __future__ import annotations

from typing import Any


def is_ipv6(host: str) -> bool:
    """Of hosts that a manifest may hold only IPv6 addresses have colons."""
    return ":" in host


def place(host: str, port: int) -> str:
    """Host and port, as people and ZeroMQ read them: `10.0.0.1:7100`, `[fd00::1]:7100`."""
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def endpoint(socket: Any, host: str, port: int) -> str:
    """What to bind or connect the ZeroMQ socket to."""
    if is_ipv6(host):
        # For these only: with it ZeroMQ would look names up otherwise.
        socket.ipv6 = True
    return f"tcp://{place(host, port)}"
