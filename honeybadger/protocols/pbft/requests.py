"""Requests on their way into batches: a backup forwards those of its own clients to the primary, and, if it does not
order them, relays the oldest to all nodes, who forward and watch them too. The primary fills batches (`Proposals`).

Bounds. A backup has at most `FORWARDED_BATCHES` batches forwarded and not yet executed; the primary keeps a little more
than that of each sender and drops the rest. Of each node, at most `RELAYED` relayed transactions are watched.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np

from honeybadger.fingerprinted import Fingerprinted
from honeybadger.protocols.context import OrderedApplication
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.log import PROPOSER_BYTES
from honeybadger.protocols.pbft.messages import MOST_RELAYED, Forward, PBFTFault, Relay
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.split import split
from honeybadger.transactions import COUNT_BYTES, EMPTY, END_BYTES, FingerprintKey, Transactions

#: the label under which a backup's mempool reserves what was forwarded: no epoch
FORWARDED = -1
#: whose part of the primary's pool relayed transactions take: no node's
FROM_RELAYS = -1
#: most transactions in one FORWARD
MOST_FORWARDED = 65_536
#: enough for the batches in progress and as many on their way
FORWARDED_BATCHES = 4
#: one FORWARD: transactions, and bytes unless a single one is longer
CHUNK = 2048
CHUNK_BYTES = 512 * 1024
#: of one node, as many as one RELAY has
RELAYED = MOST_RELAYED
RELAY_BYTES = 256 * 1024
#: what a transaction costs on top of its bytes, with room to spare: its end, and its fingerprint while it is looked up
OVERHEAD = 64
#: how many forwarded transactions are looked up to find out whether a chunk is stale
SAMPLE = 32


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


class Forwarder:
    """A backup's side: what it has forwarded and waits for, the oldest first."""

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


class Pool:
    """The primary's side: what each backup has forwarded, first in first out."""

    def __init__(self, parameters: Parameters) -> None:
        #: cost of what is kept of one sender: twice what a correct one has on its way, since it forwards all of it
        #: again when it hears that the primary has restarted
        self.limit = 2 * (forward_limit(parameters) + chunk_limit(parameters))
        #: sender → the view in which it forwarded, the transactions in their order, and their cost
        self._views: dict[int, int] = {}
        self._chunks: dict[int, deque[Transactions]] = {}
        self._costs: dict[int, int] = {}
        #: transactions that wait
        self.count = 0

    def add(self, sender: int, view: int, transactions: Transactions) -> None:
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
        """What was forwarded in earlier views is forwarded again by those who still want it."""
        for sender in [sender for sender, theirs in self._views.items() if theirs < view]:
            self._drop(sender)

    @property
    def senders(self) -> list[int]:
        return [sender for sender, chunks in self._chunks.items() if chunks]

    def take(self, sender: int, count: int, room: int) -> Transactions:
        """At most `count` transactions, in at most `room` encoded bytes."""
        chunks = self._chunks.get(sender)
        parts: list[Transactions] = []
        room -= COUNT_BYTES
        while chunks and count:
            chunk = chunks[0]
            sizes = np.cumsum(chunk.lengths[:count].astype(np.int64) + END_BYTES)
            fitting = int(np.searchsorted(sizes, room, side="right"))
            if not fitting:
                break
            parts.append(chunk[:fitting])
            room -= int(sizes[fitting - 1])
            count -= fitting
            if fitting < len(chunk):
                chunks[0] = chunk[fitting:]
                break
            chunks.popleft()
        taken = Transactions.concat(parts)
        self._costs[sender] = self._costs.get(sender, 0) - cost(taken)
        self.count -= len(taken)
        return taken

    def held_bytes(self) -> int:
        return sum(self._costs.values())

    def _drop(self, sender: int) -> None:
        self.count -= sum(map(len, self._chunks.pop(sender, ())))
        self._costs.pop(sender, None)


