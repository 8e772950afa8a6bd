"""What the protocol orders, at a node: transactions come from the mempool and go into the chain.

Blocks are written to disk by a worker; `blocks_durable` says when, and only then are clients told.
"""

import os
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from honeybadger.fingerprinted import Fingerprinted, Mask
from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.chain import Chain
from honeybadger.node.mempool import Mempool, Request, Ticket
from honeybadger.protocols.parameters import Parameters
from honeybadger.transactions import EMPTY, U32, Index, Transactions

#: blocks waiting for the disk beyond which this node proposes nothing of its own
PENDING_BLOCKS_TO_PAUSE = 8
#: who may wait for transactions of blocks on their way to the disk, in all: clients can ask for the same ones again
MAX_TICKETS = 1_000_000
_NONE = np.empty(0, np.intp)


@dataclass
class CommittedBlock:
    """A block on its way to the disk, with who waits for its transactions.

    `certified`: it came with its certificate; `repeated`: tickets of transactions that an earlier block holds, by
    height; `waiting`: how many transactions `tickets` are for.
    """

    header: Header
    certified: bool
    tickets: list[Ticket]
    repeated: dict[int, list[Ticket]]
    waiting: int = 0

    def __post_init__(self) -> None:
        self.waiting = sum(len(positions) for _, positions in self.tickets)


@dataclass(frozen=True)
class Submission:
    """What became of a request at once: positions already durable, by height, and positions refused, by reason."""

    durable: Mapping[int, Index]
    refused: Mapping[str, Index]


class NodeApplication:
    """The `Application` of a running node.

    `silent()`: whether it may propose nothing, because it lost its votes; `randbytes`: what it chooses by.
    """

    def __init__(
        self,
        nodes: int,
        parameters: Parameters,
        mempool: Mempool,
        chain: Chain,
        silent: Callable[[], bool] = lambda: False,
        randbytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._limit = parameters.transactions_per_node(nodes)
        self._parameters = parameters
        self._mempool = mempool
        #: see `Application`
        self.reserve, self.release, self.still_pending = mempool.reserve, mempool.release, mempool.still_pending
        self._chain = chain
        self._silent = silent
        self._randbytes = randbytes
        #: committed, not yet durable; oldest first
        self.pending: deque[CommittedBlock] = deque()
        self.durable_epoch = chain.epoch if chain.height else 0

    def has_transactions(self) -> bool:
        """False while the disk lags behind, so that memory stays bounded."""
        return self._mempool.waiting > 0 and not self.busy

    def select(self, epoch: int) -> Transactions:
        if self.busy:
            return EMPTY
        return self._mempool.select(
            epoch, self._parameters.batch_size, self._limit, self._parameters.max_proposal_bytes, self._randbytes
        )

    @property
    def busy(self) -> bool:
        return len(self.pending) >= PENDING_BLOCKS_TO_PAUSE

    @property
    def transactions_waiting(self) -> int:
        return self._mempool.waiting

    def committed(self, transactions: Sequence[bytes]) -> Mask:
        return self._chain.committed(transactions) > 0

    def state_digest(self, epoch: int) -> bytes | None:
        """The hash of the epoch's block, which names all blocks before it."""
        return self._chain.block_hash(epoch)

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Transactions]]) -> None:
        """After a restart the protocol may repeat epochs that the chain has; LedgerError if one differs now."""
        if epoch <= self._chain.epoch:
            self._chain.repeat(epoch, contributions)
            self._mempool.commit(epoch, Transactions.concat([part for _, part in contributions]))
            return
        update = self._chain.extend(epoch, contributions)
        tickets: list[Ticket] = []
        repeated: defaultdict[int, list[Ticket]] = defaultdict(list)
        for request, positions, where in self._mempool.commit(epoch, update.contributed):
            heights = update.heights[where]
            if not heights.any():
                tickets.append((request, positions))
                continue
            # Committed before it was proposed again: those who asked learn where it is.
            for height in np.unique(heights).tolist():
                there = repeated[height] if height else tickets
                there.append((request, positions[heights == height]))
        self.pending.append(CommittedBlock(update.block.header, False, tickets, dict(repeated)))

    def adopt(self, block: Block, transactions: Transactions, certificate: bytes) -> None:
        """Append a certified block of other nodes: what is in it no longer waits here."""
        self._chain.adopt(block, transactions, certificate)
        committed = self._mempool.commit(block.header.epoch, transactions)
        tickets: list[Ticket] = [(request, positions) for request, positions, _ in committed]
        self.pending.append(CommittedBlock(block.header, True, tickets, {}))

    def passed(self, epoch: int) -> None:
        """The protocol goes on behind this epoch without committing it: its block is there already."""
        self._mempool.release_through(epoch)

    def submit(self, request: Request, transactions: Sequence[bytes]) -> Submission:
        """Take a client's transactions; says which are durable already and which were refused."""
        asked = Fingerprinted.of(transactions, self._chain.key)
        heights = self._chain.committed(asked)
        known = heights > 0
        durable, full = self._already(request, heights) if known.any() else ({}, _NONE)
        refused: dict[str, Index] = {}
        if not self._silent():
            refused.update(self._mempool.add(request, asked, known))
        elif not known.all():
            refused["silent"] = np.flatnonzero(~known)
        if len(full):
            refused["full"] = np.concatenate([refused.get("full", _NONE), full])
        return Submission(durable, refused)

    def _already(self, request: Request, heights: U32) -> tuple[dict[int, Index], Index]:
        """Of transactions that the chain has at these heights (0: not): which are durable, by height, and for which
        nobody more can wait. For the others the request waits with those who asked before."""
        pending = {block.header.height: block for block in self.pending}
        room = MAX_TICKETS - sum(block.waiting for block in self.pending)
        durable: dict[int, Index] = {}
        full = [_NONE]
        order = np.argsort(heights, kind="stable")
        order = order[heights[order] > 0]
        for positions in np.split(order, np.flatnonzero(np.diff(heights[order])) + 1):
            height = int(heights[positions[0]])
            if (block := pending.get(height)) is None:
                durable[height] = positions
                continue
            # On its way to the disk: this request is told with the others.
            if taken := min(room, len(positions)):
                block.tickets.append((request, positions[:taken]))
                block.waiting += taken
                room -= taken
            full.append(positions[taken:])
        return durable, np.sort(np.concatenate(full))

    def blocks_durable(self, height: int) -> list[CommittedBlock]:
        """Blocks up to `height` are on disk: hand them over, oldest first."""
        done = []
        while self.pending and self.pending[0].header.height <= height:
            done.append(self.pending.popleft())
            self.durable_epoch = done[-1].header.epoch
        return done
