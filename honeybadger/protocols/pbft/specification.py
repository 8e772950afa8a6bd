"""PBFT's entry in the registry of protocols."""

from __future__ import annotations

from honeybadger.protocols.base import Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import MESSAGE_TYPES
from honeybadger.protocols.pbft.protocol import PBFT
from honeybadger.protocols.quorums import Quorums


def _longest_bulk(parameters: Parameters, quorums: Quorums) -> int:
    """A batch, or a NEW-VIEW of a large group: N-f VIEW-CHANGEs with a certificate for each number."""
    certificate = 96 * (quorums.quorum + 2)
    new_view = (quorums.quorum + 1) * (2 * parameters.epoch_window + 1) * certificate
    return max(parameters.max_proposal_bytes + 64, new_view)


def _kept_epochs(parameters: Parameters) -> int:
    """Votes are needed back to the low water mark, which is at most L below what was executed."""
    return 2 * parameters.epoch_window


SPECIFICATION = Specification(
    "pbft",
    MESSAGE_TYPES,
    PBFT,
    _longest_bulk,
    _kept_epochs,
    defaults={"encryption": "never", "pipeline_depth": 2},
    fixed=frozenset({"encryption"}),
    whole_batches=True,
    needs_signing_keys=True,
    strategies=frozenset({"silent", "equivocate"}),
)