class Requests:
    """What this node's clients and those of others wait for. `pool` is where the primary keeps what comes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.pool = Pool(state.parameters)
        self._forwarder = Forwarder(state.parameters, state.application)
        #: transaction → who asked everybody to watch it
        self.relayed: dict[bytes, int] = {}
        #: the oldest that was forwarded, and what had been executed when it was found to wait
        self._oldest: tuple[int, bytes] | None = None

    @property
    def oldest(self) -> bytes | None:
        """What has waited longest, of the own clients or relayed; None if nothing waits."""
        # Asked very often; it goes on waiting until something is executed.
        if self._oldest is None or self._oldest[0] != self._state.executed:
            forwarded = self._forwarder.oldest()
            self._oldest = (self._state.executed, forwarded[0]) if len(forwarded) else None
        return next(iter(self.relayed), None) if self._oldest is None else self._oldest[1]

    def waits(self, transaction: bytes) -> bool:
        """Whether it is watched and not executed."""
        return transaction in self.relayed or len(self._state.application.still_pending([transaction])) > 0

    def forward(self) -> None:
        """Send what came from clients to the primary; one that may not propose only watches it."""
        if self._state.leads:
            return
        while len(chunk := self._forwarder.next_chunk()):
            self._to_primary(chunk)

    def relay(self) -> None:
        """The primary has not ordered the oldest for a while: let everybody know."""
        if relayed := next(split(self._forwarder.oldest(RELAYED), RELAYED, RELAY_BYTES), None):
            self._state.outbox.broadcast(Relay(0, Transactions.of(relayed).encode()))

    def forward_again(self) -> None:
        """The primary has forgotten what was forwarded to it."""
        self._forwarder.start_over()
        self._oldest = None
        self.forward()

    def start_over(self) -> None:
        """Another view begins, with another primary."""
        self.forward_again()
        # Of all nodes together these may be more than a message holds.
        for part in split(self.relayed, CHUNK, CHUNK_BYTES):
            self._pass_on(Transactions.of(part))

    def executed(self, transactions: Iterable[bytes]) -> None:
        """These need no watching any more."""
        if self.relayed:
            for transaction in self.relayed.keys() & set(transactions):
                del self.relayed[transaction]

    def skipped(self) -> None:
        """Blocks were taken over from other nodes."""
        relayed = list(self.relayed)
        done = self._state.application.committed(relayed).tolist()
        self.executed(transaction for transaction, gone in zip(relayed, done, strict=True) if gone)

    def handle_forward(self, sender: int, message: Forward) -> None:
        """As the primary: keep what a backup wants ordered."""
        state = self._state
        transactions = self._checked(sender, message.transactions)
        if transactions is None or sender == state.me:
            return
        if message.view < state.normal or state.group.primary(message.view) != state.me:
            # The sender forwards everything again as soon as it follows the present view.
            return
        self.pool.add(sender, message.view, transactions)

    def handle_relay(self, sender: int, message: Relay) -> None:
        """Watch what another node's clients wait for, and let the primary know of it."""
        transactions = self._checked(sender, message.transactions, MOST_RELAYED)
        if transactions is None or sender == self._state.me:
            return
        done = self._state.application.committed(transactions).tolist()
        room = RELAYED - sum(of == sender for of in self.relayed.values())
        pairs = zip(transactions, done, strict=True)
        wanted = dict.fromkeys(tx for tx, gone in pairs if not gone and tx not in self.relayed)
        if new := list(wanted)[: max(0, room)]:
            self.relayed.update(dict.fromkeys(new, sender))
            self._pass_on(Transactions.of(new))

    def _pass_on(self, transactions: Transactions) -> None:
        if self._state.is_primary:
            self.pool.add(FROM_RELAYS, self._state.normal, transactions)
        else:
            self._to_primary(transactions)

    def _to_primary(self, transactions: Transactions) -> None:
        self._state.outbox.send(self._state.primary, Forward(0, self._state.normal, transactions.encode()))

    def _checked(self, sender: int, encoded: bytes, most: int = MOST_FORWARDED) -> Transactions | None:
        """What the sender wants ordered; None, and its fault, if that is malformed."""
        try:
            transactions = Transactions.decode(encoded)
        except ValueError as error:
            self._state.outbox.fault(sender, PBFTFault.BAD_REQUEST, str(error))
            return None
        if not 1 <= len(transactions) <= most or not transactions.within(1, self._state.parameters.max_tx_bytes):
            self._state.outbox.fault(sender, PBFTFault.BAD_REQUEST, "number or length of transactions")
            return None
        return transactions


