"""Whom to follow: fast leader election in its simplest form. All agree on the best candidate that a majority knows of.

A node that looks for a leader begins a round with a vote for itself, and says so to all. A better vote of the same
round it makes its own. A round ends for a node when a majority votes as it does. Votes of earlier rounds do not count:
the candidate may be gone. The better candidate has followed the later leader, or has more of the same history, or the
higher index.

What this may get wrong costs time only. Two nodes may think themselves elected; a majority accepts one as the leader of
an epoch, and the histories that count are those that the nodes of that majority show then.

Source: Medeiros, "ZooKeeper's atomic broadcast protocol" (2012), section 3; without its finalisation wait.
"""

from honeybadger.protocols.context import Context
from honeybadger.protocols.replicated_log.log import Log
from honeybadger.protocols.replicated_log.promise import Promise
from honeybadger.protocols.zab.messages import Look


def _order(vote: Look) -> tuple[int, int, int, int]:
    return vote.current_epoch, vote.last_term, vote.last, vote.node


class Election:
    """One node's vote, and the others' of the same round."""

    def __init__(self, context: Context, log: Log, promise: Promise) -> None:
        self._context = context
        self._log = log
        self._promise = promise
        self._vote = Look(0, 0, 0, 0, 0, context.me)
        #: whom others vote for
        self._votes: dict[int, int] = {}

    def begin(self, after: int = 0) -> None:
        """A new round, later than any that this node knows of and than `after`."""
        number = max(self._vote.round, after) + 1
        log = self._log
        self._vote = Look(0, number, self._promise.followed, log.last_term, log.last, self._context.me)
        self._votes.clear()
        self.announce()

    def announce(self) -> None:
        self._context.outbox.broadcast(self._vote)

    def hear(self, sender: int, message: Look) -> None:
        """Another node's vote."""
        if message.round < self._vote.round:
            self._context.outbox.send(sender, self._vote)
            return
        if message.round > self._vote.round:
            self.begin(message.round - 1)
        self._votes[sender] = message.node
        if _order(message) > _order(self._vote):
            self._vote = message
            self.announce()

    @property
    def round(self) -> int:
        return self._vote.round

    @property
    def winner(self) -> int | None:
        """Whom a majority would follow, this node included."""
        node = self._vote.node
        agree = sum(other == node for other in self._votes.values()) + 1
        return node if self._vote.round and agree >= self._context.quorums.quorum else None
