"""Requests on their way into batches: a backup forwards those of its own clients to the primary, and, if it does not
order them, relays the oldest to all nodes, who forward and watch them too. The primary fills batches (`Proposals`).

Bounds: those of `batching`; and of each node, at most `RELAYED` relayed transactions are watched.
"""

from collections.abc import Iterable

from honeybadger.protocols.batching.forwarder import CHUNK, CHUNK_BYTES, MOST_FORWARDED, Forwarder, decode_forwarded
from honeybadger.protocols.batching.pool import Pool
from honeybadger.protocols.batching.selection import Selection
from honeybadger.protocols.pbft.messages import MOST_RELAYED, Forward, PBFTFault, Relay
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.split import split
from honeybadger.transactions import Transactions

#: whose part of the primary's pool relayed transactions take: no node's
FROM_RELAYS = -1
#: of one node, as many as one RELAY has
RELAYED = MOST_RELAYED
RELAY_BYTES = 256 * 1024


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
            return decode_forwarded(encoded, most, self._state.parameters)
        except ValueError as error:
            self._state.outbox.fault(sender, PBFTFault.BAD_REQUEST, str(error))
            return None


class Proposals:
    """The primary's side: which transactions go into which batch, and when. `pool`: what other nodes forwarded."""

    def __init__(self, state: State, pool: Pool, normal_case: NormalCase) -> None:
        self._state = state
        self._pool = pool
        self._normal_case = normal_case
        #: the highest number that this node has proposed in this view, also in an earlier life
        self._last = max((n for n, slot in state.slots.items() if slot.digest is not None), default=0)
        self._selection = Selection(state.context, pool)

    def propose(self) -> bool:
        """Full batches while others are in progress, and whatever there is when none is; True if there was any."""
        state, parameters = self._state, self._state.parameters
        proposed = False
        while state.leads and not state.application.busy:
            number = max(self._last, state.executed, state.low, state.prescribed) + 1
            if number > min(state.horizon, state.executed + parameters.pipeline_depth):
                break
            available = self._selection.available
            if not available or (number > state.executed + 1 and available < parameters.batch_size):
                break
            transactions = self._selection.select(number, state.executed)
            if not len(transactions):
                break
            self._last = number
            self._normal_case.propose(number, transactions)
            proposed = True
        return proposed

    def start_over(self) -> None:
        """Another view begins: what was proposed in this one's predecessors and is not prescribed waits again."""
        self._last = 0
        self._selection.start_over()
        self._pool.keep_only(self._state.normal)
