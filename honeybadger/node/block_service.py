"""Answers the block queries of clients: the ledger is public, but reading it must not slow consensus.

All clients together get a bounded number of bytes a second. A client that does not read its replies gets no more than
one part: each query must carry the ticket of the reply before it. Only what is in the store is served, so nothing that
is not durable yet.
"""

import secrets
import time
from collections.abc import Callable, Sequence

from honeybadger.ledger.certificates import certificate_of
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.client_protocol import (
    BLOCK_PART_BYTES,
    BUSY,
    NO_SUCH_BLOCK,
    BlockPart,
    BlockQuery,
    Locate,
    Located,
    NoBlock,
)
from honeybadger.node.rate import PerSecond
from honeybadger.transactions import U32

#: what all clients together may cost in a second, in bytes read (16 MiB are some 10 ms of this thread)
BYTES_PER_S = 16 * 1024 * 1024
#: the cost of a query on top of the bytes it returns
QUERY_BYTES = 16 * 1024
#: SQLite walks over what lies before the offset; measured, 16 times faster than it reads
WALK = 16
#: connections whose last ticket is remembered
MOST_CLIENTS = 1024


class BlockService:
    """`store`: where the blocks are; `committed(transactions)`: the height of each in the chain, or 0."""

    def __init__(
        self,
        store: SQLiteStore,
        committed: Callable[[Sequence[bytes]], Sequence[int] | U32],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._committed = committed
        self._budget = PerSecond(BYTES_PER_S, now)
        self._tickets: dict[bytes, int] = {}

    def answer(self, client: bytes, query: BlockQuery) -> BlockPart | NoBlock:
        """The reply to one query of the connection `client`; never raises for what was asked."""
        if query.ticket != self._tickets.get(client, query.ticket) or not self._budget.take(0, QUERY_BYTES):
            return NoBlock(query.request, BUSY)
        try:
            header = self._store.header(query.height)
            if header is None:
                return NoBlock(query.request, NO_SUCH_BLOCK)
            certificate = certificate_of(self._store, query.height)
            length, part = self._store.body_part(query.height, query.offset, BLOCK_PART_BYTES)
        except LedgerError:
            # Damaged here as well.
            return NoBlock(query.request, NO_SUCH_BLOCK)
        self._budget.take(0, len(part) + min(query.offset, length) // WALK)
        return BlockPart(
            query.request,
            query.height,
            query.offset,
            self._ticket(client),
            header.encode(),
            certificate if isinstance(certificate, bytes) else b"",
            length,
            part,
        )

    def locate(self, query: Locate) -> Located | NoBlock:
        """At which height the transaction is durable, 0 if it is not."""
        if not self._budget.take(0, QUERY_BYTES + len(query.transaction)):
            return NoBlock(query.request, BUSY)
        try:
            height = int(self._committed([query.transaction])[0])
            durable = height and self._store.header(height) is not None
        except LedgerError:
            durable = False
        return Located(query.request, height if durable else 0)

    def _ticket(self, client: bytes) -> int:
        """A new ticket for the client, of which nobody can know before it has read it."""
        self._tickets.pop(client, None)
        while len(self._tickets) >= MOST_CLIENTS:
            del self._tickets[next(iter(self._tickets))]
        ticket = self._tickets[client] = secrets.randbits(62) + 1
        return ticket
