"""Decides which session of a peer a node listens to, if several processes greet it with the peer's keys.

A *session* is one run of a process. A node listens to one session of a peer at a time; the first that greets is taken.
Another one takes its place if its greeting shows that it heard a greeting that this node sent since then. Only a
process at the peer's address and with its keys can have heard that; a late message of a dead process cannot show it. So
a second process with the peer's keys at another address does not replace the first. A process that had the address for
a while loses its place again. No session is refused for good.

Two processes with one identity are a faulty node, which people must hear about. Two things prove it. A session that was
listened to before the present one still answers. Or a session greets again and again, while the present one
acknowledges what was sent in between. Neither happens if one process merely replaces another.
"""

from collections import deque
from dataclasses import dataclass

from honeybadger.network.codec import Header, Hello

#: former sessions of a peer that are remembered
FORMER_SESSIONS = 8
#: a session that greets this many times while another one is alive is alive itself, and not a late message
RIVAL_GREETINGS = 3


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a peer's greeting means. `taken`: the node listens to its session; `takes_over`: in the place of another
    one; `twin`: two processes use the peer's keys."""

    taken: bool
    takes_over: bool = False
    twin: bool = False


class Sessions:
    """The sessions of one peer. `own`: the session of this node."""

    def __init__(self, own: int) -> None:
        self._own = own
        #: the last greeting from any session: the session, and the number before its base
        self.heard = (0, 0)
        #: the highest number that the present session has acknowledged
        self.acknowledged = 0
        #: whether the peer is to be told that two processes use its keys
        self.twice = False
        #: numbers above this one belong to the present session
        self._since = 0
        self._former: deque[int] = deque(maxlen=FORMER_SESSIONS)
        #: another session that greets; how many times, counting only those between which the present session was heard;
        #: and the highest number that the present one could have acknowledged the last time
        self._rival = self._rival_greetings = self._rival_number = 0

    def greeted(self, header: Header, hello: Hello, present: int, highest: int) -> Greeting:
        """Judge a greeting. `present`: the present session, 0 if there is none; `highest`: the highest number that can
        have been acknowledged."""
        self.heard = (header.session, header.base - 1)
        if present in (0, header.session):
            return Greeting(taken=True)
        session, number = hello.heard
        answers = session == self._own and number >= self._since
        twin = (answers and header.session in self._former) or self._stays(header.session, highest)
        self.twice |= twin
        return Greeting(taken=answers, takes_over=answers, twin=twin)

    def changed(self, former: int, since: int) -> None:
        """A new session replaces `former`. Numbers above `since` are for it alone."""
        self._former.append(former)
        self._since = self.acknowledged = since
        self._rival = 0

    def _stays(self, session: int, highest: int) -> bool:
        """Whether a session keeps greeting although the present one is alive."""
        if session != self._rival:
            self._rival, self._rival_greetings = session, 0
        elif self.acknowledged <= self._rival_number:
            return False
        self._rival_greetings += 1
        self._rival_number = highest
        return self._rival_greetings >= RIVAL_GREETINGS
