"""Measures round trips between the namespaces of the nodes, with UDP datagrams.

The kernel notes when a datagram arrives. The time until this process reads it does not count at either end, or a busy
machine would look like a slow network. There is only one clock.
"""

import selectors
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import median

#: datagrams of each pair that count; fewer with many pairs
PROBES = 9
FEWEST_PROBES = 3
MOST_DATAGRAMS = 5_000
#: seconds between datagrams, so that they do not queue behind each other here
PAUSE_S = 0.002
PORT = 7_007
#: question or answer, the pair, when it was sent and how long it lay at the other end (nanoseconds)
_PROBE = struct.Struct("!BHHqq")
_ASK, _ANSWER = 0, 1
#: Linux: deliver the time of arrival with each datagram, as seconds and nanoseconds; Python has no name for it
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("@ll")

Pair = tuple[int, int]


def open_socket(address: str) -> socket.socket:
    """A UDP socket of the current namespace."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, PORT))
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.setblocking(False)
    return made


def measure(sockets: Sequence[socket.socket], patience_s: float, pairs: Sequence[Pair] = ()) -> dict[Pair, float]:
    """Pair (a < b) → median round trip in seconds, for `pairs` or all pairs, but not for those without an answer.

    `sockets`: one in each node's namespace; all are served here, by one thread. `patience_s`: longest round trip.
    """
    probed = list(pairs) or list(combinations(range(len(sockets)), 2))
    addresses = [one.getsockname() for one in sockets]
    each = max(FEWEST_PROBES, min(PROBES, MOST_DATAGRAMS // max(1, len(probed))))
    times: dict[Pair, list[float]] = defaultdict(list)
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        # The first round also resolves hardware addresses, so it does not count.
        for number in range(each + 1):
            for a, b in probed:
                sockets[a].sendto(_PROBE.pack(_ASK, a, b, time.time_ns(), 0), addresses[b])
                _serve(selector, addresses, times, PAUSE_S)
            if not number:
                _serve(selector, addresses, times, patience_s)
                times.clear()
        _serve(selector, addresses, times, patience_s)
    return {pair: median(seconds) for pair, seconds in times.items()}


def _serve(
    selector: selectors.BaseSelector, addresses: Sequence[tuple[str, int]], times: dict[Pair, list[float]], for_s: float
) -> None:
    """For `for_s` seconds, answer questions and note the round trips of answers."""
    end = time.monotonic() + for_s
    while (rest := end - time.monotonic()) > 0:
        for key, _ in selector.select(rest):
            one: socket.socket = key.fileobj  # type: ignore[assignment]
            data, extra, _, sender = one.recvmsg(64, socket.CMSG_SPACE(_TIME.size))
            if len(data) != _PROBE.size or sender not in addresses:
                continue
            kind, a, b, sent, lay = _PROBE.unpack(data)
            arrived = _arrival(extra)
            if kind == _ASK:
                one.sendto(_PROBE.pack(_ANSWER, a, b, sent, time.time_ns() - arrived), sender)
            else:
                times[a, b].append((arrived - sent - lay) / 1e9)


def _arrival(extra: Sequence[tuple[int, int, bytes]]) -> int:
    """When the kernel got the datagram, nanoseconds of the clock of `time.time_ns`."""
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIME.unpack(data[: _TIME.size])
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()
