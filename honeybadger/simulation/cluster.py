"""Whole nodes on the in-memory network: a protocol object, a list of waiting transactions, the blocks it committed.

Up to f nodes can be given to an adversary: a `Strategy` receives what the node receives, sees every message on
the network, and may send anything under its own nodes' names. It can neither forge another sender nor drop a message
between correct nodes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from crypto.dealer import PublicKeys, SecretKeys, deal
from crypto.signatures import PublicSigningKeys, SigningKey, deal_signing_keys
from honeybadger.adversary.outbox import FilteredOutbox as FilteredOutbox
from honeybadger.protocols.base import ConsensusProtocol, Context, Specification
from honeybadger.protocols.honey_badger import SPECIFICATION
from honeybadger.protocols.messages import Message
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.network import Endpoint, InMemoryNetwork, NetworkOutbox
from honeybadger.simulation.schedulers import Scheduler, shuffled


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
        """Add transactions to the queue."""
        self.waiting.update(dict.fromkeys(transactions))

    @property
    def durable_epoch(self) -> int:
        """See `OrderedApplication`: what is committed is durable here."""
        return len(self.blocks)

    @property
    def busy(self) -> bool:
        """See `OrderedApplication`."""
        return False

    @property
    def transactions_waiting(self) -> int:
        """See `OrderedApplication`."""
        return len(self.waiting)

    def reserve(self, label: int, count: int, max_bytes: int) -> list[bytes]:
        """See `OrderedApplication`; sizes do not matter here."""
        chosen = list(self.waiting)[:count]
        for transaction in chosen:
            del self.waiting[transaction]
        self._reserved.setdefault(label, []).extend(chosen)
        return chosen

    def release(self, label: int) -> None:
        """See `OrderedApplication`."""
        back = [tx for tx in self._reserved.pop(label, ()) if tx not in self._committed]
        self.waiting = {**dict.fromkeys(back), **self.waiting}

    def still_pending(self, transactions: Sequence[bytes]) -> list[bytes]:
        """See `OrderedApplication`."""
        held = set(self.waiting).union(*self._reserved.values()) - self._committed
        return [tx for tx in transactions if tx in held]

    def committed(self, transactions: Sequence[bytes]) -> set[bytes]:
        """See `OrderedApplication`."""
        return self._committed.intersection(transactions)

    def state_digest(self, epoch: int) -> bytes | None:
        """See `OrderedApplication`: a running hash of the blocks."""
        while len(self._digests) <= min(epoch, len(self.blocks)):
            block = repr(self.blocks[len(self._digests) - 1]).encode()
            self._digests.append(sha256(self._digests[-1] + block).digest())
        return self._digests[epoch] if epoch < len(self._digests) else None

    def has_transactions(self) -> bool:
        """See `Application`."""
        return bool(self.waiting)

    def select(self, epoch: int) -> Sequence[bytes]:
        """See `Application`."""
        chosen = self._rng.sample(list(self.waiting), min(self._limit, len(self.waiting)))
        for transaction in chosen:
            del self.waiting[transaction]
        self._reserved[epoch] = chosen
        return chosen

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Sequence[bytes]]]) -> None:
        """See `Application`."""
        distinct = dict.fromkeys(tx for _, txs in contributions for tx in txs if tx not in self._committed)
        self._committed.update(distinct)
        self.blocks.append((epoch, tuple(j for j, _ in contributions), tuple(distinct)))
        for transaction in self._reserved.pop(epoch, ()):
            self.waiting[transaction] = None
        for transaction in [tx for tx in self.waiting if tx in self._committed]:
            del self.waiting[transaction]

    @property
    def transactions(self) -> list[bytes]:
        """All committed transactions in order."""
        return [tx for _, _, txs in self.blocks for tx in txs]


class Strategy:
    """Behaviour of one adversary-controlled node. The default is silence."""

    def start(self, node: ByzantineNode) -> None:
        """Called once before the run."""

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        """A message was delivered to the node."""


class ByzantineNode:
    """A node that a strategy controls: its keys, its outbox, and an honest protocol object it may drive or imitate."""

    def __init__(self, context: Context, specification: Specification, strategy: Strategy) -> None:
        self.context = context
        self.me = context.me
        self.outbox = context.outbox
        self.strategy = strategy
        self.specification = specification

    def honest(self, outbox: NetworkOutbox | FilteredOutbox) -> ConsensusProtocol:
        """An honest protocol object with this node's keys that speaks through `outbox`."""
        return self.specification.build(replace(self.context, outbox=outbox))


@lru_cache(maxsize=64)
def dealt_keys(nodes: int, faults: int) -> tuple[PublicKeys, tuple[SecretKeys, ...]]:
    """Keys from a seeded dealer: for simulation only."""
    public, secret = deal(nodes, faults, random.Random(f"keys {nodes} {faults}").randbytes)
    return public, tuple(secret)


