"""PBFT's entry in the registry of protocols."""

from honeybadger.protocols.batching.forwarder import chunk_limit, forward_limit
from honeybadger.protocols.contract import Bulk, Phase, Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import (
    MESSAGE_TYPES,
    Batch,
    Forward,
    NewView,
    PBFTFault,
    PrePrepare,
    Relay,
    Stable,
    ViewChange,
)
from honeybadger.protocols.pbft.parameters import PBFTParameters
from honeybadger.protocols.pbft.protocol import PBFT
from honeybadger.protocols.pbft.state import Vote
from honeybadger.protocols.quorums import Quorums

#: the most that a message carries on top of its batch or transactions; what votes for a number cost a link
FRAMING = 1024
VOTES_BYTES = 4096


def _certificate(parameters: Parameters, quorums: Quorums) -> int:
    """2f+1 or N-f signatures, with what they sign."""
    return 96 * (quorums.quorum + 2)


def _certificates(parameters: Parameters, quorums: Quorums) -> int:
    """One for each number between the water marks."""
    return 2 * parameters.epoch_window * _certificate(parameters, quorums)


def _changes(parameters: Parameters, quorums: Quorums) -> int:
    """N-f VIEW-CHANGEs with a certificate for each number between the water marks, and one for the checkpoint."""
    return (quorums.quorum + 1) * (_certificates(parameters, quorums) + _certificate(parameters, quorums))


def _proposals(parameters: Parameters, quorums: Quorums) -> int:
    """Number, digest and signature of each."""
    return 2 * parameters.epoch_window * 128


def _live_bytes(parameters: Parameters, quorums: Quorums) -> int:
    """The batches between the water marks, which move once 2f+1 nodes have the blocks below on disk; the changes of
    view; and what is forwarded."""
    numbers = 2 * parameters.epoch_window
    forwarded = forward_limit(parameters) + 2 * chunk_limit(parameters) + FRAMING
    batches = numbers * (parameters.max_proposal_bytes + FRAMING + VOTES_BYTES)
    return batches + 2 * (_changes(parameters, quorums) + _proposals(parameters, quorums)) + forwarded


SPECIFICATION = Specification(
    name="pbft",
    display_name="PBFT",
    parameters=PBFTParameters,
    message_types=MESSAGE_TYPES,
    build=PBFT,
    live_bytes=_live_bytes,
    phases=(
        Phase("proposed", ""),
        Phase("prepared", "prepare"),
        Phase("ordered", "commit"),
        Phase("committed", "in_order"),
    ),
    bulky=(
        Bulk(PrePrepare, "batch", lambda parameters, _: parameters.max_proposal_bytes),
        Bulk(Batch, "batch", lambda parameters, _: parameters.max_proposal_bytes),
        Bulk(ViewChange, "stable", _certificate),
        Bulk(ViewChange, "prepared", _certificates),
        Bulk(NewView, "changes", _changes),
        Bulk(NewView, "proposals", _proposals),
        Bulk(Stable, "proof", _certificate),
        Bulk(Forward, "transactions", lambda parameters, _: chunk_limit(parameters)),
        Bulk(Relay, "transactions", lambda parameters, _: chunk_limit(parameters)),
    ),
    fault_kinds=PBFTFault,
    votes=Vote,
    # Votes are needed back to the low water mark, which is at most L below what was executed.
    kept_epochs=lambda parameters: 2 * parameters.epoch_window,
    has_leader=True,
    one_proposer_per_block=True,
    needs_signing_keys=True,
)
