"""Wire messages of the normal case. `epoch` is the number of an entry, so that links hold back what is beyond the
receiver's horizon; messages that no window may hold back have epoch 0."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from honeybadger.protocols.wire import EpochNumber, Message

Term = Annotated[int, Meta(ge=0, le=2**53)]


class Append(Message, frozen=True, tag=1):
    """Leader of `term` to all: entry `epoch`, first proposed in `entry_term`, comes after one of `previous_term`.

    `committed`: the highest entry that the leader knows to be committed; `batch`: see `batching.batch`, b"" for none.
    """

    term: Term
    previous_term: Term
    entry_term: Term
    committed: EpochNumber
    batch: bytes


class Heartbeat(Message, frozen=True, tag=2):
    """Leader to all: its log ends with entry `last`, of `last_term`. An Append without an entry."""

    term: Term
    last: EpochNumber
    last_term: Term
    committed: EpochNumber


class Accepted(Message, frozen=True, tag=3):
    """To the leader of `term`: the sender has the leader's entries up to `number` on disk."""

    term: Term
    number: EpochNumber


class Rejected(Message, frozen=True, tag=4):
    """To a leader: the sender knows a higher term, or lacks entries: it has what it needs up to `number`, perhaps."""

    term: Term
    number: EpochNumber


class Commit(Message, frozen=True, tag=5):
    """Leader to all: entries up to `number` are committed."""

    term: Term
    number: EpochNumber


class Forward(Message, frozen=True, tag=6):
    """To the leader of `term`: what the sender's clients want ordered."""

    term: Term
    transactions: bytes


NORMAL_CASE = (Append, Heartbeat, Accepted, Rejected, Commit, Forward)


class LogFault(StrEnum):
    """How a node can be seen not to keep to the protocol; none of these is tolerated, since only crashes are."""

    BAD_BATCH = "proposed a batch that no correct leader proposes"
    BAD_REQUEST = "forwarded something that no correct node forwards"
    TWO_LEADERS = "claims to lead a term that another node leads"
