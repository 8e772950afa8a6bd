"""Hosts and ports as text and for ZeroMQ. A host is a name, which stands for an IPv4 address, or an address."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
#: what ends in a number is an address (RFC 1123, section 2.1), or nothing
_NAME = re.compile(rf"(?=.{{1,254}}$)({_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?", re.ASCII)


def is_host(text: str, *, to_listen: bool = False) -> bool:
    """Whether it could be one: names are looked up later.

    No zone (`fe80::1%eth0`): it means something else on each machine. `to_listen`: all addresses of a machine, such as
    `0.0.0.0`, are one, too.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        return False
    many = address.is_multicast or text == "255.255.255.255"
    return not many and (to_listen or not address.is_unspecified)


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
