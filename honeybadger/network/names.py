"""Where peers are whose hosts have names. ZeroMQ looks names up on the one thread that also serves all connections, and
a name that nobody answers for (in a Docker Swarm: that of a node that is down) would hold up all of them for seconds.
So they are looked up here, on a thread of its own, again and again while a peer is away: it may come back elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping

import gevent
from gevent.threadpool import ThreadPool

#: between rounds of lookups, seconds
PAUSE_S = 0.5


def is_name(host: str) -> bool:
    """Whether `host` has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9_.-]+", host) is not None
    return False


class NameWatch:
    """Looks up `names` (by peer) one after the other; `found(peer, address)` is called on the hub's thread.

    `away(peer)`: whether it is to be looked up now.
    """

    def __init__(
        self, names: Mapping[int, str], away: Callable[[int], bool], found: Callable[[int, str], None]
    ) -> None:
        self._names = names
        self._away = away
        self._found = found
        self._pool = ThreadPool(1)
        self._greenlet = gevent.spawn(self._run)

    def close(self) -> None:
        """Look up nothing more. A lookup that is on its way is left behind."""
        self._greenlet.kill(block=False)

    def _run(self) -> None:
        while True:
            for peer, name in self._names.items():
                if self._away(peer):
                    address = self._pool.apply(_look_up, (name,))
                    if address is not None:
                        self._found(peer, address)
            gevent.sleep(PAUSE_S)


def _look_up(name: str) -> str | None:
    """An IPv4 address, None if there is none now."""
    try:
        return socket.gethostbyname(name)
    except (OSError, UnicodeError):
        return None
