"""Wire messages of Honey Badger: flat, typed, each carrying its own address (epoch, proposer, round).

The field constraints are part of the validation: a message that decodes has a sane shape, and only what depends
on the cluster (is this proposer a member? is this shard too long?) is left to the protocol. Names follow the
papers: VAL, ECHO, READY (Bracha; Cachin and Tessaro), BVAL, AUX (Mostefaoui, Moumen, Raynal), CONF (Cobalt), TERM.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

EpochNumber = Annotated[int, Meta(ge=0, le=2**53)]
NodeIndex = Annotated[int, Meta(ge=0, le=65535)]
RoundNumber = Annotated[int, Meta(ge=0, le=2**31)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
GroupElement = Annotated[bytes, Meta(min_length=48, max_length=48)]
#: a Merkle branch: at most 16 siblings of 32 bytes (65,536 leaves)
Branch = Annotated[bytes, Meta(max_length=16 * 32)]
#: CONF carries a set of bits: 1 = {0}, 2 = {1}, 3 = {0, 1}
BitSet = Annotated[int, Meta(ge=1, le=3)]


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A protocol message; `epoch` orders it against the receiver's window."""

    epoch: EpochNumber


class Val(Message, frozen=True, tag=1):
    """Proposer to one node: its shard of the proposal and the branch that proves it under `root`."""

    proposer: NodeIndex
    root: Digest
    branch: Branch
    shard: bytes


class Echo(Message, frozen=True, tag=2):
    """A node's own shard, to everybody."""

    proposer: NodeIndex
    root: Digest
    branch: Branch
    shard: bytes


class Ready(Message, frozen=True, tag=3):
    """The sender knows that the proposal under `root` can be restored."""

    proposer: NodeIndex
    root: Digest


class BVal(Message, frozen=True, tag=4):
    """Estimate of a round; a correct node may send both values."""

    proposer: NodeIndex
    round: RoundNumber
    value: bool


class Aux(Message, frozen=True, tag=5):
    """First value that entered bin_values of a round; one per node and round."""

    proposer: NodeIndex
    round: RoundNumber
    value: bool


class Conf(Message, frozen=True, tag=6):
    """The set of values of the accepted AUX messages; one per node and round."""

    proposer: NodeIndex
    round: RoundNumber
    values: BitSet


class CoinShare(Message, frozen=True, tag=7):
    """Share of the round's common coin: a threshold signature share."""

    proposer: NodeIndex
    round: RoundNumber
    share: GroupElement


class Term(Message, frozen=True, tag=8):
    """The sender has decided `value` in this instance and starts no further round."""

    proposer: NodeIndex
    value: bool


class DecryptionShares(Message, frozen=True, tag=9):
    """All decryption shares of one node for one epoch: (proposer, share), ascending by proposer."""

    shares: Annotated[list[tuple[NodeIndex, GroupElement]], Meta(max_length=65536)]


HoneyBadgerMessage = Val | Echo | Ready | BVal | Aux | Conf | CoinShare | Term | DecryptionShares
MESSAGE_TYPES: tuple[type[Message], ...] = (
    Val,
    Echo,
    Ready,
    BVal,
    Aux,
    Conf,
    CoinShare,
    Term,
    DecryptionShares,
)
