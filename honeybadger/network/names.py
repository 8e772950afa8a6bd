"""Looks up the names of peers' hosts.

ZeroMQ looks names up on the thread that serves all connections, so a name without an answer (in a Docker Swarm, that of
a node that is down) would hold up all of them for seconds. This module uses a separate thread. It repeats the look-up
while a peer is away, because the peer may come back at another address.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping

import gevent
from gevent.threadpool import ThreadPool

#: seconds between rounds of look-ups
PAUSE_S = 0.5


def is_name(host: str) -> bool:
    """Whether `host` has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9_.-]+", host) is not None
    return False


class NameWatch:
    """Looks up `names` (by peer) one after the other and calls `located(peer, address)` on the hub's thread.

    `away(peer)`: whether to look it up now.
    """

    def __init__(
        self, names: Mapping[int, str], away: Callable[[int], bool], located: Callable[[int, str], None]
    ) -> None:
        self._names = names
        self._away = away
        self._located = located
        # Without names nothing need run.
        self._greenlet = gevent.spawn(self._run, ThreadPool(1)) if names else None

    def close(self) -> None:
        """Look up nothing more. The result of a running look-up is ignored."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _run(self, pool: ThreadPool) -> None:
        while True:
            for peer, name in self._names.items():
                if self._away(peer):
                    address = pool.apply(_look_up, (name,))
                    if address is not None:
                        self._located(peer, address)
            gevent.sleep(PAUSE_S)


def _look_up(name: str) -> str | None:
    """An IPv4 address, or None if the name has none now."""
    try:
        return socket.gethostbyname(name)
    except (OSError, UnicodeError):
        return None
