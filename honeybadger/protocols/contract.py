"""What a protocol must provide: an object that the runtime drives, and a `Specification` that describes it.

The runtime calls `handle(sender, message)`; the protocol answers through its `Context`. All that the rest of the
package needs to know about a protocol (options, sizes, checks, phases in tables) derives from its `Specification`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any, NamedTuple, Protocol

from msgspec.inspect import StructType, type_info

from honeybadger.protocols.context import Context
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import BYZANTINE, FaultModel, Quorums
from honeybadger.protocols.wire import LONGEST_NUMBER, LONGEST_PREFIX, Message, longest_encoding


@dataclass(frozen=True)
class HeldBytes:
    """What a protocol keeps of what nodes sent, in bytes: now, and the most it can be whatever faulty nodes do.

    `epochs`: by epoch in progress; `instance`: the largest single broadcast. Votes are not counted: they are a few
    bits per sender in windows of fixed size.
    """

    epochs: dict[int, int]
    epoch_cap: int
    instance: int
    instance_cap: int


class ConsensusProtocol(Protocol):
    """What the runtime asks of a protocol. Those that inherit from it need not write what has a default here."""

    @property
    def epoch(self) -> int:
        """The lowest epoch that is not yet committed."""

    @property
    def horizon(self) -> int:
        """The highest epoch whose messages are accepted now. Links hold back what lies beyond."""

    @property
    def leader(self) -> int | None:
        """The node on whose proposals this node waits now, perhaps itself; None in a protocol without a leader."""
        return None

    def handle(self, sender: int, message: Message) -> None:
        """Process one message of authenticated `sender`. Never raises because of what a peer sent."""

    def poke(self) -> None:
        """Something outside changed: transactions arrived, or the node started. Propose if it is time."""

    def skip_to(self, epoch: int) -> None:
        """Blocks of all epochs before `epoch`, which is ahead, were taken over from other nodes: go on from there."""

    def timeout(self, name: str) -> None:
        """A timer that was set through `Context.timers` has expired. Does nothing by default."""

    @property
    def settled(self) -> int:
        """The highest epoch whose votes the journal may forget, as far as the protocol is concerned: by default,
        those that are committed."""
        return self.epoch - 1

    def held_bytes(self) -> HeldBytes:
        """How much memory peers' messages take; for a look now and then."""

    def status(self) -> dict[str, Any]:
        """Plain data for people: what each layer is waiting for. Empty by default."""
        return {}


class Phase(NamedTuple):
    """A point that an epoch reaches at a node, reported through `Context.observe`.

    `step`: what the time before it is called in tables and figures; "" for the first phase.
    """

    name: str
    step: str


@dataclass(frozen=True)
class Bulk:
    """A field whose type does not keep it short: how long may it be in a cluster?

    `longest(parameters, quorums)`: bytes; of a bytes field its length, of any other the length of its encoding. No
    correct node sends a longer one, and no correct node accepts one.
    """

    message: type[Message]
    field: str
    longest: Callable[[Parameters, Quorums], int]


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A protocol's entry in the registry (entry-point group `honeybadger.protocols`), checked there.

    `name`: as in `--protocol`; `display_name`: for people. `parameters`: the record of its parameters.
    `message_types`: each with a tag of its own from 1 on; `bulky`: their fields that may be long. `build`: makes the
    object of one node. `live_bytes(parameters, quorums)`: how many bytes of messages a correct node may have to
    keep for a peer that lags, because the blocks they lead to are not in the ledgers of f+1 correct nodes yet.
    `phases`: what each epoch goes through, in order, from "proposed" to "committed". `fault_model`: how many faults of
    which kind it tolerates. `fault_kinds`: misbehaviour that it records in addition to `FaultKind`. `votes`: its kinds
    of journal records, numbers from 1 to 255. `kept_epochs(parameters)`: of how many epochs before the first one a
    restarted node needs its votes, none by default. `has_leader`: its nodes wait for the proposals of one node, named
    by `ConsensusProtocol.leader`. `one_proposer_per_block`: a block is one node's proposal of B transactions, not those
    of many nodes, B/N each. `needs_signing_keys`: members have Ed25519 keys.
    """

    name: str
    display_name: str
    parameters: type[Parameters]
    message_types: tuple[type[Message], ...]
    build: Callable[[Context], ConsensusProtocol]
    live_bytes: Callable[[Parameters, Quorums], int]
    phases: tuple[Phase, ...]
    bulky: tuple[Bulk, ...] = ()
    fault_model: FaultModel = BYZANTINE
    fault_kinds: type[StrEnum] | None = None
    votes: type[IntEnum] | None = None
    kept_epochs: Callable[[Parameters], int] = lambda parameters: 0
    has_leader: bool = False
    one_proposer_per_block: bool = False
    needs_signing_keys: bool = False

    def limits(self, parameters: Parameters, quorums: Quorums) -> Mapping[type[Message], Mapping[str, int]]:
        """Of each message with bulky fields, how long they may be, by field; see `Bulk.longest`."""
        limits: dict[type[Message], dict[str, int]] = {}
        for bulk in self.bulky:
            limits.setdefault(bulk.message, {})[bulk.field] = bulk.longest(parameters, quorums)
        return limits

    def longest_message(self, parameters: Parameters, quorums: Quorums) -> int:
        """Bytes: no encoded message of a correct node is longer."""
        limits = self.limits(parameters, quorums)
        return max(_longest_of(kind, limits.get(kind, {})) for kind in self.message_types)


def _longest_of(kind: type[Message], limits: Mapping[str, int]) -> int:
    lengths = field_lengths(kind) | {name: LONGEST_PREFIX + limit for name, limit in limits.items()}
    return int(LONGEST_PREFIX + LONGEST_NUMBER + sum(lengths.values()))


@cache
def field_lengths(kind: type[Message]) -> dict[str, float]:
    """Field → bytes of its longest encoding as far as its type bounds it, else infinity."""
    info = type_info(kind)
    return {f.name: longest_encoding(f.type) for f in info.fields} if isinstance(info, StructType) else {"": math.inf}
