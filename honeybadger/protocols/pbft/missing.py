"""Batches that this node knows by digest only: it asks for them, one node at a time, and answers those who ask."""

from __future__ import annotations

from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.messages import Batch, Fetch
from honeybadger.protocols.pbft.news import News
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.statements import NULL
from honeybadger.protocols.pbft.suspicion import FETCH

#: how often a missing batch is asked for, seconds
FETCH_S = 0.25


class MissingBatches:
    """See the module."""

    def __init__(self, state: State, news: News) -> None:
        self._state = state
        self._news = news
        self._turn = 0
        self._asking = False

    @property
    def slots(self) -> list[Slot]:
        """Those that lack a batch."""
        return [slot for slot in self._state.slots.values() if slot.missing is not None]

    def ask_soon(self) -> None:
        """Not at once: usually the batch is on its way."""
        if not self._asking:
            self._asking = True
            self._state.context.timers.set(FETCH, FETCH_S / 5)

    def ask(self) -> None:
        """Ask one node for each missing batch, another one each time: at least f+1 correct nodes have whatever was
        prepared."""
        missing = self.slots
        self._asking = bool(missing)
        if not missing:
            return
        nodes, me = self._state.group.nodes, self._state.me
        self._turn = (self._turn + 1) % nodes
        if self._turn == me:
            self._turn = (self._turn + 1) % nodes
        for slot in missing:
            self._state.outbox.send(self._turn, Fetch(0, slot.missing or NULL))
        self._state.context.timers.set(FETCH, FETCH_S)

    def answer(self, sender: int, message: Fetch) -> None:
        """Send a batch that somebody asks for, if it is here."""
        for slot in self._state.slots.values():
            batch = slot.batches.get(message.digest)
            if batch is not None:
                self._news.tell(sender, "batch", message.digest, Batch(0, batch))
                return
