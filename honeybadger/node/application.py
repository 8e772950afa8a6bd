"""What the protocol orders, at a node: transactions come from the mempool and go into the chain.

Blocks are written to disk by a worker; `blocks_durable` says when, and only then are clients told.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as concatenate

from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.chain import Chain
from honeybadger.node.mempool import Mempool, Request, Ticket
from honeybadger.protocols.parameters import Parameters
from honeybadger.transactions import EMPTY, Transactions

#: blocks waiting for the disk beyond which this node proposes nothing of its own
PENDING_BLOCKS_TO_PAUSE = 8
#: who may wait for transactions of blocks on their way to the disk, in all: clients can ask for the same ones again
MAX_TICKETS = 1_000_000


@dataclass(frozen=True)
class CommittedBlock:
    """A block on its way to the disk, with who waits for its transactions.

    `certified`: it came with its certificate; `repeated`: tickets of transactions that an earlier block holds, by
    height.
    """

    header: Header
    certified: bool
    tickets: list[Ticket]
    repeated: dict[int, list[Ticket]]


@dataclass(frozen=True)
class Submission:
    """What became of a request at once: positions already durable, by height, and positions refused, by reason."""

    durable: dict[int, list[int]]
    refused: Mapping[str, list[int]]


class NodeApplication:
    """The `Application` of a running node. `silent()`: whether it may propose nothing, because it lost its votes."""

    def __init__(
        self,
        nodes: int,
        parameters: Parameters,
        mempool: Mempool,
        chain: Chain,
        silent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._limit = parameters.transactions_per_node(nodes)
        self._parameters = parameters
        self._mempool = mempool
        #: see `Application`
        self.reserve, self.release, self.still_pending = mempool.reserve, mempool.release, mempool.still_pending
        self._chain = chain
        self._silent = silent
        #: committed, not yet durable; oldest first
        self.pending: deque[CommittedBlock] = deque()
        self.durable_epoch = chain.epoch if chain.height else 0

    def has_transactions(self) -> bool:
        """False while the disk lags behind, so that memory stays bounded."""
        return self._mempool.waiting > 0 and not self.busy

    def select(self, epoch: int) -> Transactions:
        if self.busy:
            return EMPTY
        return Transactions.of(
            self._mempool.select(epoch, self._parameters.batch_size, self._limit, self._parameters.max_proposal_bytes)
        )

    @property
    def busy(self) -> bool:
        return len(self.pending) >= PENDING_BLOCKS_TO_PAUSE

    @property
    def transactions_waiting(self) -> int:
        return self._mempool.waiting

    def committed(self, transactions: Sequence[bytes]) -> set[bytes]:
        return {
            tx for tx, height in zip(transactions, self._chain.committed(transactions).tolist(), strict=True) if height
        }

    def state_digest(self, epoch: int) -> bytes | None:
        """The hash of the epoch's block, which names all blocks before it."""
        return self._chain.block_hash(epoch)

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Transactions]]) -> None:
        """After a restart the protocol may repeat epochs that the chain has; LedgerError if one differs now."""
        contributed = list(concatenate.from_iterable(part for _, part in contributions))
        if epoch <= self._chain.epoch:
            self._chain.repeat(epoch, contributions)
            self._mempool.commit(epoch, contributed)
            return
        update = self._chain.extend(epoch, contributions)
        repeated: dict[int, list[Ticket]] = {}
        for transaction, height in update.duplicates.items():
            # Committed before it was proposed again: those who asked learn where it is.
            repeated.setdefault(height, []).extend(self._mempool.commit(-1, [transaction]))
        tickets = self._mempool.commit(epoch, contributed)
        self.pending.append(CommittedBlock(update.block.header, False, tickets, repeated))

    def adopt(self, block: Block, transactions: Transactions, certificate: bytes) -> None:
        """Append a certified block of other nodes: what is in it no longer waits here."""
        self._chain.adopt(block, transactions, certificate)
        tickets = self._mempool.commit(block.header.epoch, transactions)
        self.pending.append(CommittedBlock(block.header, True, tickets, {}))

    def passed(self, epoch: int) -> None:
        """The protocol goes on behind this epoch without committing it: its block is there already."""
        self._mempool.release_through(epoch)

    def submit(self, request: Request, transactions: Sequence[bytes]) -> Submission:
        """Take a client's transactions; says which are durable already and which were refused."""
        durable: dict[int, list[int]] = {}
        skip: list[int] = []
        full: list[int] = []
        heights = self._chain.committed(transactions)
        committed = {tx: height for tx, height in zip(transactions, heights.tolist(), strict=True) if height}
        if committed:
            pending = {block.header.height: block for block in self.pending}
            room = MAX_TICKETS - sum(len(block.tickets) for block in self.pending)
            for position, transaction in enumerate(transactions):
                height = committed.get(transaction)
                if height is None:
                    continue
                skip.append(position)
                if height not in pending:
                    durable.setdefault(height, []).append(position)
                elif room > 0:
                    # On its way to the disk: this request is told with the others.
                    pending[height].tickets.append((request, position))
                    room -= 1
                else:
                    full.append(position)
        if self._silent():
            refused = {"silent": sorted(set(range(len(transactions))).difference(skip))}
        else:
            refused = self._mempool.add(request, transactions, skip)
        if full:
            refused.setdefault("full", []).extend(full)
        return Submission(durable, refused)

    def blocks_durable(self, height: int) -> list[CommittedBlock]:
        """Blocks up to `height` are on disk: hand them over, oldest first."""
        done = []
        while self.pending and self.pending[0].header.height <= height:
            done.append(self.pending.popleft())
            self.durable_epoch = done[-1].header.epoch
        return done
