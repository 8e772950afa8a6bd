"""Honey Badger's entry in the registry of protocols."""

from crypto.suite import SHARE_BYTES
from crypto.suites import find_suite
from honeybadger.protocols.contract import Bulk, Phase, Specification
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.epoch import CIPHERTEXT_OVERHEAD
from honeybadger.protocols.honey_badger.messages import (
    MESSAGE_TYPES,
    DecryptionShares,
    Echo,
    HoneyBadgerFault,
    Val,
    Vote,
)
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.protocol import HoneyBadger
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums

#: the most that VAL and ECHO carry on top of the shard, and cost a link: 16 digests of the branch, root, address
VAL_BYTES = 1024
#: what one node says in one agreement, with what its messages cost a link: some 20 rounds of a message each tick
AGREEMENT_BYTES = 16 * 1024


def _shard(parameters: Parameters, quorums: Quorums) -> int:
    code = find_suite(parameters.suite).code(quorums.data_shards, quorums.nodes)
    broadcast = BROADCASTS[HoneyBadgerParameters.of(parameters).broadcast]
    return broadcast.shard_limit(code, parameters.max_proposal_bytes + CIPHERTEXT_OVERHEAD)


def _shares(parameters: Parameters, quorums: Quorums) -> int:
    """One for each proposal; room for twice as many, so that too long a list is known for a false one."""
    return 2 * SHARE_BYTES * quorums.nodes


def _live_bytes(parameters: Parameters, quorums: Quorums) -> int:
    """All that one node says to a peer in the epochs from the peer's first uncommitted one, e: in each, its VAL, and
    at most one shard in each broadcast, to all or in answer to WANT.

    Who proposes in an epoch has committed all but the `pipeline_depth` - 1 before it, and an epoch needs the proposals
    of N-f nodes, f+1 of them correct. So nobody has got beyond e + depth while e is not in the ledgers of f+1 correct
    nodes, and correct nodes' proposals are of 2 depth epochs. Faulty ones may propose in the whole window of a
    node that is at e + depth.
    """
    epochs = parameters.pipeline_depth + parameters.epoch_window + 1
    shards = min(2 * parameters.pipeline_depth, epochs) * (quorums.nodes + 1) + epochs * quorums.faults
    votes = epochs * quorums.nodes * (AGREEMENT_BYTES + SHARE_BYTES)
    return shards * (_shard(parameters, quorums) + VAL_BYTES) + votes


SPECIFICATION = Specification(
    name="honeybadger",
    display_name="Honey Badger",
    parameters=HoneyBadgerParameters,
    message_types=MESSAGE_TYPES,
    build=HoneyBadger,
    live_bytes=_live_bytes,
    # A node that is a little behind may want shards of epochs that are certified here.
    kept_epochs=lambda parameters: parameters.pipeline_depth,
    phases=(
        Phase("proposed", ""),
        Phase("broadcast", "broadcast"),
        Phase("agreed", "agreement"),
        Phase("decrypted", "decryption"),
        Phase("committed", "in_order"),
    ),
    bulky=(
        Bulk(Val, "shard", _shard),
        Bulk(Echo, "shard", _shard),
        Bulk(DecryptionShares, "shares", _shares),
    ),
    fault_kinds=HoneyBadgerFault,
    votes=Vote,
)
