"""Wire messages of Honey Badger: flat, typed, each carrying its own address (epoch, proposer, round).

Names follow the papers: VAL, ECHO, READY (Bracha; Cachin and Tessaro), BVAL, AUX (Mostefaoui, Moumen, Raynal), CONF
(Cobalt), TERM. BVAL2 and AUX2 are the second stage of Crain's agreement. ECHO_HASH and WANT are our own. At the end:
what a node writes to its journal (`Vote`), and how a peer can be seen to misbehave.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, get_args

from msgspec import Meta

from honeybadger.protocols.wire import Digest, Message, NodeIndex, ThresholdShare

RoundNumber = Annotated[int, Meta(ge=0, le=2**31)]
#: a Merkle branch: at most 16 siblings of 32 bytes (65,536 leaves)
Branch = Annotated[bytes, Meta(max_length=16 * 32)]
#: CONF carries a set of bits: 1 = {0}, 2 = {1}, 3 = {0, 1}
BitSet = Annotated[int, Meta(ge=1, le=3)]


class Val(Message, frozen=True, tag=1):
    """Proposer to one node: its shard of the proposal and the branch that proves it under `root`.

    With broadcast bracha, here and in ECHO: the whole proposal, an empty branch, and the proposal's hash.
    """

    proposer: NodeIndex
    root: Digest
    branch: Branch
    shard: bytes

    @property
    def payload(self) -> int:
        return len(self.shard)


class Echo(Message, frozen=True, tag=2):
    """The sender's own shard: a vote for the root. With broadcast hash-echo, holders send it to everybody, others to
    those who ask; with the other broadcasts everybody does."""

    proposer: NodeIndex
    root: Digest
    branch: Branch
    shard: bytes

    @property
    def payload(self) -> int:
        return len(self.shard)


class Ready(Message, frozen=True, tag=3):
    """The sender knows that correct nodes hold enough shards of the proposal under `root`."""

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
    share: ThresholdShare


class Term(Message, frozen=True, tag=8):
    """The sender has decided `value` in this instance and starts no further round."""

    proposer: NodeIndex
    value: bool


class DecryptionShares(Message, frozen=True, tag=9):
    """All decryption shares of one node for one epoch: (proposer, share), ascending by proposer."""

    shares: Annotated[list[tuple[NodeIndex, ThresholdShare]], Meta(max_length=65536)]


class EchoHash(Message, frozen=True, tag=10):
    """Of broadcast hash-echo: a vote for the root without the shard, from a node that is no holder; it sends the shard
    when asked."""

    proposer: NodeIndex
    root: Digest


class Want(Message, frozen=True, tag=11):
    """Of broadcast hash-echo, to a node that voted by hash: the sender lacks shards of the proposal under `root`."""

    proposer: NodeIndex
    root: Digest


class BVal2(Message, frozen=True, tag=12):
    """Of agreement crain20: what N-f CONFs have left of the values, of which 3 is Crain's ⊥; several may be sent."""

    proposer: NodeIndex
    round: RoundNumber
    values: BitSet


class Aux2(Message, frozen=True, tag=13):
    """Of agreement crain20: the first that entered bin_values2 of a round; one per node and round."""

    proposer: NodeIndex
    round: RoundNumber
    values: BitSet


HoneyBadgerMessage = (
    Val | Echo | Ready | BVal | Aux | Conf | CoinShare | Term | DecryptionShares | EchoHash | Want | BVal2 | Aux2
)
MESSAGE_TYPES: tuple[type[Message], ...] = get_args(HoneyBadgerMessage)


class HoneyBadgerFault(StrEnum):
    """What a correct node can prove to itself about a peer."""

    NOT_THE_PROPOSER = "sent VAL in another node's broadcast"
    BAD_BRANCH = "shard does not belong to the root at the sender's index"
    BAD_SHARD_LENGTH = "shard length not allowed"
    WITHHELD_SHARD = "voted by hash where it owes the shard"
    BAD_CODEWORD = "broadcast shards that are not a codeword"
    FUTURE_ROUND = "agreement round outside the window"
    BAD_COIN_SHARE = "invalid coin share"
    UNEXPECTED_COIN_SHARE = "coin share for a round without a coin"
    FOREIGN_VOTE = "vote or request that this kind of agreement or broadcast does not have"
    BAD_DECRYPTION_SHARE = "invalid decryption share"
    WRONG_SHARE_SET = "decryption shares do not match the agreed subset"
    BAD_CIPHERTEXT = "proposed an invalid ciphertext"
    BAD_CONTRIBUTION = "proposed a malformed batch"


class Vote(IntEnum):
    """Messages that a restarted node must remember and send again.

    Safety needs those that a correct node sends once and never differently: all but BVAL and BVAL2, of which several
    are legal. Liveness needs all of them. Others have acted on what they heard: they hold AUX(b) because 2f+1 nodes
    sent BVAL(b), or decided 1 because 2f+1 READYs promised that the proposal can be restored. After a crash of all
    nodes, those who cannot take back their AUX or TERM wait forever unless the messages that caused it come again. So
    each vote is sent again as it was when its epoch is opened again, not when its cause happens to occur again. ECHO
    and ECHO_HASH are one vote, ECHO. Its shard is kept as well, for others who lack it, since a faulty proposer will
    not send it twice. It has a record of its own, and none if the proposer is this node, whose PROPOSAL gives it again.
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
    BVAL2_FALSE = 10
    BVAL2_TRUE = 11
    BVAL2_NEITHER = 12
    AUX2 = 13