@lru_cache(maxsize=64)
def dealt_signing_keys(nodes: int) -> tuple[PublicSigningKeys, tuple[SigningKey, ...]]:
    """Ed25519 keys from a seeded dealer: for simulation only."""
    public, secret = deal_signing_keys(nodes, random.Random(f"signing keys {nodes}").randbytes)
    return public, tuple(secret)


class SimulatedCluster:
    """N nodes, of which `byzantine` (index → strategy) belong to the adversary.

    `network.run(...)` drives it; `check()` verifies the invariants that hold after every run.
    """

    def __init__(
        self,
        nodes: int,
        seed: int = 0,
        *,
        faults: int | None = None,
        scheduler: Scheduler = shuffled,
        parameters: Parameters | None = None,
        byzantine: Mapping[int, Strategy] | None = None,
        specification: Specification = SPECIFICATION,
    ) -> None:
        self.quorums = Quorums(nodes, Quorums.largest_faults(nodes) if faults is None else faults)
        self.parameters = parameters or Parameters(batch_size=4 * nodes, max_proposal_bytes=1 << 17)
        self.network = self._make_network(nodes, seed, scheduler)
        self.byzantine: dict[int, ByzantineNode] = {}
        self.nodes: dict[int, ConsensusProtocol] = {}
        self.applications: dict[int, SimulatedApplication] = {}
        self.submitted: set[bytes] = set()
        public, secret = dealt_keys(nodes, self.quorums.faults)
        signing = dealt_signing_keys(nodes)
        self._whole_batches = specification.whole_batches
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
                timers=self.network.timers(me),
                signing_keys=signing[0],
                signing_key=signing[1][me],
            )
            if byzantine and me in byzantine:
                node = self.byzantine[me] = ByzantineNode(context, specification, byzantine[me])
                self.network.attach(me, Endpoint(self._receiver(node)))
            else:
                self.applications[me] = application
                self._add_correct(context, specification)

    @property
    def correct(self) -> list[int]:
        """Indices of the correct nodes."""
        return sorted(self.nodes)

    def submit(self, node: int, transactions: Sequence[bytes]) -> None:
        """Give transactions to a correct node."""
        self.submitted.update(transactions)
        self.applications[node].submit(transactions)

    def start(self) -> None:
        """Let every node begin."""
        for node in self.byzantine.values():
            node.strategy.start(node)
        for protocol in self.nodes.values():
            protocol.poke()

    def run_until_committed(self, transactions: Sequence[bytes], max_steps: int = 2_000_000) -> None:
        """Run until every correct node has committed all of `transactions`; Stalled if that never happens."""
        wanted = set(transactions)
        seen = dict.fromkeys(self.correct, 0)
        missing = {me: set(wanted) for me in self.correct}

        def done() -> bool:
            for me, application in self.applications.items():
                while seen[me] < len(application.blocks):
                    missing[me].difference_update(application.blocks[seen[me]][2])
                    seen[me] += 1
            return not any(missing.values())

        self.network.run(done, max_steps)

    def run_until_epoch(self, epoch: int, max_steps: int = 2_000_000) -> None:
        """Run until every correct node has committed `epoch`; Stalled if that never happens."""
        self.network.run(lambda: all(p.epoch > epoch for p in self.nodes.values()), max_steps)

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
            if len(proposers) < self.quorums.quorum and not self._whole_batches:
                raise AssertionError(f"subset of epoch {epoch} has {len(proposers)} members")
        transactions = [tx for block in longest for tx in block[2]]
        if len(set(transactions)) != len(transactions):
            raise AssertionError("a transaction was committed twice")
        for fault in self.network.faults:
            if fault.node in self.nodes:
                raise AssertionError(f"a correct node was accused: {fault}")

    def _make_network(self, nodes: int, seed: int, scheduler: Scheduler) -> InMemoryNetwork:
        return InMemoryNetwork(nodes, seed, scheduler)

    def _make_application(self, me: int, rng: random.Random) -> SimulatedApplication:
        return SimulatedApplication(self.parameters.transactions_per_node(self.quorums.nodes), rng)

    def _add_correct(self, context: Context, specification: Specification) -> None:
        protocol = self.nodes[context.me] = specification.build(context)
        self.network.on_timeout(context.me, protocol.timeout)
        self.network.attach(context.me, Endpoint(protocol.handle, lambda: protocol.horizon))

    @staticmethod
    def _receiver(node: ByzantineNode) -> Callable[[int, Message], None]:
        return lambda sender, message: node.strategy.receive(node, sender, message)
