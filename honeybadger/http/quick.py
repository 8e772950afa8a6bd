"""Answers for those who ask often, probes and Prometheus, without the usual way through gevent's parser and Falcon,
which costs three times as much. Only requests that are as plain as can be are taken here; others go the usual way, to
the same answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from http.client import responses
from typing import Generic, TypeVar

from honeybadger.http.budget import CpuShare

T = TypeVar("T")
#: an answer is good for so long, seconds
KEPT_S = 0.5
#: what a request may not have here: a body, or a wish about its connection
_SPECIAL = re.compile(
    rb"^(content-length|transfer-encoding|connection|expect|upgrade)\s*:", re.IGNORECASE | re.MULTILINE
)
_PLAIN = re.compile(rb"GET (/[a-z]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n){0,32})\r\n")


class Kept(Generic[T]):
    """A function of nothing whose result is kept for `KEPT_S`."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: tuple[float, T] | None = None

    def __call__(self) -> T:
        now = time.monotonic()
        if self._made is None or now - self._made[0] > KEPT_S:
            self._made = (now, self._make())
        return self._made[1]


class QuickReplies:
    """Whole replies by path. `makers`: path → its status, content type and body; `budget` pays for making them."""

    def __init__(self, makers: Mapping[bytes, Callable[[], tuple[int, str, bytes]]], budget: CpuShare) -> None:
        self._makers = makers
        self._budget = budget

    def find(self, received: bytes) -> tuple[int, int, bytes] | None:
        """Of what begins with a plain request for one of the paths: its length, the status, the reply; else None."""
        found = _PLAIN.match(received)
        if found is None or found[1] not in self._makers or _SPECIAL.search(found[2]):
            return None
        began = time.thread_time()
        try:
            status, kind, body = self._makers[found[1]]()
        except Exception:
            # A bug of ours. The usual way meets it too, and tells both the client and a person.
            return None
        finally:
            self._budget.charge(time.thread_time() - began)
        head = (
            f"HTTP/1.1 {status} {responses[status]}\r\nContent-Type: {kind}\r\nX-Content-Type-Options: nosniff\r\n"
            f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return found.end(), status, head.encode("ascii") + body
