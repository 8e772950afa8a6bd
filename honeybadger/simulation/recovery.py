"""Nodes that crash and start again, on the in-memory network.

What the model takes over from a real node, and what survives a crash:

- A tick handles one message and what it causes at the node itself; then the journal is synced, and only then do the
  tick's messages leave. A crash loses the protocol object, the waiting transactions, the votes that were not synced
  and the messages that had not left; of those under way it loses a random part.
- Blocks reach the disk some time after the commit (`Disk`). A block is certified at a node once f+1 nodes have it on
  disk, as far as the node can reach them. A node announces its newest certified epoch, prunes its journal up to
  there and restarts behind it. Epochs that it runs again although it has their blocks are compared with those, not
  appended.
- Peers keep what they sent in epochs beyond the one announced, and send it again to a new incarnation.
- Who is behind takes certified blocks over from any node it reaches: at once if it is far behind, else when nothing
  else happens.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from enum import Enum, auto

from honeybadger.protocols.base import ConsensusProtocol, Context, FaultKind, Specification
from honeybadger.protocols.honey_badger import SPECIFICATION
from honeybadger.protocols.messages import Message
from honeybadger.protocols.parameters import Parameters
from honeybadger.simulation.cluster import SimulatedApplication, SimulatedCluster, Strategy
from honeybadger.simulation.journals import JournalModel, RestartableJournal
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import Scheduler, shuffled

#: this many epochs behind f+1 others, a node fetches blocks without waiting for a standstill
FAR_BEHIND = 4


class CrashPoint(Enum):
    """Where in a tick a node dies."""

    BEFORE_PERSIST = auto()
    BEFORE_SEND = auto()
    AMID_SEND = auto()
    AFTER_SEND = auto()


class RestartableNetwork(InMemoryNetwork):
    """Keeps what was sent to each node, for its next incarnation.

    `forgetful`: senders that keep nothing (a Byzantine node need not).
    """

    def __init__(self, nodes: int, seed: int, scheduler: Scheduler, forgetful: Collection[int] = ()) -> None:
        super().__init__(nodes, seed, scheduler)
        self._forgetful = frozenset(forgetful)
        self._retained: dict[tuple[int, int], list[Message]] = {}
        self._announced = dict.fromkeys(range(nodes), 0)
        self._down: set[int] = set()

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        """Put a message on its way, and keep it."""
        if sender not in self._forgetful and message.epoch > self._announced[recipient]:
            self._retained.setdefault((sender, recipient), []).append(message)
        if recipient not in self._down:
            super().transmit(sender, recipient, message)

    def announce(self, node: int, epoch: int) -> None:
        """`node` never again needs messages of epochs up to `epoch`."""
        self._announced[node] = max(self._announced[node], epoch)
        for (_, recipient), messages in self._retained.items():
            if recipient == node:
                messages[:] = [message for message in messages if message.epoch > epoch]

    def crashed(self, node: int, survives: Callable[[], bool]) -> None:
        """What is under way to `node` is lost; of what it has sent, what `survives`; it keeps nothing for others."""
        self._down.add(node)
        self.detach(node)
        self._pending = [item for item in self._pending if item[3] != node and (item[2] != node or survives())]
        heapq.heapify(self._pending)
        self._cut_off = [item for item in self._cut_off if item[1] != node and (item[0] != node or survives())]
        for pair in [pair for pair in self._retained if pair[0] == node]:
            del self._retained[pair]

    def restarted(self, node: int, endpoint: Endpoint) -> None:
        """A new incarnation: everything that is kept for it is sent again."""
        self._down.discard(node)
        self.attach(node, endpoint)
        for (sender, recipient), messages in self._retained.items():
            if recipient == node:
                for message in messages:
                    self._schedule(sender, recipient, message)


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

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Sequence[bytes]]]) -> None:
        """See `Application`; an epoch whose block is there must come to the same."""
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
        """See `OrderedApplication`."""
        return self.durable

    def adopt(self, blocks: Sequence[tuple[int, tuple[int, ...], tuple[bytes, ...]]]) -> None:
        """Append other nodes' certified blocks."""
        for block in blocks:
            self.blocks.append(block)
            self._committed.update(block[2])
        for transaction in [tx for tx in self.waiting if tx in self._committed]:
            del self.waiting[transaction]
        for epoch in [epoch for epoch in self._reserved if epoch <= len(self.blocks)]:
            for transaction in self._reserved.pop(epoch):
                if transaction not in self._committed:
                    self.waiting[transaction] = None

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
        journal: RestartableJournal,
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
        """See `Outbox`."""
        for node in range(self._context.quorums.nodes):
            self.send(node, message)

    def send(self, node: int, message: Message) -> None:
        """See `Outbox`."""
        if node == self.me:
            self._loopback.append(message)
        else:
            self._leaving.append((node, message))

    def fault(self, node: int, kind: FaultKind, detail: str) -> None:
        """See `Outbox`."""
        self._network.outbox(self.me).fault(node, kind, detail)

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        """See `VoteJournal`."""
        self.remembered += 1
        if self.crash_at is not None and self.remembered == self.crash_at[0]:
            self._dying = self.crash_at[1]
            self.crash_at = None
        return self.journal.remember(epoch, vote, proposer, round_number, value)

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        """See `VoteJournal`."""
        return self.journal.recall(epoch, vote, proposer, round_number)

    def epochs(self) -> Iterable[int]:
        """See `VoteJournal`."""
        return self.journal.epochs()

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        """See `VoteJournal`."""
        return self.journal.votes(epoch)

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
        protocol = self.protocol
        self._network.on_timeout(self.me, self._expired)
        self._network.restarted(self.me, Endpoint(self._receive, lambda: protocol.horizon))
        self.tick(protocol.poke)

    def crash(self) -> None:
        """The node dies, between two ticks or inside one."""
        if not self.up:
            return
        self.up = False
        self._dying = None
        self._loopback.clear()
        self._leaving.clear()
        self._network.cancel_timer(self.me)
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

    def _receive(self, sender: int, message: Message) -> None:
        self.tick(lambda: self.protocol.handle(sender, message))

    def _expired(self, name: str) -> None:
        self.tick(lambda: self.protocol.timeout(name))

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
        reached = {node for node in range(self._context.quorums.nodes) if self._rng.random() < 0.5}
        for node, message in leaving:
            speaks = not message.epoch or message.epoch > self.journal.silent_through
            if speaks and (dying is not CrashPoint.AMID_SEND or node in reached):
                self._network.transmit(self.me, node, message)
        if dying is not None:
            self.crash()

    def _build(self) -> None:
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


