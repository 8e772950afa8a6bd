"""Requests on their way into batches: a backup forwards those of its own clients to the primary, and, if it does not
order them, relays the oldest to all nodes, who forward and watch them too. The primary fills batches (`Proposals`).

Bounds. A backup has at most `FORWARDED_BATCHES` batches forwarded and not yet executed; the primary keeps a little more
than that of each sender and drops the rest. Of each node, at most `RELAYED` relayed transactions are watched.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from honeybadger.protocols.context import OrderedApplication
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import Forward, PBFTFault, Relay
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.split import split

#: the label under which a backup's mempool reserves what was forwarded: no epoch
FORWARDED = -1
#: whose part of the primary's pool relayed transactions take: no node's
FROM_RELAYS = -1
#: enough for the batches in progress and as many on their way
FORWARDED_BATCHES = 4
#: one FORWARD: transactions, and bytes unless a single one is longer
CHUNK = 2048
CHUNK_BYTES = 512 * 1024
#: one RELAY, and what is kept of each sender
RELAYED = 16
RELAY_BYTES = 256 * 1024
#: what a transaction costs on top of its bytes: an object and its place in a list
OVERHEAD = 64
#: bytes that a batch takes on top of its transactions, and on top of each of them (see `Mempool`)
BATCH_FRAMING = 4
FRAMING = 5
#: how many forwarded transactions are looked up to find out whether a chunk is stale
SAMPLE = 32


def cost(transactions: Sequence[bytes]) -> int:
    """Memory, in bytes."""
    return sum(map(len, transactions)) + OVERHEAD * len(transactions)


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
        self._chunks: deque[list[bytes]] = deque()
        self._costs: deque[int] = deque()

    def next_chunk(self) -> list[bytes]:
        """Reserve what is to be forwarded now; empty if there is nothing, or enough is on its way."""
        if not self._application.transactions_waiting or sum(self._costs) >= self._limit:
            return []
        chunk = list(self._application.reserve(FORWARDED, CHUNK, self._chunk_bytes))
        if chunk:
            self._chunks.append(chunk)
            self._costs.append(cost(chunk))
        return chunk

    def oldest(self, count: int = 1) -> list[bytes]:
        """The transactions that have waited longest since they were forwarded, at most `count` and a chunk's."""
        while self._chunks:
            chunk = self._chunks[0]
            # Asked very often: as long as the first one waits, nothing else is looked at.
            if count == 1 and self._application.still_pending(chunk[:1]):
                return chunk[:1]
            left = list(self._application.still_pending(chunk))
            if left:
                self._chunks[0] = left
                return left[:count]
            self._chunks.popleft()
            self._costs.popleft()
        return []

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
        """What was forwarded in earlier views is forwarded again by those who still want it."""
        for sender in [sender for sender, theirs in self._views.items() if theirs < view]:
            self._drop(sender)

    @property
    def senders(self) -> list[int]:
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

    @property
    def oldest(self) -> bytes | None:
        """What has waited longest, of the own clients or relayed; None if nothing waits."""
        return next(iter(self._forwarder.oldest() or self.relayed), None)

    def waits(self, transaction: bytes) -> bool:
        """Whether it is watched and not executed."""
        return transaction in self.relayed or bool(self._state.application.still_pending([transaction]))

    def forward(self) -> None:
        """Send what came from clients to the primary; one that may not propose only watches it."""
        if self._state.leads:
            return
        while chunk := self._forwarder.next_chunk():
            self._to_primary(chunk)

    def relay(self) -> None:
        """The primary has not ordered the oldest for a while: let everybody know."""
        if relayed := next(split(self._forwarder.oldest(RELAYED), RELAYED, RELAY_BYTES), None):
            self._state.outbox.broadcast(Relay(0, relayed))

    def forward_again(self) -> None:
        """The primary has forgotten what was forwarded to it."""
        self._forwarder.start_over()
        self.forward()

    def start_over(self) -> None:
        """Another view begins, with another primary."""
        self.forward_again()
        # Of all nodes together these may be more than a message holds.
        for part in split(self.relayed, CHUNK, CHUNK_BYTES):
            self._pass_on(part)

    def executed(self, transactions: Iterable[bytes]) -> None:
        """These need no watching any more."""
        if self.relayed:
            for transaction in self.relayed.keys() & set(transactions):
                del self.relayed[transaction]

    def skipped(self) -> None:
        """Blocks were taken over from other nodes."""
        self.executed(self._state.application.committed(list(self.relayed)))

    def handle_forward(self, sender: int, message: Forward) -> None:
        """As the primary: keep what a backup wants ordered."""
        state = self._state
        if sender == state.me or self._malformed(sender, message.transactions):
            return
        if message.view < state.normal or state.group.primary(message.view) != state.me:
            # The sender forwards everything again as soon as it follows the present view.
            return
        self.pool.add(sender, message.view, message.transactions)

    def handle_relay(self, sender: int, message: Relay) -> None:
        """Watch what another node's clients wait for, and let the primary know of it."""
        if sender == self._state.me or self._malformed(sender, message.transactions):
            return
        done = self._state.application.committed(message.transactions)
        room = RELAYED - sum(of == sender for of in self.relayed.values())
        wanted = dict.fromkeys(tx for tx in message.transactions if tx not in done and tx not in self.relayed)
        if new := list(wanted)[: max(0, room)]:
            self.relayed.update(dict.fromkeys(new, sender))
            self._pass_on(new)

    def _pass_on(self, transactions: list[bytes]) -> None:
        if self._state.is_primary:
            self.pool.add(FROM_RELAYS, self._state.normal, transactions)
        else:
            self._to_primary(transactions)

    def _to_primary(self, transactions: list[bytes]) -> None:
        self._state.outbox.send(self._state.primary, Forward(0, self._state.normal, transactions))

    def _malformed(self, sender: int, transactions: list[bytes]) -> bool:
        lengths = set(map(len, transactions))
        if min(lengths) >= 1 and max(lengths) <= self._state.parameters.max_tx_bytes:
            return False
        self._state.outbox.fault(sender, PBFTFault.BAD_REQUEST, "length of a transaction")
        return True


