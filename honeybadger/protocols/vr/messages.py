"""Wire messages of Viewstamped Replication in addition to those of the normal case. Names follow the paper, where
Append is PREPARE, Accepted PREPAREOK, Commit COMMIT, and a view's first Heartbeat STARTVIEW."""

from typing import Annotated

from msgspec import Meta

from honeybadger.protocols.replicated_log.messages import Term
from honeybadger.protocols.wire import EpochNumber, Message

Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]


class StartViewChange(Message, frozen=True, tag=10):
    """To all: the sender has left all views before `view`."""

    view: Term


class DoViewChange(Message, frozen=True, tag=11):
    """To the primary of `view`, from one who knows that a majority has left all views before: my log is that of
    `normal_view`, up to entry `last`, of `last_term`; entries up to `committed` are committed."""

    view: Term
    normal_view: Term
    last: EpochNumber
    last_term: Term
    committed: EpochNumber


class Recovery(Message, frozen=True, tag=12):
    """To all: the sender has lost its journal. What is the view?"""

    nonce: Nonce


class RecoveryResponse(Message, frozen=True, tag=13):
    """Answer of a node that takes part in `view`. Only of its primary does the rest count: its log ends with entry
    `last`, of `last_term`."""

    view: Term
    nonce: Nonce
    last: EpochNumber
    last_term: Term
    committed: EpochNumber


MESSAGE_TYPES = (StartViewChange, DoViewChange, Recovery, RecoveryResponse)
