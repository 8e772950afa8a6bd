"""A node that crashes and starts again, on the in-memory network: what a tick is, and what survives it.

A tick handles one message and what it causes at the node itself; then the journal is synced, and only then do the
tick's messages leave. A crash loses the protocol object, the waiting transactions, the votes that were not synced, the
blocks that were not durable and the messages that had not left. The next incarnation begins behind the newest
certified block. Epochs that it runs again although it has their blocks are compared with those, not appended.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, StrEnum, auto

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol, Specification
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import SimulatedApplication
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.network import Endpoint
from honeybadger.simulation.restartable_network import RestartableNetwork
from honeybadger.transactions import Transactions


class CrashPoint(Enum):
    """Where in a tick a node dies."""

    BEFORE_PERSIST = auto()
    BEFORE_SEND = auto()
    AMID_SEND = auto()
    AFTER_SEND = auto()


class Ledger(SimulatedApplication):
    """Blocks of epochs 1, 2, …, of which a crash leaves `durable`; the newest certified one is `certified`."""

    def __init__(self, limit: int, rng: random.Random) -> None:
        super().__init__(limit, rng)
        self.given: dict[bytes, None] = {}
        self.durable = 0
        self.certified = 0

    def submit(self, transactions: Sequence[bytes]) -> None:
        """Clients do not give up: after a restart they submit again."""
        self.given.update(dict.fromkeys(transactions))
        super().submit(transactions)

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Transactions]]) -> None:
        """An epoch whose block is there must come to the same."""
        if epoch > len(self.blocks):
            super().commit(epoch, contributions)
            return
        proposers = tuple(j for j, _ in contributions)
        committed = {tx for _, txs in contributions for tx in txs}
        block = self.blocks[epoch - 1]
        if block[1] != proposers or not set(block[2]) <= committed or not committed <= self._committed:
            raise AssertionError(f"epoch {epoch} came to another result when it was run again")
        for transaction in self._reserved.pop(epoch, ()):
            if transaction not in self._committed:
                self.waiting[transaction] = None

    @property
    def durable_epoch(self) -> int:
        return self.durable

    def adopt(self, blocks: Sequence[tuple[int, tuple[int, ...], tuple[bytes, ...]]]) -> None:
        """Append other nodes' certified blocks."""
        for block in blocks:
            self.blocks.append(block)
            self._committed.update(block[2])
        for epoch in [epoch for epoch in self._reserved if epoch <= len(self.blocks)]:
            self.waiting.update(dict.fromkeys(self._reserved.pop(epoch)))
        self.waiting = {tx: None for tx in self.waiting if tx not in self._committed}

    def crash(self) -> None:
        """Only what was durable is left."""
        del self.blocks[self.durable :]
        del self._digests[self.durable + 1 :]
        self._committed = set(self.transactions)
        self._reserved.clear()
        self.waiting = {tx: None for tx in self.given if tx not in self._committed}


class RestartableNode:
    """One node over all its incarnations: the outbox of the protocol, its journal and its ledger.

    `crash_at`: (k, point): die in the tick of the k-th `remember` from now on, k from 1.
    """

    def __init__(
        self,
        context: Context,
        specification: Specification,
        network: RestartableNetwork,
        ledger: Ledger,
        journal: JournalModel,
        after_tick: Callable[[RestartableNode], None],
        seed: int,
    ) -> None:
        self.me = context.me
        self._context = context
        self._specification = specification
        self._network = network
        self.ledger = ledger
        self.journal = journal
        self._after_tick = after_tick
        self._seed = seed
        self._kept = specification.kept_epochs(context.parameters)
        self._rng = random.Random(f"crashes of {self.me} {seed}")
        self._loopback: deque[Message] = deque()
        self._leaving: list[tuple[int, Message]] = []
        self._dying: CrashPoint | None = None
        self.crash_at: tuple[int, CrashPoint] | None = None
        self.remembered = 0
        self.incarnation = 0
        #: blocks taken over from others
        self.adopted = 0
        self.up = False
        #: where the next incarnation begins; tests replace it to show why that is behind the CERTIFIED block
        self.first_epoch: Callable[[], int] = lambda: self.ledger.certified + 1
        self.protocol: ConsensusProtocol
        self._build()

    # -- Outbox and VoteJournal, as the protocol sees them ---------------------------------------------------

    def broadcast(self, message: Message) -> None:
        for node in range(self._context.quorums.nodes):
            self.send(node, message)

    def send(self, node: int, message: Message) -> None:
        if node == self.me:
            self._loopback.append(message)
        else:
            self._leaving.append((node, message))

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self._network.outbox(self.me).fault(node, kind, detail)

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        self.remembered += 1
        if self.crash_at is not None and self.remembered == self.crash_at[0]:
            self._dying = self.crash_at[1]
            self.crash_at = None
        return self.journal.remember(epoch, vote, proposer, round_number, value)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The first incarnation begins, or the next one."""
        if self.up:
            return
        if self.incarnation:
            self.journal.reopen(max(1, self.first_epoch() - self._kept))
            self._build()
        self.incarnation += 1
        self.up = True
        protocol, tick = self.protocol, self.tick
        self._network.timers(self.me).expired = lambda name: tick(lambda: protocol.timeout(name))
        handle = lambda *received: tick(lambda: protocol.handle(*received))  # noqa: E731
        endpoint = Endpoint(handle, lambda: protocol.horizon, lambda: protocol.leader)
        self._network.restarted(self.me, endpoint)
        tick(protocol.poke)

    def crash(self) -> None:
        """The node dies, between two ticks or inside one."""
        if not self.up:
            return
        self.up = False
        self._dying = None
        self._loopback.clear()
        self._leaving.clear()
        self._network.timers(self.me).clear()
        self.journal.crash()
        self.ledger.crash()
        self._network.crashed(self.me, lambda: self._rng.random() < 0.5)

    def tick(self, work: Callable[[], None]) -> None:
        """Do `work`, and then what ends a tick."""
        if not self.up:
            return
        work()
        while self._loopback:
            self.protocol.handle(self.me, self._loopback.popleft())
        self._end_of_tick()
        if self.up:
            self._after_tick(self)

    def _end_of_tick(self) -> None:
        dying, self._dying = self._dying, None
        if dying is CrashPoint.BEFORE_PERSIST:
            self.crash()
            return
        newest = max((message.epoch for _, message in self._leaving), default=-1)
        if newest > 0:
            self.journal.reserve(newest)
        if newest >= 0:
            self.journal.sync()
        if dying is CrashPoint.BEFORE_SEND:
            self.crash()
            return
        leaving, self._leaving = self._leaving, []
        reached = set(range(self._context.quorums.nodes))
        if dying is CrashPoint.AMID_SEND:
            reached = {node for node in reached if self._rng.random() < 0.5}
        for node, message in leaving:
            speaks = not message.epoch or message.epoch > self.journal.silent_through
            if speaks and node in reached:
                self._network.transmit(self.me, node, message)
        if dying is not None:
            self.crash()

    def _build(self) -> None:
        self.recall, self.epochs, self.votes = self.journal.recall, self.journal.epochs, self.journal.votes
        self.protocol = self._specification.build(
            replace(
                self._context,
                outbox=self,
                application=self.ledger,
                journal=self,
                first_epoch=self.first_epoch(),
                silent_through=self.journal.silent_through,
                randbytes=random.Random(f"node {self.me} {self._seed} {self.incarnation}").randbytes,
            )
        )
