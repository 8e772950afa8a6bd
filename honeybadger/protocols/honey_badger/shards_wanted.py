"""When a node asks for the shards that it lacks: not at once.

2f+1 READYs often come before the last data shard, above all where nodes share a processor or a slow line. A node that
asked at once would get most of what it asks for twice. So it looks first: at the end of a tick, and no more often than
every `LOOK_S`. A tick is as long as the machine is busy, so this is patience that grows with the load. At the second
look it asks as many nodes as shards are missing; at the fourth f more, who make up for those that do not answer, and
from then on it asks whenever somebody else has voted. The looks change neither safety nor liveness, since they come.
"""

from collections.abc import Sequence
from typing import Protocol

from honeybadger.protocols.context import Timers
from honeybadger.protocols.quorums import Quorums

#: name of the timer
LOOK = "shards"
#: least time between two looks, seconds
LOOK_S = 0.01
#: at which look to ask, and at which to ask f nodes more
ASK, ASK_MORE = 2, 4


class Lacking(Protocol):
    """A broadcast in which shards are asked for."""

    @property
    def lacks_shards(self) -> bool:
        """Whether delivery waits for nothing but shards."""

    def ask(self, spare: int) -> None:
        """Ask as many nodes as shards are missing, and `spare` more."""


class ShardsWanted:
    """The broadcasts of a node that lack shards."""

    def __init__(self, quorums: Quorums, timers: Timers) -> None:
        self._quorums = quorums
        self._timers = timers
        #: and how often each was looked at
        self._looks: dict[Lacking, int] = {}
        self._timer_set = False

    def add(self, broadcast: Lacking) -> None:
        """Its delivery waits for shards, still or again."""
        if self._looks.setdefault(broadcast, 0) >= ASK_MORE:
            broadcast.ask(self._quorums.faults)
        else:
            self._set_timer()

    def forget(self, broadcasts: Sequence[object]) -> None:
        """Nobody here waits for these any more."""
        for broadcast in [broadcast for broadcast in self._looks if broadcast in broadcasts]:
            del self._looks[broadcast]

    def look(self) -> None:
        """The timer has expired."""
        self._timer_set = False
        for broadcast in [broadcast for broadcast in self._looks if not broadcast.lacks_shards]:
            del self._looks[broadcast]
        for broadcast, looks in self._looks.items():
            if looks < ASK_MORE:
                self._looks[broadcast] = looks + 1
                if looks + 1 >= ASK:
                    broadcast.ask(self._quorums.faults if looks + 1 == ASK_MORE else 0)
        if any(looks < ASK_MORE for looks in self._looks.values()):
            self._set_timer()

    def _set_timer(self) -> None:
        if not self._timer_set:
            self._timer_set = True
            self._timers.set(LOOK, LOOK_S)
