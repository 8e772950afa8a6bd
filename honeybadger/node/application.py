"""What the protocol orders, at a node: transactions come from the mempool and go into the chain.

Blocks are written to disk by a worker; `blocks_durable` says when, and only then are clients told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain as concatenate

from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.chain import Chain
from honeybadger.node.mempool import Mempool, Refusal, Request, Ticket
from honeybadger.protocols.parameters import Parameters

#: blocks waiting for the disk beyond which this node proposes nothing of its own
PENDING_BLOCKS_TO_PAUSE = 8
#: who may wait for transactions of blocks on their way to the disk, in all: clients can ask for the same ones again
MAX_TICKETS = 1_000_000


@dataclass(frozen=True)
class CommittedBlock:
    """A block on its way to the disk, with who waits for its transactions.

    `repeated`: tickets of transactions that an earlier block holds, by height.
    """

    height: int
    epoch: int
    block_hash: bytes
    certified: bool
    tx_count: int
    tx_bytes: int
    proposers: tuple[int, ...]
    tickets: list[Ticket]
    repeated: dict[int, list[Ticket]]


@dataclass(frozen=True)
class Submission:
    """What became of a request at once: positions already durable, by height, and positions refused."""

    durable: dict[int, list[int]]
    refusal: Refusal


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
        self._chain = chain
        self._silent = silent
        #: committed, not yet durable; oldest first
        self.pending: deque[CommittedBlock] = deque()
        self.durable_epoch = chain.epoch if chain.height else 0

    def has_transactions(self) -> bool:
        """See `Application`. False while the disk lags behind, so that memory stays bounded."""
        return self._mempool.waiting > 0 and not self.busy

    def select(self, epoch: int) -> Sequence[bytes]:
        """See `Application`."""
        if self.busy:
            return []
        return self._mempool.select(
            epoch, self._parameters.batch_size, self._limit, self._parameters.max_proposal_bytes
        )

    @property
    def busy(self) -> bool:
        """See `OrderedApplication`."""
        return len(self.pending) >= PENDING_BLOCKS_TO_PAUSE

    @property
    def transactions_waiting(self) -> int:
        """See `OrderedApplication`."""
        return self._mempool.waiting

    def reserve(self, label: int, count: int, max_bytes: int) -> list[bytes]:
        """See `OrderedApplication`."""
        return self._mempool.reserve(label, count, max_bytes)

    def release(self, label: int) -> None:
        """See `OrderedApplication`."""
        self._mempool.release(label)

    def still_pending(self, transactions: Sequence[bytes]) -> list[bytes]:
        """See `OrderedApplication`."""
        return self._mempool.still_pending(transactions)

    def committed(self, transactions: Sequence[bytes]) -> set[bytes]:
        """See `OrderedApplication`."""
        return set(self._chain.committed(transactions))

    def state_digest(self, epoch: int) -> bytes | None:
        """See `OrderedApplication`: the hash of the epoch's block, which names all blocks before it."""
        return self._chain.block_hash(epoch)

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Sequence[bytes]]]) -> None:
        """See `Application`. After a restart the protocol may come again through epochs that the chain has; LedgerError
        if one of them ends differently now."""
        contributed = list(concatenate.from_iterable(part for _, part in contributions))
        if epoch <= self._chain.epoch:
            self._chain.repeat(epoch, contributions)
            self._mempool.commit(epoch, contributed)
            return
        update = self._chain.extend(epoch, contributions)
        repeated: dict[int, list[Ticket]] = {}
        for transaction, height in update.duplicates.items():
            # Committed before it was proposed again: whoever asked learns where it is.
            repeated.setdefault(height, []).extend(self._mempool.commit(-1, [transaction]))
        tickets = self._mempool.commit(epoch, contributed)
        self._await_disk(update.block.header, tickets, repeated, certified=False)

    def adopt(self, block: Block, transactions: Sequence[bytes], certificate: bytes) -> None:
        """Append a certified block of other nodes: what is in it no longer waits here."""
        self._chain.adopt(block, transactions, certificate)
        tickets = self._mempool.commit(block.header.epoch, transactions)
        self._await_disk(block.header, tickets, {}, certified=True)

    def passed(self, epoch: int) -> None:
        """The protocol goes on behind this epoch without committing it: its block is there already."""
        self._mempool.release_through(epoch)

    def submit(self, request: Request, transactions: Sequence[bytes]) -> Submission:
        """Take a client's transactions; says which are durable already and which were refused."""
        durable: dict[int, list[int]] = {}
        skip: list[int] = []
        refused: list[int] = []
        committed = self._chain.committed(transactions)
        if committed:
            pending = {block.height: block for block in self.pending}
            room = MAX_TICKETS - sum(len(block.tickets) for block in self.pending)
            for position, transaction in enumerate(transactions):
                height = committed.get(transaction)
                if height is None:
                    continue
                skip.append(position)
                block = pending.get(height)
                if block is not None:
                    # On its way to the disk: this request is told with the others.
                    if room > 0:
                        block.tickets.append((request, position))
                        room -= 1
                    else:
                        refused.append(position)
                else:
                    durable.setdefault(height, []).append(position)
        if self._silent():
            refusal = Refusal({"silent": sorted(set(range(len(transactions))).difference(skip))})
        else:
            refusal = self._mempool.add(request, transactions, skip)
        for position in refused:
            refusal.add("full", position)
        return Submission(durable, refusal)

    def blocks_durable(self, height: int) -> list[CommittedBlock]:
        """Blocks up to `height` are on disk: hand them over, oldest first."""
        done = []
        while self.pending and self.pending[0].height <= height:
            done.append(self.pending.popleft())
            self.durable_epoch = done[-1].epoch
        return done

    def _await_disk(
        self, header: Header, tickets: list[Ticket], repeated: dict[int, list[Ticket]], *, certified: bool
    ) -> None:
        """A block is in the chain: remember who is to be told when it is on disk."""
        self.pending.append(
            CommittedBlock(
                height=header.height,
                epoch=header.epoch,
                block_hash=header.hash,
                certified=certified,
                tx_count=header.tx_count,
                tx_bytes=header.tx_bytes,
                proposers=tuple(header.proposers),
                tickets=tickets,
                repeated=repeated,
            )
        )
