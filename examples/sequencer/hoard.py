"""A strategy for faulty nodes of the sequencer: store every batch, and tell nobody."""

from collections.abc import Sequence

from sequencer import Stored

from honeybadger.adversary import Adversary
from honeybadger.protocols.wire import Message


class Hoard(Adversary):
    """Others must commit without it: to them it looks like a node that has crashed."""

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """What goes to another node in place of `message`."""
        return [] if isinstance(message, Stored) else [message]
