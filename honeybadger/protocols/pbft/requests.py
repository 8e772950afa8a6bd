"""Transactions of other nodes' clients: what backups forward to the primary, and what they ask everybody to watch.

Bounds. A backup has at most `FORWARDED_BATCHES` batches forwarded and not yet executed; the primary keeps a little more
than that of each sender and drops the rest. Of each node, at most `RELAYED` relayed transactions are watched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

from honeybadger.protocols.base import OrderedApplication
from honeybadger.protocols.parameters import Parameters

#: the label under which a backup's mempool reserves what was forwarded: no epoch
FORWARDED = -1
FORWARDED_BATCHES = 4
#: one FORWARD: transactions, and bytes unless a single one is longer
CHUNK = 2048
CHUNK_BYTES = 512 * 1024
#: one RELAY, and what is kept of each sender
RELAYED = 16
RELAY_BYTES = 256 * 1024
#: what a transaction costs beside its bytes
OVERHEAD = 64


def cost(transactions: Sequence[bytes]) -> int:
    """Memory, in bytes."""
    return sum(map(len, transactions)) + OVERHEAD * len(transactions)


def forward_limit(parameters: Parameters) -> int:
    """Cost of what one backup may have forwarded, before it forwards the last chunk."""
    batch = min(parameters.max_proposal_bytes, parameters.batch_size * 1024)
    return max(FORWARDED_BATCHES * (batch + OVERHEAD), parameters.max_tx_bytes)


def chunk_limit(parameters: Parameters) -> int:
    """Cost of a chunk, and bytes of a FORWARD or RELAY, at the most."""
    return max(CHUNK_BYTES, parameters.max_tx_bytes) + OVERHEAD * CHUNK


class Forwarder:
    """A backup's side: what it has forwarded and waits for, the oldest first."""

    def __init__(self, parameters: Parameters, application: OrderedApplication) -> None:
        self._application = application
        self._limit = forward_limit(parameters)
        self._chunk_bytes = max(CHUNK_BYTES, parameters.max_tx_bytes + 16)
        self._chunks: deque[list[bytes]] = deque()
        self._costs: deque[int] = deque()
        self._cost = 0

    def next_chunk(self) -> list[bytes]:
        """Reserve what is to be forwarded now; empty if there is nothing, or enough is on its way."""
        if not self._application.transactions_waiting or self._cost >= self._limit:
            return []
        chunk = self._application.reserve(FORWARDED, CHUNK, self._chunk_bytes)
        if chunk:
            self._chunks.append(chunk)
            self._costs.append(cost(chunk))
            self._cost += self._costs[-1]
        return chunk

    def oldest(self, count: int = 1) -> list[bytes]:
        """The transactions that have waited longest since they were forwarded, at most `count` and a chunk's."""
        while self._chunks:
            chunk = self._chunks[0]
            # Asked very often: as long as the first one waits, nothing else is looked at.
            if count == 1 and self._application.still_pending(chunk[:1]):
                return chunk[:1]
            left = self._application.still_pending(chunk)
            if left:
                self._chunks[0] = left
                return left[:count]
            self._chunks.popleft()
            self._cost -= self._costs.popleft()
        return []

    def start_over(self) -> None:
        """There is another primary: everything that is not committed waits again."""
        self._application.release(FORWARDED)
        self._chunks.clear()
        self._costs.clear()
        self._cost = 0


class Pool:
    """The primary's side: what each backup has forwarded, first in first out."""

    def __init__(self, parameters: Parameters) -> None:
        #: cost of what is kept of one sender
        self.limit = 2 * (forward_limit(parameters) + chunk_limit(parameters))
        self._views: dict[int, int] = {}
        self._chunks: dict[int, deque[list[bytes]]] = {}
        self._costs: dict[int, int] = {}
        #: transactions that wait
        self.count = 0

    def add(self, sender: int, view: int, transactions: list[bytes]) -> None:
        """Keep what `sender` forwarded in `view`, as far as its share of memory allows. A newer view replaces older
        ones: the sender forwards everything again then."""
        if view < self._views.get(sender, 0):
            return
        if view > self._views.get(sender, 0):
            self._drop(sender)
        self._views[sender] = view
        amount = cost(transactions)
        if self._costs.get(sender, 0) + amount > self.limit:
            return
        self._chunks.setdefault(sender, deque()).append(transactions)
        self._costs[sender] = self._costs.get(sender, 0) + amount
        self.count += len(transactions)

    def keep_only(self, view: int) -> None:
        """What was forwarded in earlier views is forwarded again by whoever still wants it."""
        for sender in [sender for sender, theirs in self._views.items() if theirs < view]:
            self._drop(sender)

    @property
    def senders(self) -> list[int]:
        """Who has something waiting."""
        return [sender for sender, chunks in self._chunks.items() if chunks]

    def take(self, sender: int, count: int, room: int, framing: int) -> list[bytes]:
        """At most `count` transactions and `room` bytes, each counted with `framing` more."""
        chunks = self._chunks.get(sender)
        taken: list[bytes] = []
        while chunks and len(taken) < count:
            chunk = chunks[0][: count - len(taken)]
            size = sum(map(len, chunk)) + framing * len(chunk)
            while chunk and size > room:
                size -= len(chunk.pop()) + framing
            if not chunk:
                break
            room -= size
            taken += chunk
            if len(chunk) == len(chunks[0]):
                chunks.popleft()
            else:
                chunks[0] = chunks[0][len(chunk) :]
        self._costs[sender] = self._costs.get(sender, 0) - cost(taken)
        self.count -= len(taken)
        return taken

    def held_bytes(self) -> int:
        """Memory of all that waits."""
        return sum(self._costs.values())

    def _drop(self, sender: int) -> None:
        self.count -= sum(map(len, self._chunks.pop(sender, ())))
        self._costs.pop(sender, None)


class Relayed:
    """Transactions that other nodes asked everybody to watch."""

    def __init__(self) -> None:
        self._senders: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._senders)

    def __contains__(self, transaction: bytes) -> bool:
        return transaction in self._senders

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._senders)

    def add(self, sender: int, transactions: Sequence[bytes]) -> list[bytes]:
        """Those that are watched from now on."""
        room = RELAYED - sum(of == sender for of in self._senders.values())
        new = [tx for tx in dict.fromkeys(transactions) if tx not in self._senders][: max(0, room)]
        self._senders.update(dict.fromkeys(new, sender))
        return new

    def remove(self, transactions: Collection[bytes]) -> None:
        """These are executed."""
        if self._senders:
            for transaction in self._senders.keys() & set(transactions):
                del self._senders[transaction]
