"""Wire messages of PBFT. Names follow the paper: PRE-PREPARE, PREPARE, COMMIT, CHECKPOINT, VIEW-CHANGE, NEW-VIEW.

`epoch` is the sequence number n, so that the links' windows hold back what is above the receiver's high water mark;
messages that no window may hold back have epoch 0. The fields' bounds are part of the validation. Only what may
become part of a certificate is signed: the links authenticate everything else. `specification` says how long lists may
be in a cluster. At the end: how a peer can be seen to misbehave.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from crypto.signatures import SIGNATURE_BYTES
from honeybadger.protocols.wire import Digest, EpochNumber, Message, NodeIndex

View = Annotated[int, Meta(ge=0, le=2**53)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]
#: (signer, signature)
SignedBy = tuple[NodeIndex, Signature]
#: sequence numbers between the water marks, at most (`epoch_window` is at most 1024)
LONGEST_WINDOW = 2048
#: transactions in one RELAY
MOST_RELAYED = 16


class PrePrepare(Message, frozen=True, tag=1):
    """Primary to all: sequence number `epoch` is the batch with this digest. `batch`: see `statements`."""

    view: View
    digest: Digest
    signature: Signature
    batch: bytes

    @property
    def payload(self) -> int:
        return len(self.batch)


class Prepare(Message, frozen=True, tag=2):
    """A backup has accepted the PRE-PREPARE, and has the batch."""

    view: View
    digest: Digest
    signature: Signature


class Commit(Message, frozen=True, tag=3):
    """The sender has a prepared certificate. Never part of a certificate, so not signed."""

    view: View
    digest: Digest


class Checkpoint(Message, frozen=True, tag=4):
    """The sender has executed `number`, its block is on disk, and `digest` stands for its state. (`epoch` is 0.)"""

    number: EpochNumber
    digest: Digest
    signature: Signature


class StableProof(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """2f+1 nodes signed CHECKPOINT(number, digest), ascending by node. Number 0 needs no signatures."""

    number: EpochNumber
    digest: Digest
    signatures: Annotated[list[SignedBy], Meta(max_length=65536)]


class PreparedProof(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A prepared certificate: the primary's signature and those of N-f-1 backups, ascending by node."""

    number: EpochNumber
    view: View
    digest: Digest
    pre_prepare: Signature
    prepares: Annotated[list[SignedBy], Meta(max_length=65536)]


class ViewChange(Message, frozen=True, tag=5):
    """The sender takes no further part in views before `view`: its stable checkpoint (C of the paper), and its
    prepared certificates of higher numbers (P), ascending. (`epoch` is 0.)"""

    view: View
    stable: StableProof
    prepared: Annotated[list[PreparedProof], Meta(max_length=LONGEST_WINDOW)]
    signature: Signature


class Proposal(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A PRE-PREPARE of a new view, without its batch; the null digest is a null request."""

    number: EpochNumber
    digest: Digest
    signature: Signature


class NewView(Message, frozen=True, tag=6):
    """Primary to all: the VIEW-CHANGEs that this view rests on (V), by sender, ascending, and what follows from them
    (O), ascending. (`epoch` is 0.)"""

    view: View
    changes: Annotated[list[tuple[NodeIndex, ViewChange]], Meta(max_length=65536)]
    proposals: Annotated[list[Proposal], Meta(max_length=LONGEST_WINDOW)]
    signature: Signature


class Forward(Message, frozen=True, tag=7):
    """Backup to the primary of `view`: please order these. (`epoch` is 0.) `transactions`: encoded as
    `honeybadger.transactions` says, at least one."""

    view: View
    transactions: bytes

    @property
    def payload(self) -> int:
        return len(self.transactions)


class Relay(Message, frozen=True, tag=8):
    """Backup to all: the primary has not ordered these for a while; please see to it. (`epoch` is 0.) `transactions`:
    as in `Forward`, at most `MOST_RELAYED`."""

    transactions: bytes

    @property
    def payload(self) -> int:
        return len(self.transactions)


class Fetch(Message, frozen=True, tag=9):
    """Please send the batch with this digest. (`epoch` is 0.)"""

    digest: Digest


class Batch(Message, frozen=True, tag=10):
    """A batch that was asked for; its digest says which. (`epoch` is 0.)"""

    batch: bytes

    @property
    def payload(self) -> int:
        return len(self.batch)


class Status(Message, frozen=True, tag=11):
    """Where the sender is, for others to tell it what it missed. `fresh`: it has just started. (`epoch` is 0.)"""

    view: View
    stable: EpochNumber
    fresh: bool


class Stable(Message, frozen=True, tag=12):
    """A stable checkpoint that the receiver did not know of. (`epoch` is 0.)"""

    proof: StableProof


class AskView(Message, frozen=True, tag=13):
    """The sender has lost its votes: which view has the receiver promised itself to? (`epoch` is 0.)"""

    nonce: Nonce


class PromisedView(Message, frozen=True, tag=14):
    """The answer: the sender votes in no view below `view`. (`epoch` is 0.)"""

    nonce: Nonce
    view: View


MESSAGE_TYPES: tuple[type[Message], ...] = (
    PrePrepare,
    Prepare,
    Commit,
    Checkpoint,
    ViewChange,
    NewView,
    Forward,
    Relay,
    Fetch,
    Batch,
    Status,
    Stable,
    AskView,
    PromisedView,
)


class PBFTFault(StrEnum):
    """What a correct node can prove to itself about a peer."""

    NOT_THE_PRIMARY = "sent what only the primary of the view may send"
    UNEXPECTED_VOTE = "sent a vote that is not its to send"
    BAD_SIGNATURE = "sent an invalid signature"
    BAD_BATCH = "sent a batch that is malformed or not the one it names"
    BAD_VIEW_CHANGE = "sent an invalid view change"
    BAD_NEW_VIEW = "sent an invalid new view"
    BAD_REQUEST = "passed on a malformed transaction"
