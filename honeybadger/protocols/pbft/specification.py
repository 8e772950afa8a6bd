"""PBFT's entry in the registry of protocols."""

from __future__ import annotations

from honeybadger.protocols.base import Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import MESSAGE_TYPES
from honeybadger.protocols.pbft.protocol import PBFT
from honeybadger.protocols.pbft.requests import chunk_limit, forward_limit
from honeybadger.protocols.quorums import Quorums

#: what a message has beside its batch or transactions, at the most; what votes for a number cost a link
FRAMING = 1024
VOTES_BYTES = 4096


def _longest_new_view(parameters: Parameters, quorums: Quorums) -> int:
    """N-f VIEW-CHANGEs with a certificate for each number between the water marks, and one for the checkpoint."""
    certificate = 96 * (quorums.quorum + 2)
    return (quorums.quorum + 1) * (2 * parameters.epoch_window + 1) * certificate


def _longest_message(parameters: Parameters, quorums: Quorums) -> int:
    """A batch, a NEW-VIEW of a large group, or transactions on their way to the primary."""
    carried = max(parameters.max_proposal_bytes, chunk_limit(parameters))
    return max(carried + FRAMING, _longest_new_view(parameters, quorums))


def _live_bytes(parameters: Parameters, quorums: Quorums) -> int:
    """The batches between the water marks, which move once 2f+1 nodes have the blocks below on disk; the changes of
    view; and what is forwarded."""
    numbers = 2 * parameters.epoch_window
    forwarded = forward_limit(parameters) + 2 * chunk_limit(parameters) + FRAMING
    batches = numbers * (parameters.max_proposal_bytes + FRAMING + VOTES_BYTES)
    return batches + 2 * _longest_new_view(parameters, quorums) + forwarded


def _kept_epochs(parameters: Parameters) -> int:
    """Votes are needed back to the low water mark, which is at most L below what was executed."""
    return 2 * parameters.epoch_window


SPECIFICATION = Specification(
    "pbft",
    MESSAGE_TYPES,
    PBFT,
    _longest_message,
    _live_bytes,
    _kept_epochs,
    defaults={"encryption": "never", "pipeline_depth": 2},
    fixed=frozenset({"encryption"}),
    whole_batches=True,
    needs_signing_keys=True,
    strategies=frozenset({"silent", "equivocate"}),
)
