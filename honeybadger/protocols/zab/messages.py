"""Wire messages of Zab in addition to those of the normal case. Names follow the paper, where Append is PROPOSE,
Accepted ACK, Commit COMMIT, and the first Heartbeat of an epoch NEWLEADER. A zxid is the number of an entry and the
epoch in which it was first proposed; `epoch` means something else in all messages here and is 0."""

from honeybadger.protocols.replicated_log.messages import Term
from honeybadger.protocols.wire import EpochNumber, Message, NodeIndex


class Look(Message, frozen=True, tag=10):
    """To all, in the election `round`: the sender would follow `node`, whose history was that of the leader of
    `current_epoch` up to the zxid (`last_term`, `last`)."""

    round: Term
    current_epoch: Term
    last_term: Term
    last: EpochNumber
    node: NodeIndex


class FollowerInfo(Message, frozen=True, tag=11):
    """CEPOCH. To whom the sender would follow, or to a leader whom it cannot: it has accepted `accepted_epoch`."""

    accepted_epoch: Term


class NewEpoch(Message, frozen=True, tag=12):
    """To those who would follow the sender: accept `new_epoch`, and no lower one any more."""

    new_epoch: Term


class AckEpoch(Message, frozen=True, tag=13):
    """Answer: so I did. My history is that of the leader of `current_epoch` up to the zxid (`last_term`, `last`);
    entries up to `committed` are committed."""

    new_epoch: Term
    current_epoch: Term
    last_term: Term
    last: EpochNumber
    committed: EpochNumber


MESSAGE_TYPES = (Look, FollowerInfo, NewEpoch, AckEpoch)
