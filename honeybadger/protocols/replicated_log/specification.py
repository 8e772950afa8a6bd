"""What the specifications of all protocols with a replicated log say alike."""

from collections.abc import Callable

from honeybadger.protocols.batching.forwarder import chunk_limit, forward_limit
from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import Bulk, ConsensusProtocol, Phase, Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import CRASH, Quorums
from honeybadger.protocols.replicated_log.log import Record
from honeybadger.protocols.replicated_log.messages import NORMAL_CASE, Append, Forward, LogFault
from honeybadger.protocols.wire import Message

#: the most that a message carries on top of its batch, and what answers to it cost a link
FRAMING = 4096


def log_specification(
    name: str,
    display_name: str,
    parameters: type[Parameters],
    message_types: tuple[type[Message], ...],
    build: Callable[[Context], ConsensusProtocol],
) -> Specification:
    """A protocol's entry in the registry. `message_types`: in addition to those of the normal case."""
    return Specification(
        name=name,
        display_name=display_name,
        parameters=parameters,
        message_types=(*NORMAL_CASE, *message_types),
        build=build,
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


def _live_bytes(parameters: Parameters, quorums: Quorums) -> int:
    """The entries in the window, and what is forwarded."""
    entries = (parameters.epoch_window + 3) * (parameters.max_proposal_bytes + FRAMING)
    return entries + forward_limit(parameters) + 2 * chunk_limit(parameters) + FRAMING
