"""What a protocol may use: its way to the network, to what it orders, to its journal, to time and randomness.

The same inputs in the same order give the same outputs: randomness, transactions and keys come through the `Context`,
and whatever the protocol does goes out through it.

Three kinds of trouble are kept apart. Our own misuse raises. A peer's misbehaviour is data: `Outbox.fault`.
A message that is merely early or late is neither: by rule it is buffered or dropped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from crypto.dealer import PublicKeys, SecretKeys
from crypto.signatures import PublicSigningKeys, SigningKey
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.wire import Message
from honeybadger.transactions import Transactions


class VoteJournal(Protocol):
    """Remembers votes across restarts; the runtime makes them durable before the tick's frames leave.

    By default nothing is remembered.
    `vote`: a kind of vote, a number that is the protocol's own (`Specification.votes`).
    """

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        """The value first remembered for this slot, which is `value` unless the node sent another one before."""
        return value

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        """The value remembered for this slot, if any."""
        return None

    def epochs(self) -> Iterable[int]:
        """The epochs in which anything is remembered, ascending."""
        return ()

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        """All that is remembered of an epoch, ascending: (vote, proposer, round, value)."""
        return ()


class NoJournal(VoteJournal):
    """For a node that never restarts: nothing was sent before."""


class Outbox(Protocol):
    """Where a protocol's effects go; supplied by the runtime (a node, or the in-memory network)."""

    def broadcast(self, message: Message) -> None:
        """Send to every node, oneself included: the runtime loops it back through its queue, not by recursion."""

    def send(self, node: int, message: Message) -> None:
        """Send to one node, which may be oneself."""

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        """Record misbehaviour of `node`: one of `FaultKind`, or of the protocol's own kinds."""


class Application(Protocol):
    """What the protocol orders: the mempool on one side, the ledger on the other."""

    def has_transactions(self) -> bool:
        """Whether `select` would return anything."""

    def select(self, epoch: int) -> Transactions:
        """A random choice of at most `transactions_per_node` waiting transactions for `epoch`.

        They stay reserved for that epoch until `commit` is called for it.
        """

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Transactions]]) -> None:
        """The outcome of `epoch`: (proposer, transactions) ascending by proposer, identical at every correct node.

        Called once per epoch, in order of epochs, without gaps.
        """


class OrderedApplication(Application, Protocol):
    """What a protocol with a leader asks of the application as well."""

    @property
    def durable_epoch(self) -> int:
        """The newest epoch whose block is on disk; 0 before the first."""

    @property
    def busy(self) -> bool:
        """Whether the disk lags behind, so that nothing new should be proposed."""

    @property
    def transactions_waiting(self) -> int:
        """How many transactions are neither committed nor reserved."""

    def reserve(self, label: int, count: int, max_bytes: int) -> list[bytes]:
        """The oldest waiting transactions, at most `count` and `max_bytes` serialised, in order.

        They stay reserved until they are committed, until `commit` is called for the epoch `label`, or until
        `release(label)`. A label below 0 is no epoch.
        """

    def release(self, label: int) -> None:
        """What was reserved under `label` and is not committed waits again, before everything else."""

    def still_pending(self, transactions: Sequence[bytes]) -> list[bytes]:
        """Those of `transactions` that wait here or are reserved, in order."""

    def committed(self, transactions: Sequence[bytes]) -> set[bytes]:
        """Those of `transactions` that are committed, durable or not."""

    def state_digest(self, epoch: int) -> bytes | None:
        """32 bytes that stand for all blocks up to that of `epoch`; None if that is not committed here."""


class Timers(Protocol):
    """One-shot timers of a protocol; when one expires, the runtime calls `ConsensusProtocol.timeout(name)`."""

    def set(self, name: str, delay_s: float) -> None:
        """Expire in `delay_s` seconds; replaces a timer of the same name."""

    def cancel(self, name: str) -> None:
        """Do not expire; nothing happens if there is no such timer."""


class NoTimers(Timers):
    """For protocols that know no time."""


class Observer(Protocol):
    """Receives the phases of a protocol's work, for measurement; must not influence it."""

    def __call__(self, epoch: int, phase: str, **details: int) -> None: ...


def no_observer(epoch: int, phase: str, **details: int) -> None:
    """An observer that looks away."""


@dataclass(frozen=True)
class Context:
    """Everything a protocol instance is built from.

    `me`: own index, 0 … N-1; `chain_id`: 32 bytes, bound into every signed or encrypted value; `first_epoch`:
    where to begin (1 for a new chain); `silent_through`: the highest epoch in which this node must say nothing, because
    it lost its votes; `randbytes`: cryptographically secure randomness (seeded in tests).
    """

    me: int
    parameters: Parameters
    quorums: Quorums
    chain_id: bytes
    public_keys: PublicKeys
    secret_keys: SecretKeys
    outbox: Outbox
    application: OrderedApplication
    randbytes: Callable[[int], bytes]
    observe: Observer = no_observer
    first_epoch: int = 1
    silent_through: int = 0
    journal: VoteJournal = field(default_factory=NoJournal)
    timers: Timers = field(default_factory=NoTimers)
    #: Ed25519 keys, for protocols with signed certificates
    signing_keys: PublicSigningKeys | None = None
    signing_key: SigningKey | None = None
