"""When a node asks for the shards that it lacks: not at once.

2f+1 READYs often come before the last data shard, above all where nodes share a processor or a slow line. A node that
asked at once would get most of what it asks for twice. So it looks first: at the end of a tick, and no more often than
every `LOOK_S`. A tick is as long as the machine is busy, so this is patience that grows with the load. At the second
look it asks as many nodes as shards are missing; at the fourth, and at every one after, f more, who make up for those
that do not answer. The looks change neither safety nor liveness, since they come as long as something is missing.
"""

from honeybadger.protocols.context import Timers
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.protocols.quorums import Quorums

#: name of the timer
LOOK = "shards"
#: least time between two looks, seconds
LOOK_S = 0.01
#: at which look to ask, and at which to ask f nodes more
ASK, ASK_MORE = 2, 4


class ShardsWanted:
    """The broadcasts of a node that lack shards."""

    def __init__(self, quorums: Quorums, timers: Timers) -> None:
        self._quorums = quorums
        self._timers = timers
        #: and how often each was looked at
        self._looks: dict[ReliableBroadcast, int] = {}

    def add(self, broadcast: ReliableBroadcast) -> None:
        """Its delivery waits for shards."""
        if not self._looks:
            self._timers.set(LOOK, LOOK_S)
        self._looks[broadcast] = 0

    def forget(self, broadcasts: list[ReliableBroadcast]) -> None:
        """Nobody here waits for these any more."""
        for broadcast in broadcasts:
            self._looks.pop(broadcast, None)

    def look(self) -> None:
        """The timer has expired."""
        for broadcast in [broadcast for broadcast in self._looks if not broadcast.lacks_shards]:
            del self._looks[broadcast]
        for broadcast in self._looks:
            looks = self._looks[broadcast] = self._looks[broadcast] + 1
            if looks >= ASK:
                broadcast.ask(self._quorums.faults if looks >= ASK_MORE else 0)
        if self._looks:
            self._timers.set(LOOK, LOOK_S)
