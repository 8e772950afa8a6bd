"""HotStuff's entry in the registry of protocols."""

from honeybadger.protocols.contract import Bulk, Phase, Specification
from honeybadger.protocols.hotstuff.memory import Vote
from honeybadger.protocols.hotstuff.messages import (
    MESSAGE_TYPES,
    Ancestor,
    Certificates,
    HotStuffFault,
    Proposal,
    Timeout,
)
from honeybadger.protocols.hotstuff.parameters import HotStuffParameters
from honeybadger.protocols.hotstuff.protocol import HotStuff
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums

#: bytes of a block on top of its batch, with room to spare
FRAMING = 256


def _certificate(parameters: Parameters, quorums: Quorums) -> int:
    """N-f signatures, with what they sign."""
    return 96 * (quorums.quorum + 2)


def _block(parameters: Parameters, quorums: Quorums) -> int:
    return parameters.max_proposal_bytes + FRAMING


def _live_bytes(parameters: Parameters, quorums: Quorums) -> int:
    """Proposals in the window, the last votes and time-outs, and blocks that were asked for."""
    proposal = _block(parameters, quorums) + 4 * _certificate(parameters, quorums)
    return (parameters.epoch_window + 4) * proposal


SPECIFICATION = Specification(
    name="hotstuff",
    display_name="HotStuff",
    parameters=HotStuffParameters,
    message_types=MESSAGE_TYPES,
    build=HotStuff,
    live_bytes=_live_bytes,
    phases=(Phase("proposed", ""), Phase("certified", "votes"), Phase("committed", "descendants")),
    bulky=(
        Bulk(Proposal, "block", _block),
        Bulk(Proposal, "justify", _certificate),
        Bulk(Proposal, "timed_out", _certificate),
        Bulk(Timeout, "high", _certificate),
        Bulk(Timeout, "timed_out", _certificate),
        Bulk(Certificates, "high", _certificate),
        Bulk(Certificates, "timed_out", _certificate),
        Bulk(Ancestor, "block", _block),
    ),
    fault_kinds=HotStuffFault,
    votes=Vote,
    has_leader=True,
    one_proposer_per_block=True,
    needs_signing_keys=True,
)
