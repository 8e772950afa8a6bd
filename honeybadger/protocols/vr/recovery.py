"""How a node that has lost its journal comes back: it takes part in nothing until f+1 nodes, the primary of the newest
view that they name among them, have answered the question of this very life, and it has the primary's log.

Whatever this node said in a view before its loss, others knew of that view: of any f+1 that answer one did, and
nobody answers who has entered a view that has not begun.

Source: Liskov, Cowling (2012), section 4.3.
"""

from honeybadger.protocols.context import Context
from honeybadger.protocols.vr.messages import Recovery, RecoveryResponse


class Recovering:
    """The question, and the answers to it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nonce = context.randbytes(16)
        self._answers: dict[int, RecoveryResponse] = {}

    def start_over(self) -> None:
        """The primary that answered is gone: what was answered up to now does not count any more."""
        self._nonce = self._context.randbytes(16)
        self._answers.clear()

    def ask(self) -> None:
        """Ask, or ask again those that have not heard."""
        self._context.outbox.broadcast(Recovery(0, self._nonce))

    def answered(self, sender: int, message: RecoveryResponse) -> RecoveryResponse | None:
        """What the primary of the newest view says, once it may be believed to be the newest."""
        if message.nonce != self._nonce:
            return None
        self._answers[sender] = message
        newest = max(answer.view for answer in self._answers.values())
        primary = self._answers.get(newest % self._context.quorums.nodes)
        enough = len(self._answers) >= self._context.quorums.weak
        return primary if enough and primary is not None and primary.view == newest else None
