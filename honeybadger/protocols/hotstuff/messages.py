"""Wire messages of HotStuff, and the records in them.

A proposal has its block's height as its epoch; all other messages have epoch 0, which no window holds back. Only what
may become part of a certificate is signed: the links authenticate everything else.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from crypto.signatures import SIGNATURE_BYTES
from honeybadger.protocols.wire import Digest, EpochNumber, Message, NodeIndex

View = Annotated[int, Meta(ge=0, le=2**53)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A part of messages."""


class Block(Record, frozen=True):
    """`parent`: digest of the block before it, which was proposed in `parent_view` and is certified.

    `batch`: see `honeybadger.protocols.batching.batch`; b"" for none.
    """

    view: View
    height: EpochNumber
    parent_view: View
    parent: Digest
    batch: bytes


class SignedVote(Record, frozen=True):
    """A node's vote for a block. View 0: none."""

    view: View
    height: EpochNumber
    block: Digest
    signature: Signature


class Quorum(Record, frozen=True):
    """A quorum certificate (QC): votes of N-f nodes, (node, signature), ascending. View 0: the beginning."""

    view: View
    height: EpochNumber
    block: Digest
    signatures: Annotated[list[tuple[NodeIndex, Signature]], Meta(max_length=65536)]


class TimedOut(Record, frozen=True):
    """A time-out certificate (TC): N-f nodes have given up this view, (node, view of its highest QC, signature),
    ascending by node. View 0: none."""

    view: View
    signatures: Annotated[list[tuple[NodeIndex, View, Signature]], Meta(max_length=65536)]

    @property
    def high(self) -> int:
        """The highest view that one of them had a QC of."""
        return max((view for _, view, _ in self.signatures), default=0)


#: the block that all begin with
ROOT = bytes(32)
BEGINNING = Quorum(0, 0, ROOT, [])
NO_VOTE = SignedVote(0, 0, ROOT, bytes(SIGNATURE_BYTES))
NO_TIMEOUT = TimedOut(0, [])


class Proposal(Message, frozen=True, tag=1):
    """Leader to all. `justify` certifies the block's parent; `timed_out`, needed unless that is of the view before,
    shows that the view before is over."""

    block: Block
    justify: Quorum
    timed_out: TimedOut


class Vote(Message, frozen=True, tag=2):
    """To the leader of the next view. (`epoch` is 0.)"""

    vote: SignedVote


class Timeout(Message, frozen=True, tag=3):
    """To all: the sender votes in no view up to `view` any more. (`epoch` is 0.)

    `high`: its highest QC, and `timed_out` its highest TC if that is of a later view; so whoever is behind follows.
    `vote`: its last vote, which the leader that it was meant for may not have used. `signature`: of `view` and the view
    of `high`.
    """

    view: View
    high: Quorum
    timed_out: TimedOut
    vote: SignedVote
    signature: Signature


class Certificates(Message, frozen=True, tag=4):
    """What the receiver may not know of. (`epoch` is 0.)"""

    high: Quorum
    timed_out: TimedOut


class Status(Message, frozen=True, tag=5):
    """To all: the sender is in `view`. `waits`: please let it go on, there are transactions. (`epoch` is 0.)"""

    view: View
    waits: bool


class Fetch(Message, frozen=True, tag=6):
    """Please send the block with this digest. (`epoch` is 0.)"""

    block: Digest


class Ancestor(Message, frozen=True, tag=7):
    """A block that was asked for. (`epoch` is 0.)"""

    block: Block


MESSAGE_TYPES: tuple[type[Message], ...] = (Proposal, Vote, Timeout, Certificates, Status, Fetch, Ancestor)


class HotStuffFault(StrEnum):
    """What a correct node can prove to itself about a peer."""

    NOT_THE_LEADER = "proposed a block in a view that another node leads"
    BAD_PROPOSAL = "proposed a malformed block, or one that does not follow from its certificates"
    BAD_SIGNATURE = "sent an invalid signature"
    INVALID_CERTIFICATE = "sent an invalid quorum or time-out certificate"
