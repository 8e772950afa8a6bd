"""A follower's side: what its clients want ordered goes to the leader, a few batches at a time."""

from collections import deque

from honeybadger.protocols.context import OrderedApplication
from honeybadger.protocols.parameters import Parameters
from honeybadger.transactions import EMPTY, Transactions

#: the label under which a follower's mempool reserves what was forwarded: no epoch
FORWARDED = -1
#: enough for the batches in progress and as many on their way
FORWARDED_BATCHES = 4
#: most transactions in one FORWARD that is accepted
MOST_FORWARDED = 65_536
#: one FORWARD: transactions, and bytes unless a single one is longer
CHUNK = 2048
CHUNK_BYTES = 512 * 1024
#: what a transaction costs on top of its bytes, with room to spare: its end, and its fingerprint while it is looked up
OVERHEAD = 64


def cost(transactions: Transactions) -> int:
    """Memory, in bytes."""
    return len(transactions.data) + OVERHEAD * len(transactions)


def forward_limit(parameters: Parameters) -> int:
    """Cost of what one backup may have forwarded, before it forwards the last chunk."""
    batch = min(parameters.max_proposal_bytes, parameters.batch_size * 1024)
    return max(FORWARDED_BATCHES * (batch + OVERHEAD), parameters.max_tx_bytes)


def chunk_limit(parameters: Parameters) -> int:
    """The most that a chunk costs, and the most bytes that a FORWARD or RELAY has."""
    return max(CHUNK_BYTES, parameters.max_tx_bytes) + OVERHEAD * CHUNK


def decode_forwarded(encoded: bytes, most: int, parameters: Parameters) -> Transactions:
    """What a node wants ordered, at most `most` transactions; ValueError if no correct node sends it."""
    transactions = Transactions.decode(encoded)
    if not 1 <= len(transactions) <= most or not transactions.within(1, parameters.max_tx_bytes):
        raise ValueError("number or length of transactions")
    return transactions


class Forwarder:
    """What a follower has forwarded and waits for, the oldest first."""

    def __init__(self, parameters: Parameters, application: OrderedApplication) -> None:
        self._application = application
        self._limit = forward_limit(parameters)
        self._chunk_bytes = max(CHUNK_BYTES, parameters.max_tx_bytes + 16)
        #: what was forwarded, without what was found to be executed; and the cost of each chunk when it left
        self._chunks: deque[Transactions] = deque()
        self._costs: deque[int] = deque()

    def next_chunk(self) -> Transactions:
        """Reserve what is to be forwarded now; empty if there is nothing, or enough is on its way."""
        if not self._application.transactions_waiting or sum(self._costs) >= self._limit:
            return EMPTY
        chunk = self._application.reserve(FORWARDED, CHUNK, self._chunk_bytes)
        if len(chunk):
            self._chunks.append(chunk)
            self._costs.append(cost(chunk))
        return chunk

    def oldest(self, count: int = 1) -> Transactions:
        """The transactions that have waited longest since they were forwarded, at most `count` and a chunk's."""
        while self._chunks:
            chunk = self._chunks[0]
            # As long as the first one waits, nothing else is looked at.
            if count == 1 and len(self._application.still_pending(chunk[:1])):
                return chunk[:1]
            left = self._application.still_pending(chunk)
            if len(left):
                self._chunks[0] = left
                return left[:count]
            self._chunks.popleft()
            self._costs.popleft()
        return EMPTY

    def start_over(self) -> None:
        """There is another primary: everything that is not committed waits again."""
        self._application.release(FORWARDED)
        self._chunks.clear()
        self._costs.clear()