class Proposals:
    """The primary's side: which transactions go into which batch, and when. `pool`: what other nodes forwarded."""

    def __init__(self, state: State, pool: Pool, normal_case: NormalCase) -> None:
        self._state = state
        self._pool = pool
        self._normal_case = normal_case
        #: the highest number that this node has proposed in this view, also in an earlier life
        self._last = max((n for n, slot in state.slots.items() if slot.digest is not None), default=0)
        #: what was proposed and is not executed; own transactions are reserved for these numbers
        self._proposed: dict[int, set[bytes]] = {}

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
            if not transactions:
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

    def _select(self, number: int) -> list[bytes]:
        """A batch: each node's transactions get an equal share, and those who have more get what is left. Another node
        comes first each time, since large transactions fill a batch before all have had their share."""
        state, parameters = self._state, self._state.parameters
        self._proposed = {old: known for old, known in self._proposed.items() if old > state.executed}
        count, room = parameters.batch_size, parameters.max_proposal_bytes - BATCH_FRAMING
        sources = [state.me, *self._pool.senders]
        first = number % len(sources)
        sources = sources[first:] + sources[:first]
        # A set, and yet in order.
        chosen: dict[bytes, None] = {}
        for quota in (-(-count // len(sources)), count):
            for source in sources:
                wanted = min(quota, count - len(chosen))
                if source == state.me:
                    taken = list(state.application.reserve(number, wanted, room)) if wanted else []
                else:
                    taken = self._fresh(self._pool.take(source, wanted, room - FRAMING, FRAMING))
                room -= sum(map(len, taken)) + FRAMING * len(taken)
                chosen.update(dict.fromkeys(taken))
        self._proposed[number] = set(chosen)
        return list(chosen)

    def _fresh(self, transactions: list[bytes]) -> list[bytes]:
        """Those that are neither proposed nor executed: several nodes may forward the same ones, and after a change of
        views every node forwards again what was on its way.

        Usually none is executed, and to find that of each would be a tenth of a primary's work; so only a sample is
        looked up first. What slips through costs room in a batch: the ledger takes nothing twice.
        """
        committed = self._state.application.committed
        for known in self._proposed.values():
            if not known.isdisjoint(transactions):
                transactions = [transaction for transaction in transactions if transaction not in known]
        if committed(transactions[:: 1 + len(transactions) // SAMPLE]):
            known = committed(transactions)
            transactions = [transaction for transaction in transactions if transaction not in known]
        return transactions
