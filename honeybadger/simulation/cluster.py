"""Whole nodes on the in-memory network: a protocol object, a list of waiting transactions, the blocks it committed.

Up to f nodes can be given to an adversary: a `Strategy` receives what the node receives, sees every message on
the network, and may send anything under its own nodes' names. It can neither forge another sender nor drop a message
between correct nodes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from crypto.dealer import PublicKeys, SecretKeys, deal
from crypto.signatures import PublicSigningKeys, SigningKey, deal_signing_keys
from crypto.suites import DEFAULT, find_suite
from honeybadger.adversary.outbox import FilteredOutbox as FilteredOutbox
from honeybadger.protocols.context import Context, Outbox
from honeybadger.protocols.contract import ConsensusProtocol, Specification
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.wire import Message
from honeybadger.simulation.ideal_signatures import IdealSigningKey
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import Order, shuffled
from honeybadger.simulation.virtual_time.ideal import IDEAL
from honeybadger.transactions import Transactions


class SimulatedApplication:
    """Waiting transactions and committed epochs of one simulated node."""

    def __init__(self, limit: int, rng: random.Random) -> None:
        self._limit = limit
        self._rng = rng
        self.waiting: dict[bytes, None] = {}
        self._reserved: dict[int, list[bytes]] = {}
        self._committed: set[bytes] = set()
        self._digests = [bytes(32)]
        #: (epoch, proposers, transactions without duplicates)
        self.blocks: list[tuple[int, tuple[int, ...], tuple[bytes, ...]]] = []

    def submit(self, transactions: Sequence[bytes]) -> None:
        self.waiting.update(dict.fromkeys(transactions))

    @property
    def durable_epoch(self) -> int:
        return len(self.blocks)

    @property
    def busy(self) -> bool:
        return False

    @property
    def transactions_waiting(self) -> int:
        return len(self.waiting)

    def reserve(self, label: int, count: int, max_bytes: int) -> Transactions:
        """Sizes do not matter here."""
        return Transactions.of(self._reserve(label, list(self.waiting)[:count]))

    def release(self, label: int) -> None:
        back = [tx for tx in self._reserved.pop(label, ()) if tx not in self._committed]
        self.waiting = {**dict.fromkeys(back), **self.waiting}

    def still_pending(self, transactions: Sequence[bytes]) -> Transactions:
        held = set(self.waiting).union(*self._reserved.values()) - self._committed
        return Transactions.of(tx for tx in transactions if tx in held)

    def committed(self, transactions: Sequence[bytes]) -> NDArray[np.bool_]:
        return np.array([transaction in self._committed for transaction in transactions], bool)

    def state_digest(self, epoch: int) -> bytes | None:
        """A running hash of the blocks."""
        while len(self._digests) <= min(epoch, len(self.blocks)):
            block = repr(self.blocks[len(self._digests) - 1]).encode()
            self._digests.append(sha256(self._digests[-1] + block).digest())
        return self._digests[epoch] if epoch < len(self._digests) else None

    def has_committed(self, transactions: Set[bytes]) -> bool:
        return transactions <= self._committed

    def has_transactions(self) -> bool:
        return bool(self.waiting)

    def select(self, epoch: int) -> Transactions:
        chosen = self._rng.sample(list(self.waiting), min(self._limit, len(self.waiting)))
        return Transactions.of(self._reserve(epoch, chosen))

    def _reserve(self, label: int, chosen: list[bytes]) -> list[bytes]:
        for transaction in chosen:
            del self.waiting[transaction]
        self._reserved.setdefault(label, []).extend(chosen)
        return chosen

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Transactions]]) -> None:
        distinct = dict.fromkeys(tx for _, txs in contributions for tx in txs if tx not in self._committed)
        self._committed.update(distinct)
        self.blocks.append((epoch, tuple(j for j, _ in contributions), tuple(distinct)))
        self.waiting.update(dict.fromkeys(self._reserved.pop(epoch, ())))
        self.waiting = {tx: None for tx in self.waiting if tx not in self._committed}

    @property
    def transactions(self) -> list[bytes]:
        return [tx for _, _, txs in self.blocks for tx in txs]


class Strategy:
    """Behaviour of one adversary-controlled node. The default is silence."""

    #: what the node brings in, in addition to what correct nodes were given
    own_transactions: Sequence[bytes] = ()

    def start(self, node: ByzantineNode) -> None:
        """Called once before the run."""

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        """A message was delivered to the node."""


class HoldsBack:
    """Hands messages to a protocol object as a real node's links do: when its horizon reaches their epoch."""

    def __init__(self, protocol: ConsensusProtocol) -> None:
        self._protocol = protocol
        self._held: list[tuple[int, Message]] = []

    def receive(self, sender: int, message: Message) -> None:
        """Deliver the message and what it makes deliverable, or keep it."""
        self._held.append((sender, message))
        while ready := [item for item in self._held if item[1].epoch <= self._protocol.horizon]:
            self._held = [item for item in self._held if item[1].epoch > self._protocol.horizon]
            for item in ready:
                self._protocol.handle(*item)


