"""Transactions on their way into the ledger, through nodes that may die, refuse or lie.

Guarantee: a transaction that is reported committed at a height is in that block of every correct node, as long as no
more than `confirmations - 1` of the nodes that were asked lie. With f+1 confirmations, the default, a correct node is
among those that said so. What is not confirmed in time goes to further nodes, and again to the first: the cluster
commits equal bytes once, so it does no harm to send them twice.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from honeybadger.client.connections import Connections
from honeybadger.client.errors import ClientError
from honeybadger.ledger.errors import printable
from honeybadger.network.client_protocol import (
    REQUEST_BYTES,
    REQUEST_TRANSACTIONS,
    Committed,
    Refused,
    Submit,
    unpacked,
)
from honeybadger.protocols.split import split
from honeybadger.transactions import Transactions

#: requests that are not answered yet; further transactions wait here
WINDOW = 16


@dataclass(eq=False, slots=True)
class _Batch:
    """The transactions of one request, encoded. Its number is that of the first transaction.

    `nodes`: the next one to be asked is in front; `asked`: how often one was; `heights`, `refusals`: position → node →
    what it said; `open`: positions without an outcome.
    """

    first: int
    transactions: bytes
    count: int
    nodes: deque[int]
    open: set[int] = field(default_factory=set)
    heights: dict[int, dict[int, int]] = field(default_factory=dict)
    refusals: dict[int, dict[int, str]] = field(default_factory=dict)
    asked: int = 0
    ask_again_at: float = 0.0


class Submission:
    """Takes transactions, which it numbers from 0, and finds out what becomes of each. For one thread.

    `nodes`: whom to ask; `confirmations`: as many of them must name the same height; `patience_s`: seconds without
    enough confirmations after which another node is asked as well; `drop(node, why)`: a node has lied.
    """

    def __init__(
        self,
        connections: Connections,
        nodes: Sequence[int],
        confirmations: int,
        patience_s: float,
        drop: Callable[[int, str], None],
    ) -> None:
        self._connections = connections
        #: for a loop that waits for something else as well
        self.poller = connections.poller
        self._nodes = list(nodes)
        self._confirmations = confirmations
        self._patience_s = patience_s
        self._drop = drop
        self._waiting: list[bytes] = []
        self._batches: dict[int, _Batch] = {}
        #: transactions that a node was sent and has not answered, and when it answered last, or began to owe some
        self._owed = dict.fromkeys(nodes, 0)
        self._heard_at = dict.fromkeys(nodes, 0.0)
        #: in which order the next request asks the nodes; clients begin with different ones
        self._turn = random.randrange(len(nodes))
        #: number of the next transaction that is taken, and sent
        self._taken = self._sent = 0
        #: number → height, or why it was refused; reading removes it
        self.outcomes: dict[int, int | str] = {}

    @property
    def busy(self) -> bool:
        """Whether some transactions have no outcome yet."""
        return bool(self._waiting or self._batches)

    @property
    def undecided(self) -> int:
        """How many transactions have no outcome yet."""
        return len(self._waiting) + sum(len(batch.open) for batch in self._batches.values())

    @property
    def full(self) -> bool:
        """Whether what is added now has to wait in memory."""
        return bool(self._waiting)

    def add(self, transactions: Sequence[bytes]) -> int:
        """Take transactions; the number of the first. They leave with the next `step`."""
        first = self._taken
        self._waiting += transactions
        self._taken += len(transactions)
        return first

    def abandon(self) -> None:
        """Wait for nothing any more. What was sent may still be committed."""
        self._waiting.clear()
        self._batches.clear()
        self.outcomes.clear()
        self._sent = self._taken

    def exclude(self, node: int, why: str) -> None:
        """The node has lied: it is asked no more, and others are in its place."""
        if node not in self._nodes:
            return
        self._nodes.remove(node)
        self._connections.drop(node)
        for batch in self._batches.values():
            batch.nodes.remove(node)
            batch.ask_again_at = 0.0
        self._drop(node, why)

    def step(self, wait_s: float) -> bool:
        """Send what may be sent; take the answers, after up to `wait_s` seconds for the first. True if there were any
        about transactions without an outcome. ClientError if too few nodes are left."""
        if len(self._nodes) < self._confirmations:
            raise ClientError("too many nodes have lied: those left are too few to confirm anything")
        while self._waiting and len(self._batches) < WINDOW:
            self._send(next(split(self._waiting, REQUEST_TRANSACTIONS, REQUEST_BYTES)))
        heard = False
        for node, reply in self._connections.replies(wait_s):
            if isinstance(reply, Committed | Refused):
                heard |= self._take(node, reply)
            else:
                self.exclude(node, "it answers what it was not asked")
        for node in self._connections.malformed():
            self.exclude(node, "it sends what no node sends")
        now = time.monotonic()
        for batch in list(self._batches.values()):
            if now >= batch.ask_again_at:
                self._ask(batch)
        return heard

    def _send(self, transactions: list[bytes]) -> None:
        self._turn = (self._turn + 1) % len(self._nodes)
        nodes = deque(sorted(self._nodes[self._turn :] + self._nodes[: self._turn], key=self._is_quiet))
        encoded = Transactions.of(transactions).encode()
        batch = self._batches[self._sent] = _Batch(self._sent, encoded, len(transactions), nodes)
        batch.open.update(range(len(transactions)))
        self._sent += len(transactions)
        del self._waiting[: len(transactions)]
        for _ in range(self._confirmations):
            self._ask(batch)

    def _ask(self, batch: _Batch) -> None:
        """Send the batch to one node more; again to the same ones at longer and longer intervals."""
        for _ in range(len(batch.nodes)):
            node = batch.nodes[0]
            batch.nodes.rotate(-1)
            batch.asked += 1
            if self._connections.send(node, Submit(batch.first, batch.transactions)):
                if not self._owed[node]:
                    self._heard_at[node] = time.monotonic()
                self._owed[node] += batch.count
                break
        batch.ask_again_at = time.monotonic() + self._patience_s * 2 ** min(20, batch.asked // max(1, len(batch.nodes)))

    def _is_quiet(self, node: int) -> bool:
        """Whether it owes answers and has not given any for too long: it is asked last."""
        return self._owed[node] > 0 and time.monotonic() - self._heard_at[node] > self._patience_s

    def _take(self, node: int, reply: Committed | Refused) -> bool:
        self._heard_at[node] = time.monotonic()
        positions = unpacked(reply.positions)
        self._owed[node] -= len(positions)
        if self._owed[node] < 0 or not len(positions):
            self.exclude(node, "it answers more than it was asked")
            return False
        batch = self._batches.get(reply.request)
        if batch is None:
            # All its transactions have an outcome by now.
            return False
        for position in batch.open.intersection(positions.tolist()):
            if isinstance(reply, Committed):
                self._confirm(batch, position, node, reply.height)
            else:
                self._refuse(batch, position, node, reply.reason)
        if not batch.open:
            del self._batches[batch.first]
        return True

    def _confirm(self, batch: _Batch, position: int, node: int, height: int) -> None:
        heights = batch.heights.setdefault(position, {})
        heights[node] = height
        if list(heights.values()).count(height) >= self._confirmations:
            self._decide(batch, position, height)
            for other, said in heights.items():
                if said != height:
                    self.exclude(other, f"it says that a transaction is in block {said}, which is in block {height}")

    def _refuse(self, batch: _Batch, position: int, node: int, reason: str) -> None:
        refusals = batch.refusals.setdefault(position, {})
        refusals[node] = printable(reason)
        if len(batch.nodes) - len(refusals) < self._confirmations:
            self._decide(batch, position, refusals[node])
        elif batch.asked < len(batch.nodes):
            batch.ask_again_at = 0.0

    def _decide(self, batch: _Batch, position: int, outcome: int | str) -> None:
        batch.open.remove(position)
        batch.heights.pop(position, None)
        batch.refusals.pop(position, None)
        self.outcomes[batch.first + position] = outcome
