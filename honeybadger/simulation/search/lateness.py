"""Which messages are late, and by how much: the order that a scheduler made, written down so that it can be replayed.

A message is known by its link and its number there, not by when it was sent: so the rest of an order still means the
same when some of it is taken away.
"""

import random
from collections import defaultdict
from collections.abc import Mapping

from honeybadger.protocols.wire import Message
from honeybadger.simulation.schedulers import Order, Scheduler, View
from honeybadger.simulation.search.case import Link


class Numbered(Scheduler):
    """Knows each message that is on its way by its link."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int], int] = defaultdict(int)
        #: step of sending, which no two messages share → link
        self._links: dict[float, Link] = {}
        #: link → steps, for those that are not in order of sending
        self.late: dict[Link, float] = {}

    def link(self, step: float, sender: int, recipient: int) -> Link:
        """Of the message that was sent at `step`: asked again, the same."""
        if step not in self._links:
            self._links[step] = (sender, recipient, self._sent[sender, recipient])
            self._sent[sender, recipient] += 1
        return self._links[step]


class Recorder(Numbered):
    """Delivers in the order of `inner` until step `fair_after` (None: always), then of sending; notes who is late."""

    def __init__(self, inner: Order, fair_after: int | None) -> None:
        super().__init__()
        self.inner = inner
        self._fair_after = fair_after

    def begin(self, view: View) -> None:
        if isinstance(self.inner, Scheduler):
            self.inner.begin(view)

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        link = self.link(step, sender, recipient)
        fair = self._fair_after is not None and step > self._fair_after
        key = step if fair else self.inner(step, sender, recipient, message, rng)
        self.late.pop(link, None)
        if key != step:
            self.late[link] = key - step
        return key


class Recorded(Numbered):
    """Delivers in order of sending but for what is `late`."""

    def __init__(self, late: Mapping[Link, float]) -> None:
        super().__init__()
        self._planned = late

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        link = self.link(step, sender, recipient)
        if link not in self._planned:
            return step
        self.late[link] = self._planned[link]
        return step + self._planned[link]