class ByzantineNode:
    """A node that a strategy controls: its keys, its outbox, and an honest protocol object it may drive or imitate."""

    def __init__(
        self, context: Context, specification: Specification, strategy: Strategy, application: SimulatedApplication
    ) -> None:
        self.context = context
        self.me = context.me
        self.outbox = context.outbox
        self.strategy = strategy
        self.specification = specification
        #: transactions that its honest objects may propose
        self.submit = application.submit
        #: the protocol objects that this node drives: their timers are one
        self.driven: list[ConsensusProtocol] = []

    def honest(self, outbox: Outbox) -> ConsensusProtocol:
        """An honest protocol object with this node's keys that speaks through `outbox`, and remembers what it said."""
        made = self.specification.build(replace(self.context, outbox=outbox, journal=JournalModel()))
        self.driven.append(made)
        return made

    def timeout(self, name: str) -> None:
        """A timer has expired."""
        for protocol in self.driven:
            protocol.timeout(name)


@lru_cache(maxsize=64)
def dealt_keys(nodes: int, faults: int, suite: str = DEFAULT) -> tuple[PublicKeys, tuple[SecretKeys, ...]]:
    """Keys from a seeded dealer: for simulation only."""
    public, secret = deal(nodes, faults, random.Random(f"keys {nodes} {faults}").randbytes, find_suite(suite))
    return public, tuple(secret)


@lru_cache(maxsize=64)
def dealt_signing_keys(nodes: int) -> tuple[PublicSigningKeys, tuple[SigningKey, ...]]:
    """Ed25519 keys from a seeded dealer: for simulation only."""
    public, secret = deal_signing_keys(nodes, random.Random(f"signing keys {nodes}").randbytes)
    return public, tuple(secret)


def ideal_keys(nodes: int, faults: int, seed: int) -> tuple[PublicKeys, tuple[SecretKeys, ...]]:
    """Keys of the ideal suite. Each seed has coins of its own."""
    public, secret = deal(nodes, faults, random.Random(f"ideal keys {seed}").randbytes, IDEAL)
    return public, tuple(secret)


