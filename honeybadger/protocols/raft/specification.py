"""Raft's entry in the registry of protocols."""

from honeybadger.protocols.batching.forwarder import chunk_limit, forward_limit
from honeybadger.protocols.contract import Bulk, Phase, Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import CRASH, Quorums
from honeybadger.protocols.raft.messages import MESSAGE_TYPES
from honeybadger.protocols.raft.parameters import RaftParameters
from honeybadger.protocols.raft.protocol import Raft
from honeybadger.protocols.replicated_log.log import Record
from honeybadger.protocols.replicated_log.messages import Append, Forward, LogFault

#: the most that a message carries on top of its batch, and what answers to it cost a link
FRAMING = 4096


def _live_bytes(parameters: Parameters, quorums: Quorums) -> int:
    """The entries in the window, and what is forwarded."""
    entries = (parameters.epoch_window + 3) * (parameters.max_proposal_bytes + FRAMING)
    return entries + forward_limit(parameters) + 2 * chunk_limit(parameters) + FRAMING


SPECIFICATION = Specification(
    name="raft",
    display_name="Raft",
    parameters=RaftParameters,
    message_types=MESSAGE_TYPES,
    build=Raft,
    live_bytes=_live_bytes,
    phases=(Phase("proposed", ""), Phase("replicated", "replication"), Phase("committed", "in_order")),
    bulky=(
        Bulk(Append, "batch", lambda parameters, _: parameters.max_proposal_bytes),
        Bulk(Forward, "transactions", lambda parameters, _: chunk_limit(parameters)),
    ),
    fault_model=CRASH,
    fault_kinds=LogFault,
    votes=Record,
    kept_epochs=lambda parameters: 1,
    has_leader=True,
    one_proposer_per_block=True,
)
