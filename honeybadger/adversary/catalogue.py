"""The strategies by name, and what correct nodes record about a node that follows one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from honeybadger.adversary.agreement import BadCoinShares, EquivocateVotes
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.blocks import BadCertificates, DripBlocks
from honeybadger.adversary.broadcast import BadShards, EquivocateBroadcast
from honeybadger.adversary.decryption import BadDecryptionShares, StaleShares
from honeybadger.adversary.garbage import GarbageProposals
from honeybadger.adversary.pbft import Equivocate
from honeybadger.adversary.traffic import Flood, Replay, Silent
from honeybadger.protocols.base import Context, FaultKind

#: for Honey Badger, and for every protocol that names none (`Specification.strategies`)
STRATEGIES: dict[str, Callable[[Context], Adversary]] = {
    "silent": Silent,
    "equivocate-broadcast": EquivocateBroadcast,
    "bad-shards": BadShards,
    "equivocate-votes": EquivocateVotes,
    "bad-coin-shares": BadCoinShares,
    "bad-decryption-shares": BadDecryptionShares,
    "stale-shares": StaleShares,
    "garbage-proposals": GarbageProposals,
    "bad-certificates": BadCertificates,
    "drip-blocks": DripBlocks,
    "replay": Replay,
    "flood": Flood,
}

#: all that a node can be told to follow
EVERY_STRATEGY: Mapping[str, Callable[[Context], Adversary]] = {**STRATEGIES, "equivocate": Equivocate}

_K = FaultKind
#: With default parameters, correct nodes together record all these kinds about the node, given some ten epochs.
#: BAD_CERTIFICATE needs whole nodes: the protocol alone makes no certificates.
EXPECTED_FAULTS: Mapping[str, frozenset[FaultKind]] = {
    "silent": frozenset(),
    "equivocate-broadcast": frozenset(),
    "bad-shards": frozenset({_K.BAD_CODEWORD, _K.BAD_BRANCH, _K.BAD_SHARD_LENGTH}),
    "equivocate-votes": frozenset({_K.EQUIVOCATION}),
    "bad-coin-shares": frozenset({_K.UNEXPECTED_COIN_SHARE}),
    "bad-decryption-shares": frozenset({_K.BAD_DECRYPTION_SHARE, _K.WRONG_SHARE_SET}),
    "stale-shares": frozenset({_K.BAD_DECRYPTION_SHARE, _K.BAD_CERTIFICATE}),
    "garbage-proposals": frozenset({_K.BAD_CIPHERTEXT, _K.BAD_CONTRIBUTION}),
    "bad-certificates": frozenset({_K.BAD_CERTIFICATE}),
    "drip-blocks": frozenset(),
    "replay": frozenset({_K.NOT_THE_PROPOSER}),
    "flood": frozenset({_K.FUTURE_ROUND, _K.NOT_A_MEMBER}),
}
#: Nothing else than these may be recorded: the expected kinds, and those that depend on timing or parameters.
POSSIBLE_FAULTS: Mapping[str, frozenset[FaultKind]] = {
    name: kinds
    | {
        "bad-coin-shares": {_K.BAD_COIN_SHARE},
        "stale-shares": {_K.BAD_COIN_SHARE},
        "replay": {
            _K.BAD_BRANCH,
            _K.EQUIVOCATION,
            _K.BAD_COIN_SHARE,
            _K.BAD_DECRYPTION_SHARE,
            _K.WRONG_SHARE_SET,
            _K.BAD_CIPHERTEXT,
            _K.BAD_CONTRIBUTION,
        },
        "flood": {
            _K.FUTURE_EPOCH,
            _K.UNEXPECTED_COIN_SHARE,
            _K.BAD_COIN_SHARE,
            _K.WRONG_SHARE_SET,
            _K.EQUIVOCATION,
        },
    }.get(name, set())
    for name, kinds in EXPECTED_FAULTS.items()
}
