"""Who has missed what: nodes say where they are (STATUS), and those who are further tell them, at a limited rate.

Links are reliable between two incarnations of two nodes only; what was said to an earlier one has to be said again.
"""

from __future__ import annotations

from honeybadger.protocols.messages import Message
from honeybadger.protocols.pbft.messages import Stable, Status
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.suspicion import TIDY

#: answers to one peer are limited to one of a kind in so many seconds
TIDY_S = 0.5


class News:
    """See the module."""

    def __init__(self, state: State) -> None:
        self._state = state
        #: who was told or asked what, lately
        self._told: set[tuple[int, str, bytes]] = set()

    def status(self, *, fresh: bool = False) -> Status:
        """Where this node is."""
        return Status(0, self._state.normal, self._state.low, fresh)

    def answer(self, sender: int, message: Status) -> None:
        """Tell the sender which view and which stable checkpoint it has missed."""
        state = self._state
        if message.view < state.normal or (message.fresh and message.view <= state.normal):
            self.tell_new_view(sender)
        if not state.active and state.own_change is not None and message.view <= state.own_change.view:
            self.tell(sender, "change", b"", state.own_change)
        if message.stable < state.low:
            self.tell(sender, "stable", b"", Stable(0, state.checkpoints.stable))

    def ask(self, node: int) -> None:
        """`node` is in a view that this one knows nothing of: let it tell."""
        self.tell(node, "status", b"", self.status())

    def tell_new_view(self, node: int) -> None:
        """How the present view began."""
        if self._state.new_view is not None:
            self.tell(node, "new view", b"", self._state.new_view)

    def tell(self, node: int, what: str, which: bytes, message: Message) -> None:
        """Send, unless the node was told the same kind of thing a moment ago."""
        if node != self._state.me and self.first_time(node, what, which):
            self._state.outbox.send(node, message)

    def first_time(self, node: int, what: str, which: bytes = b"") -> bool:
        """Whether this was not asked for the node and kind of thing a moment ago."""
        key = (node, what, which)
        if key in self._told:
            return False
        if not self._told:
            self._state.context.timers.set(TIDY, TIDY_S)
        self._told.add(key)
        return True

    def tidy(self) -> None:
        """Everything may be told again."""
        self._told.clear()
