"""How the log of a new leader becomes everybody's, in protocols whose new leader takes the best log of a majority.

The best log is that of the highest leader that any of the majority has followed, and of these the longest. For that to
be right, a node follows a leader only when it has the whole log with which that leader began, and nothing else: then
what a majority accepted under a leader is in the log of everyone who followed that leader or a later one.

A log is copied in one way, by the new leader from whoever has the best one, and by everybody else from the new leader:
who lacks entries asks for them and gets each as a message of its own. While it copies, a node cuts off only what is not
in the better log, so nothing committed goes, whenever it crashes.
"""

from honeybadger.protocols.replicated_log.log import Log
from honeybadger.protocols.replicated_log.messages import Heartbeat
from honeybadger.protocols.replicated_log.promise import Promise
from honeybadger.protocols.replicated_log.replication import Replication


class Takeover:
    """One node's copying before it follows, or is, the leader of the promised term."""

    def __init__(self, log: Log, promise: Promise, replication: Replication) -> None:
        self._log = log
        self._promise = promise
        self._replication = replication
        #: what is copied: the end of the better log when copying began
        self.goal: Heartbeat | None = None

    @property
    def complete(self) -> bool:
        return self.goal is not None and self._replication.matched >= self.goal.last

    def copy(self, source: int, end: Heartbeat) -> None:
        """Copy the log of `source` up to its `end`, for the term that stands there; at the source's word again."""
        if self.goal is None:
            self._replication.follow(source, end.term, answers=False)
            self.goal = end
        self._replication.heartbeat(end)

    def give_up(self) -> None:
        """The term is over before it began: this node copies from nobody."""
        self.goal = None
        self._replication.follow(None, self._promise.term)

    def finish(self) -> None:
        """This node has the whole log with which the leader of the promised term begins, and drops what is not in
        it."""
        if self.goal is not None and self._log.last > self._replication.matched:
            self._log.cut(self._replication.matched, self._promise.term)
        self.goal = None
        self._promise.follow(self._promise.term)
