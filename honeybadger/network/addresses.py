"""Hosts and ports as text and for ZeroMQ. A host is an address, or a name with an IPv4 address."""

import ipaddress
import re
from typing import Any

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
#: a text that ends in a number is an address or not a host (RFC 1123, section 2.1)
_NAME = re.compile(rf"(?=.{{1,254}}$)({_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?", re.ASCII)


def is_host(text: str, *, to_listen: bool = False) -> bool:
    """Whether it has the form of a host; names are looked up later.

    Zones (`fe80::1%eth0`) are refused: they differ between machines. `to_listen`: also accept `0.0.0.0` and the like.
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
    """Among the hosts that a manifest may hold, only IPv6 addresses have colons."""
    return ":" in host


def place(host: str, port: int) -> str:
    """Host and port, as people and ZeroMQ read them: `10.0.0.1:7100`, `[fd00::1]:7100`."""
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def endpoint(socket: Any, host: str, port: int) -> str:
    """The endpoint to bind or connect the ZeroMQ socket to."""
    if is_ipv6(host):
        # Only for these: it changes how ZeroMQ looks names up.
        socket.ipv6 = True
    return f"tcp://{place(host, port)}"
