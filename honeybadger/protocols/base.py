"""What a protocol may use, and what the runtime asks of it.

A protocol is driven by `handle(sender, message)` and answers through its `Outbox`. The same inputs in the same
order give the same outputs: randomness, transactions and keys are passed in through the `Context`.

Three kinds of trouble are kept apart. Our own misuse raises. A peer's misbehaviour is data: `Outbox.fault`.
A message that is merely early or late is neither, and is buffered or dropped by rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Protocol

from crypto.dealer import PublicKeys, SecretKeys
from crypto.signatures import PublicSigningKeys, SigningKey
from honeybadger.protocols.messages import Message
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums


class FaultKind(StrEnum):
    """Kinds of misbehaviour that a correct node can prove to itself about a peer."""

    NOT_A_MEMBER = "names a proposer outside the cluster"
    NOT_THE_PROPOSER = "sent VAL in another node's broadcast"
    BAD_BRANCH = "shard does not belong to the root at the sender's index"
    BAD_SHARD_LENGTH = "shard length not allowed"
    EQUIVOCATION = "sent two different messages where one is allowed"
    BAD_CODEWORD = "broadcast shards that are not a codeword"
    FUTURE_EPOCH = "epoch outside the receiver's window"
    FUTURE_ROUND = "agreement round outside the window"
    BAD_COIN_SHARE = "invalid coin share"
    UNEXPECTED_COIN_SHARE = "coin share for a round without a coin"
    BAD_DECRYPTION_SHARE = "invalid decryption share"
    WRONG_SHARE_SET = "decryption shares do not match the agreed subset"
    BAD_CIPHERTEXT = "proposed an invalid ciphertext"
    BAD_CONTRIBUTION = "proposed a malformed batch"
    BAD_CERTIFICATE = "sent a block or certificate share that does not verify"
    NOT_THE_PRIMARY = "sent what only the primary of the view may send"
    UNEXPECTED_VOTE = "sent a vote that is not its to send"
    BAD_SIGNATURE = "sent an invalid signature"
    BAD_BATCH = "sent a batch that is malformed or not the one it names"
    BAD_VIEW_CHANGE = "sent an invalid view change"
    BAD_NEW_VIEW = "sent an invalid new view"
    BAD_REQUEST = "passed on a malformed transaction"
    BAD_FRAME = "sent a frame that does not decode"
    KEYS_USED_TWICE = "two processes use its keys at the same time"
    UNKNOWN_MESSAGE = "sent a message that this protocol does not know"


class Vote(IntEnum):
    """Messages that a restarted node must remember and send again.

    Safety needs those that a correct node sends once and never differently: all but BVAL, of which both are legal.
    Liveness needs all of them. Others have acted on what they heard: they hold AUX(b) because 2f+1 nodes sent BVAL(b),
    or decided 1 because 2f+1 READYs promised that the proposal can be restored. After a crash of all nodes, those who
    cannot take back their AUX or TERM wait for ever unless the messages that caused it come again. So each vote is
    sent again as it was when its epoch is opened again, not when its cause happens to occur again: the shard of an
    ECHO, too, since a faulty proposer will not send it twice. It has a record of its own, and none if the proposer is
    this node, whose PROPOSAL gives it again.
    """

    PROPOSAL = 1
    ECHO = 2
    READY = 3
    AUX = 4
    CONF = 5
    TERM = 6
    BVAL_FALSE = 7
    BVAL_TRUE = 8
    SHARD = 9


class VoteJournal(Protocol):
    """Remembers votes across restarts; the runtime makes them durable before the tick's frames leave."""

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        """The value first remembered for this slot, which is `value` unless the node sent another one before."""

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        """The value remembered for this slot, if any."""

    def epochs(self) -> Iterable[int]:
        """The epochs in which anything is remembered, ascending."""

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        """All that is remembered of an epoch, ascending: (vote, proposer, round, value)."""


class NoJournal:
    """For a node that never restarts: nothing was sent before."""

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        """See `VoteJournal`."""
        return value

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        """See `VoteJournal`."""
        return None

    def epochs(self) -> Iterable[int]:
        """See `VoteJournal`."""
        return ()

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        """See `VoteJournal`."""
        return ()


