"""Which session of a peer a node listens to, when more than one process greets it with the peer's keys.

A session is one run of a process. A node listens to one of a peer at a time, and the first that greets is taken.
Another one takes its place if its greeting shows that it heard a greeting of this node that was sent since. Only who
sits at the peer's address and has its keys can have, and a late word of a dead incarnation does not show it. So a
second process with the peer's keys at another address is not listened to in the place of the first; one that had the
address for a while loses it again; and no session is refused for ever. Each has a stream of its own: see `links`.

Two processes with one identity are a faulty node, of which people must be told. That is proven in two ways. A session
that was listened to before the present one still answers. Or a session greets again and again, while the present one
acknowledges what was sent in between. Neither happens when one process takes the place of another.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from honeybadger.network.codec import Header, Hello

#: sessions of a peer that were listened to before the present one and are remembered
FORMER_SESSIONS = 8
#: a session that greets so often beside one that is alive is alive itself, and not a late word
RIVAL_GREETINGS = 3


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a peer's greeting means. `taken`: its session is listened to; `takes_over`: in the place of another one;
    `twin`: two processes use the peer's keys."""

    taken: bool
    takes_over: bool = False
    twin: bool = False


class Sessions:
    """Those of one peer. `own`: the session of this node."""

    def __init__(self, own: int) -> None:
        self._own = own
        #: the last greeting, whoever it was of: session, and the number before its base
        self.heard = (0, 0)
        #: the highest number that the present session has acknowledged
        self.acknowledged = 0
        #: whether the peer is to be told that two processes use its keys
        self.twice = False
        #: the present session is listened to since this node held numbers above this one
        self._since = 0
        self._former: deque[int] = deque(maxlen=FORMER_SESSIONS)
        #: a session that greets beside the present one; how often, not counting times between which nothing was heard
        #: of the present one; and what that may have acknowledged before the last time
        self._rival = self._rival_greetings = self._rival_number = 0

    def greeted(self, header: Header, hello: Hello, present: int, highest: int) -> Greeting:
        """Judge a greeting beside the `present` session, 0 if there is none. `highest`: what may be acknowledged by
        now."""
        self.heard = (header.session, header.base - 1)
        if present in (0, header.session):
            return Greeting(taken=True)
        session, number = hello.heard
        answers = session == self._own and number >= self._since
        twin = (answers and header.session in self._former) or self._stays(header.session, highest)
        self.twice |= twin
        return Greeting(taken=answers, takes_over=answers, twin=twin)

    def changed(self, former: int, since: int) -> None:
        """Another one takes the place of the `former`. Numbers above `since` are given to it, and were to no other."""
        self._former.append(former)
        self._since = self.acknowledged = since
        self._rival = 0

    def _stays(self, session: int, highest: int) -> bool:
        """Whether a session keeps greeting beside the present one."""
        if session != self._rival:
            self._rival, self._rival_greetings = session, 0
        elif self.acknowledged <= self._rival_number:
            return False
        self._rival_greetings += 1
        self._rival_number = highest
        return self._rival_greetings >= RIVAL_GREETINGS