class Proposals:
    """The primary's side: which transactions go into which batch, and when. `pool`: what other nodes forwarded."""

    def __init__(self, state: State, pool: Pool, normal_case: NormalCase) -> None:
        self._state = state
        self._pool = pool
        self._normal_case = normal_case
        #: the highest number that this node has proposed in this view, also in an earlier life
        self._last = max((n for n, slot in state.slots.items() if slot.digest is not None), default=0)
        #: what was proposed and is not executed; own transactions are reserved for these numbers
        self._proposed: dict[int, Fingerprinted] = {}
        self._key = FingerprintKey(state.context.randbytes(16))

    def propose(self) -> bool:
        """Full batches while others are in progress, and whatever there is when none is; True if there was any."""
        state, parameters = self._state, self._state.parameters
        proposed = False
        while state.leads and not state.application.busy:
            number = max(self._last, state.executed, state.low, state.prescribed) + 1
            if number > min(state.horizon, state.executed + parameters.pipeline_depth):
                break
            available = self._pool.count + state.application.transactions_waiting
            if not available or (number > state.executed + 1 and available < parameters.batch_size):
                break
            transactions = self._select(number)
            if not len(transactions):
                break
            self._last = number
            self._normal_case.propose(number, transactions)
            proposed = True
        return proposed

    def start_over(self) -> None:
        """Another view begins: what was proposed in this one's predecessors and is not prescribed waits again."""
        self._last = 0
        for number in self._proposed:
            self._state.application.release(number)
        self._proposed.clear()
        self._pool.keep_only(self._state.normal)

    def _select(self, number: int) -> Transactions:
        """A batch: each node's transactions get an equal share, and those who have more get what is left. Another node
        comes first each time, since large transactions fill a batch before all have had their share."""
        state, parameters = self._state, self._state.parameters
        self._proposed = {old: known for old, known in self._proposed.items() if old > state.executed}
        count, room = parameters.batch_size, parameters.max_proposal_bytes - PROPOSER_BYTES
        sources = [state.me, *self._pool.senders]
        first = number % len(sources)
        sources = sources[first:] + sources[:first]
        chosen: list[Transactions] = []
        for quota in (-(-count // len(sources)), count):
            for source in sources:
                wanted = min(quota, count - sum(map(len, chosen)))
                if not wanted:
                    taken = EMPTY
                elif source == state.me:
                    taken = state.application.reserve(number, wanted, room)
                else:
                    taken = self._fresh(self._pool.take(source, wanted, room))
                room -= taken.encoded_bytes - COUNT_BYTES
                chosen.append(taken)
        batch = Fingerprinted.of(Transactions.concat(chosen), self._key)
        if (once := batch.first_equal()) is not None:
            batch = batch.take(np.flatnonzero(once == np.arange(len(once))))
        self._proposed[number] = batch
        return batch.transactions

    def _fresh(self, transactions: Transactions) -> Transactions:
        """Those that are neither proposed nor executed: several nodes may forward the same ones, and after a change of
        views every node forwards again what was on its way.

        Usually none is executed, and to find that of each would be a tenth of a primary's work; so only a sample is
        looked up first. What slips through costs room in a batch: the ledger takes nothing twice.
        """
        if not len(transactions):
            return EMPTY
        asked = Fingerprinted.of(transactions, self._key)
        known = np.zeros(len(asked), bool)
        for proposed in self._proposed.values():
            known |= asked.among(proposed)
        committed = self._state.application.committed
        if committed(transactions[:: 1 + len(transactions) // SAMPLE]).any():
            known |= committed(transactions)
        return transactions.take(np.flatnonzero(~known)) if known.any() else transactions
