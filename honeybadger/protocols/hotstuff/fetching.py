"""Blocks that a certificate names and that are missing here: asked for, one node at a time.

f+1 correct nodes have voted for each, so one of them has it, unless its block is in their ledgers already.
"""

from honeybadger.protocols.context import Context
from honeybadger.protocols.hotstuff.messages import Ancestor, Block, Fetch

FETCH = "fetch"
#: how long a node has to answer, seconds
FETCH_S = 0.05


class Fetching:
    """`wanted`: the digest of the missing block, if any."""

    def __init__(self, context: Context) -> None:
        self._me = context.me
        self._nodes = context.quorums.nodes
        self._outbox = context.outbox
        self._timers = context.timers
        self.wanted: bytes | None = None
        self._running = False
        self._turn = context.me
        #: what was sent to whom since the timer last expired
        self._answered: set[tuple[int, bytes]] = set()

    def want(self, digest: bytes | None) -> None:
        """Not at once: usually the block is on its way."""
        self.wanted = digest
        if digest is not None:
            self._run()

    def came(self, sender: int) -> None:
        """`sender` had the block. If the one before it is missing too, it has that."""
        if self.wanted is not None:
            self._outbox.send(sender, Fetch(0, self.wanted))

    def expired(self) -> None:
        """Ask the next node."""
        self._running = False
        self._answered.clear()
        if self.wanted is not None and self._nodes > 1:
            self._turn = (self._turn + 1) % self._nodes
            if self._turn == self._me:
                self._turn = (self._turn + 1) % self._nodes
            self._outbox.send(self._turn, Fetch(0, self.wanted))
            self._run()

    def answer(self, sender: int, digest: bytes, block: Block | None) -> None:
        """Send a block, once in a while."""
        if block is not None and (sender, digest) not in self._answered:
            self._answered.add((sender, digest))
            self._outbox.send(sender, Ancestor(0, block))
            self._run()

    def _run(self) -> None:
        if not self._running:
            self._running = True
            self._timers.set(FETCH, FETCH_S)