class SimulatedCluster:
    """N nodes, of which `byzantine` (index → strategy) belong to the adversary.

    `ideal`: tags and keyed hashes in place of cryptography. `run(...)` drives it; `check()` verifies the invariants
    that hold after every run.
    """

    #: deliveries in which a run must reach its goal, unless it says otherwise
    MAX_STEPS = 2_000_000

    def __init__(
        self,
        nodes: int,
        seed: int = 0,
        *,
        faults: int | None = None,
        scheduler: Order = shuffled,
        parameters: Parameters | None = None,
        byzantine: Mapping[int, Strategy] | None = None,
        specification: Specification = SPECIFICATION,
        ideal: bool = False,
    ) -> None:
        model = specification.fault_model
        self.quorums = model.quorums(nodes, model.largest_faults(nodes) if faults is None else faults)
        self.parameters = parameters or specification.parameters(batch_size=4 * nodes, max_proposal_bytes=1 << 17)
        self.network = self._make_network(nodes, seed, scheduler)
        self.byzantine: dict[int, ByzantineNode] = {}
        self.nodes: dict[int, ConsensusProtocol] = {}
        self.applications: dict[int, SimulatedApplication] = {}
        self.submitted: set[bytes] = set()
        public, secret = (
            ideal_keys(nodes, self.quorums.faults, seed)
            if ideal
            else dealt_keys(nodes, self.quorums.faults, self.parameters.suite)
        )
        signing = [IdealSigningKey(node) for node in range(nodes)] if ideal else dealt_signing_keys(nodes)[1]
        verifying = signing[0] if ideal else dealt_signing_keys(nodes)[0]
        self._one_proposer = specification.one_proposer_per_block
        for me in range(nodes):
            rng = random.Random(f"node {me} {seed}")
            application = self._make_application(me, rng)
            context = Context(
                me=me,
                parameters=self.parameters,
                quorums=self.quorums,
                chain_id=b"simulated chain".ljust(32, b"."),
                public_keys=public,
                secret_keys=secret[me],
                outbox=self.network.outbox(me),
                application=application,
                randbytes=rng.randbytes,
                journal=JournalModel(),
                timers=self.network.timers(me),
                signing_keys=verifying,  # type: ignore[arg-type]
                signing_key=signing[me],  # type: ignore[arg-type]
            )
            if byzantine and me in byzantine:
                node = self.byzantine[me] = ByzantineNode(context, specification, byzantine[me], application)
                self.network.attach(me, Endpoint(partial(node.strategy.receive, node)))
                self.network.timers(me).expired = node.timeout
            else:
                self.applications[me] = application
                self._add_correct(context, specification)

    @property
    def correct(self) -> list[int]:
        return sorted(self.nodes)

    def submit(self, node: int, transactions: Sequence[bytes]) -> None:
        self.submitted.update(transactions)
        self.applications[node].submit(transactions)

    def start(self) -> None:
        for node in self.byzantine.values():
            node.strategy.start(node)
        for me in self.nodes:
            self._start_correct(me)

    def poke(self, node: int) -> None:
        """Transactions arrived at a correct node."""
        self.nodes[node].poke()

    def run(self, until: Callable[[], bool], max_steps: int | None = None) -> None:
        """Run to the goal; Stalled if that does not come within `max_steps` (None: `MAX_STEPS`) deliveries."""
        self.network.run(until, self.MAX_STEPS if max_steps is None else max_steps)

    def is_up(self, node: int) -> bool:
        return True

    def run_until_committed(self, transactions: Sequence[bytes], max_steps: int | None = None) -> None:
        """Run until every correct node is up and has committed all of `transactions`."""
        wanted = set(transactions)
        given = self.applications.items()
        self.run(lambda: all(self.is_up(me) and each.has_committed(wanted) for me, each in given), max_steps)

    def run_until_epoch(self, epoch: int, max_steps: int | None = None) -> None:
        """Run until every correct node is up and has committed `epoch`."""
        self.run(lambda: all(self.is_up(me) and node.epoch > epoch for me, node in self.nodes.items()), max_steps)

    def check(self) -> None:
        """Raise AssertionError unless agreement, order, uniqueness, subset size and honest accusations all hold."""
        chains = [application.blocks for application in self.applications.values()]
        longest = max(chains, key=len)
        for chain in chains:
            if chain != longest[: len(chain)]:
                raise AssertionError("correct nodes' chains differ")
        if [block[0] for block in longest] != list(range(1, len(longest) + 1)):
            raise AssertionError("epochs are not consecutive")
        for epoch, proposers, _ in longest:
            if len(proposers) < self.quorums.quorum and not self._one_proposer:
                raise AssertionError(f"subset of epoch {epoch} has {len(proposers)} members")
        transactions = [tx for block in longest for tx in block[2]]
        if len(set(transactions)) != len(transactions):
            raise AssertionError("a transaction was committed twice")
        for fault in self.network.faults:
            if fault.node in self.nodes:
                raise AssertionError(f"a correct node was accused: {fault}")

    def _make_network(self, nodes: int, seed: int, scheduler: Order) -> InMemoryNetwork:
        return InMemoryNetwork(nodes, seed, scheduler)

    def _make_application(self, me: int, rng: random.Random) -> SimulatedApplication:
        return SimulatedApplication(self.parameters.transactions_per_node(self.quorums.nodes), rng)

    def _start_correct(self, me: int) -> None:
        self.poke(me)

    def _add_correct(self, context: Context, specification: Specification) -> None:
        protocol = self.nodes[context.me] = specification.build(context)
        self.network.timers(context.me).expired = protocol.timeout
        self.network.attach(context.me, Endpoint(protocol.handle, lambda: protocol.horizon, lambda: protocol.leader))