class Outbox(Protocol):
    """Where a protocol's effects go; supplied by the runtime (a node, or the in-memory network)."""

    def broadcast(self, message: Message) -> None:
        """Send to every node, oneself included: the runtime loops it back through its queue, not by recursion."""

    def send(self, node: int, message: Message) -> None:
        """Send to one node, which may be oneself."""

    def fault(self, node: int, kind: FaultKind, detail: str) -> None:
        """Record misbehaviour of `node`."""


class Application(Protocol):
    """What the protocol orders: the mempool on one side, the ledger on the other."""

    def has_transactions(self) -> bool:
        """Whether `select` would return anything."""

    def select(self, epoch: int) -> Sequence[bytes]:
        """A random choice of at most `transactions_per_node` waiting transactions for `epoch`.

        They stay reserved for that epoch until `commit` is called for it.
        """

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Sequence[bytes]]]) -> None:
        """The outcome of `epoch`: (proposer, transactions) ascending by proposer, identical at every correct node.

        Called once per epoch, in order of epochs, without gaps.
        """


class OrderedApplication(Application, Protocol):
    """What a protocol with a primary asks of the application beside `Application`."""

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


class NoTimers:
    """For protocols that know no time."""

    def set(self, name: str, delay_s: float) -> None:
        """See `Timers`."""

    def cancel(self, name: str) -> None:
        """See `Timers`."""


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


@dataclass(frozen=True)
class HeldBytes:
    """What a protocol keeps of what nodes sent, in bytes: now and at the most, whatever faulty nodes do.

    `epochs`: by epoch in progress; `instance`: the largest single broadcast. Votes are not counted: they are a few
    bits per sender in windows of fixed size.
    """

    epochs: dict[int, int]
    epoch_cap: int
    instance: int
    instance_cap: int


class ConsensusProtocol(Protocol):
    """What the runtime asks of a protocol."""

    @property
    def epoch(self) -> int:
        """The lowest epoch that is not yet committed."""

    @property
    def horizon(self) -> int:
        """The highest epoch whose messages are accepted now. Links hold back what lies beyond."""

    @property
    def leader(self) -> int | None:
        """The node on whose proposals everybody waits now, as this node sees it; None in a protocol without one."""

    def handle(self, sender: int, message: Message) -> None:
        """Process one message of authenticated `sender`. Never raises because of what a peer sent."""

    def poke(self) -> None:
        """Something outside changed: transactions arrived, or the node started. Propose if it is time."""

    def skip_to(self, epoch: int) -> None:
        """Blocks of all epochs before `epoch` were taken over from other nodes: go on from there."""

    def timeout(self, name: str) -> None:
        """A timer that was set through `Context.timers` has expired."""

    @property
    def settled(self) -> int:
        """The highest epoch whose votes the journal may forget, as far as the protocol is concerned."""

    def held_bytes(self) -> HeldBytes:
        """How much memory peers' messages take; for a look now and then."""

    def status(self) -> dict[str, Any]:
        """Plain data for people: what each layer is waiting for."""


def no_extra_epochs(parameters: Parameters) -> int:
    """For protocols that need no votes of epochs before the first uncertified one."""
    return 0


@dataclass(frozen=True)
class Specification:
    """A protocol's entry in the registry (entry-point group `honeybadger.protocols`).

    `longest_message(parameters, quorums)`: bytes of the longest encoded message of a correct node. `live_bytes`, of the
    same: how many bytes of messages a correct node may have to keep for a peer that lags, because the blocks they lead
    to are not in the ledgers of f+1 correct nodes yet. `kept_epochs(parameters)`: of how many epochs before the first
    one a restarted node needs its votes. `defaults`: parameters whose default differs from that of `Parameters`.
    `fixed`: those that cannot be chosen. `whole_batches`: a block is one node's proposal of B transactions, not those
    of every node, B/N each. `needs_signing_keys`: members have Ed25519 keys. `strategies`: which strategies of faulty
    nodes (`honeybadger.adversary`) make sense; None: those
    for Honey Badger.
    """

    name: str
    message_types: tuple[type[Message], ...]
    build: Callable[[Context], ConsensusProtocol]
    longest_message: Callable[[Parameters, Quorums], int]
    live_bytes: Callable[[Parameters, Quorums], int]
    kept_epochs: Callable[[Parameters], int] = no_extra_epochs
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    whole_batches: bool = False
    needs_signing_keys: bool = False
    strategies: frozenset[str] | None = None
