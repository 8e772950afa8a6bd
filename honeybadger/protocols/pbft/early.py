"""Messages of views that have not begun here, the newest of each sender, number and kind."""

from __future__ import annotations

import msgspec

from honeybadger.protocols.messages import Message
from honeybadger.protocols.pbft.messages import Commit, Prepare, PrePrepare

VoteMessage = PrePrepare | Prepare | Commit


class Early:
    """See the module. Numbers are between the water marks, so memory is bounded."""

    def __init__(self) -> None:
        self._messages: dict[tuple[int, int, type[Message]], VoteMessage] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, sender: int, message: VoteMessage) -> None:
        """Keep it, without the batch, which can be fetched."""
        key = (sender, message.epoch, type(message))
        known = self._messages.get(key)
        if known is None or known.view < message.view:
            if isinstance(message, PrePrepare):
                message = msgspec.structs.replace(message, batch=b"")
            self._messages[key] = message

    def take(self, view: int) -> list[tuple[int, VoteMessage]]:
        """Those of a view that has begun, with their senders; older ones are dropped, newer ones stay."""
        now = [(key[0], message) for key, message in self._messages.items() if message.view == view]
        self._messages = {key: message for key, message in self._messages.items() if message.view > view}
        return now

    def forget(self, low: int) -> None:
        """Numbers up to this one are below the low water mark."""
        self._messages = {key: message for key, message in self._messages.items() if key[1] > low}
