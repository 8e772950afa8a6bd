"""Wire messages of Raft in addition to those of the normal case. Names follow the paper."""

from honeybadger.protocols.replicated_log.messages import Term
from honeybadger.protocols.wire import EpochNumber, Message


class RequestVote(Message, frozen=True, tag=10):
    """Candidate to all: vote for me in `term`; my log ends with entry `last`, of `last_term`.

    `pre`: would you? The term has not begun, and nobody's changes.
    """

    term: Term
    last: EpochNumber
    last_term: Term
    pre: bool


class Vote(Message, frozen=True, tag=11):
    """Answer to a candidate; of a refusal, `term` is the highest that the sender knows."""

    term: Term
    granted: bool
    pre: bool


MESSAGE_TYPES = (RequestVote, Vote)