class RestartableCluster(SimulatedCluster):
    """A simulated cluster whose correct nodes may crash and restart.

    `make_journal(node)` is called once per node. `disk(node, epoch)` says whether the block may become durable now;
    `certify(node, epoch)` whether the node learns now that f+1 nodes have it. `far_behind`: see `FAR_BEHIND`; None:
    never.
    """

    def __init__(
        self,
        nodes: int,
        seed: int = 0,
        *,
        scheduler: Scheduler = shuffled,
        parameters: Parameters | None = None,
        byzantine: dict[int, Strategy] | None = None,
        specification: Specification = SPECIFICATION,
        make_journal: Callable[[int], RestartableJournal] = lambda node: JournalModel(),
        forgetful: Collection[int] = (),
    ) -> None:
        self._seed = seed
        self._forgetful = forgetful
        self._make_journal = make_journal
        self.live: dict[int, RestartableNode] = {}
        self.ledgers: dict[int, Ledger] = {}
        self.disk: Callable[[int, int], bool] = lambda node, epoch: True
        self.certify: Callable[[int, int], bool] = lambda node, epoch: True
        self.far_behind: int | None = FAR_BEHIND
        #: correct nodes that count as faulty for a while (their journal was lost)
        self.excused: set[int] = set()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_count = 0
        super().__init__(
            nodes, seed, scheduler=scheduler, parameters=parameters, byzantine=byzantine, specification=specification
        )
        self.network.idle = self._idle

    def at(self, steps: int, action: Callable[[], None]) -> None:
        """Do this once `steps` more messages were delivered, or when nothing else happens."""
        self._event_count += 1
        heapq.heappush(self._events, (self.network.steps + steps, self._event_count, action))

    def start(self) -> None:
        """Let every node begin."""
        for byzantine in self.byzantine.values():
            byzantine.strategy.start(byzantine)
        for node in self.live.values():
            node.start()

    def restart(self, me: int) -> None:
        """Start a node again that is down."""
        self.live[me].start()
        self.nodes[me] = self.live[me].protocol

    def poke(self, me: int) -> None:
        """Transactions arrived at a node."""
        self.live[me].tick(self.live[me].protocol.poke)

    def run(self, until: Callable[[], bool], max_steps: int = 200_000) -> None:
        """Run to the goal, with all that was asked for by `at`."""
        self.network.run(lambda: self._due() or until(), max_steps)

    def run_until_durable(self, epoch: int, max_steps: int = 200_000) -> None:
        """Run until every correct node is up and has the block of `epoch` on disk, certified; Stalled otherwise."""
        self.run(lambda: all(node.up and node.ledger.certified >= epoch for node in self.live.values()), max_steps)

    def run_until_committed(self, transactions: Sequence[bytes], max_steps: int = 200_000) -> None:
        """Run until every correct node is up and has committed all of `transactions`."""
        wanted = set(transactions)

        def done() -> bool:
            return all(
                node.up and all(tx not in node.ledger.waiting for tx in wanted) and wanted <= node.ledger._committed
                for node in self.live.values()
            )

        self.run(done, max_steps)

    def run_until_epoch(self, epoch: int, max_steps: int = 200_000) -> None:
        """Run until every correct node is up and has committed `epoch`."""
        self.run(lambda: all(n.up and n.protocol.epoch > epoch for n in self.live.values()), max_steps)

    def _due(self) -> bool:
        """Do what is due; never a reason to stop."""
        while self._events and self._events[0][0] <= self.network.steps:
            heapq.heappop(self._events)[2]()
        return False

    def _idle(self) -> bool:
        """Nothing is left to deliver: disks finish, who is behind fetches blocks, the next planned event happens."""
        before = [(node.ledger.certified, node.ledger.durable, len(node.ledger.blocks)) for node in self.live.values()]
        for node in self.live.values():
            if node.up:
                self._write(node)
            if node.up:
                self._catch_up(node, 1)
        after = [(node.ledger.certified, node.ledger.durable, len(node.ledger.blocks)) for node in self.live.values()]
        if before != after:
            return True
        if self._events and not self.network.has_timers:
            heapq.heappop(self._events)[2]()
            return True
        return False

    def _after_tick(self, node: RestartableNode) -> None:
        self._write(node)
        if node.up and self.far_behind is not None:
            self._catch_up(node, self.far_behind)

    def _write(self, node: RestartableNode) -> None:
        """The disk of a node makes progress, and its knowledge of what is on the others' disks."""
        ledger = node.ledger
        while ledger.durable < len(ledger.blocks) and self.disk(node.me, ledger.durable + 1):
            ledger.durable += 1
        reached = sorted((o.ledger.durable for o in self.live.values() if self._reaches(node, o)), reverse=True)
        weak = self.quorums.weak
        attested = min(ledger.durable, reached[weak - 1]) if len(reached) >= weak else 0
        if attested > ledger.certified and self.certify(node.me, attested):
            self._certified(node, attested)

    def _catch_up(self, node: RestartableNode, least: int) -> None:
        """Adopt certified blocks if f+1 others (or, after a standstill, one) are that far ahead."""
        others = [other.ledger.certified for other in self.live.values() if self._reaches(node, other)]
        wanted = node.protocol.epoch + least - 1
        ahead = [epoch for epoch in others if epoch >= wanted]
        if len(ahead) < (1 if least == 1 else self.quorums.weak):
            return
        best = max(ahead)
        source = next(o for o in self.live.values() if o.ledger.certified == best and self._reaches(node, o))
        ledger = node.ledger
        node.adopted += max(0, best - len(ledger.blocks))
        ledger.adopt(source.ledger.blocks[len(ledger.blocks) : best])
        ledger.durable = max(ledger.durable, best)
        self._certified(node, best)

    def _certified(self, node: RestartableNode, epoch: int) -> None:
        node.ledger.certified = epoch
        if node.protocol.epoch <= epoch:
            # It was running the epoch (again): its votes there are about to be forgotten.
            node.tick(lambda: node.protocol.skip_to(epoch + 1))
        if not node.up:
            return
        node.journal.prune(min(epoch, node.protocol.settled))
        if self._whole_batches:
            # A real node pokes in every tick; this is when PBFT has something to do then.
            node.tick(node.protocol.poke)
            if not node.up:
                return
        self.network.announce(node.me, epoch)  # type: ignore[attr-defined]

    def _reaches(self, node: RestartableNode, other: RestartableNode) -> bool:
        return other.up and self.network.connected(node.me, other.me)

    def _make_network(self, nodes: int, seed: int, scheduler: Scheduler) -> InMemoryNetwork:
        return RestartableNetwork(nodes, seed, scheduler, self._forgetful)

    def _make_application(self, me: int, rng: random.Random) -> SimulatedApplication:
        return Ledger(self.parameters.transactions_per_node(self.quorums.nodes), rng)

    def _add_correct(self, context: Context, specification: Specification) -> None:
        me = context.me
        ledger, network = context.application, self.network
        if not isinstance(ledger, Ledger) or not isinstance(network, RestartableNetwork):
            raise TypeError("a restartable node needs a restartable ledger and network")
        self.ledgers[me] = ledger
        node = RestartableNode(
            context,
            specification,
            network,
            ledger,
            self._make_journal(me),
            self._after_tick,
            self._seed,
        )
        self.live[me] = node
        self.nodes[me] = node.protocol
