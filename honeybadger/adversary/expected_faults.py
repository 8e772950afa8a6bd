"""What correct nodes record about a node that follows one of our strategies for Honey Badger."""

from collections.abc import Mapping
from enum import StrEnum

from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import HoneyBadgerFault

_K, _H = FaultKind, HoneyBadgerFault
#: With default parameters, correct nodes together record all these kinds about the node, given some ten epochs.
#: BAD_CERTIFICATE needs whole nodes: the protocol alone makes no certificates.
EXPECTED_FAULTS: Mapping[str, frozenset[StrEnum]] = {
    "silent": frozenset(),
    "repeat": frozenset(),
    "equivocate-broadcast": frozenset(),
    "bad-shards": frozenset({_H.BAD_CODEWORD, _H.BAD_BRANCH, _H.BAD_SHARD_LENGTH}),
    "withhold-shards": frozenset({_H.WITHHELD_SHARD}),
    "silent-holder": frozenset(),
    "want-flood": frozenset(),
    "equivocate-votes": frozenset({_K.EQUIVOCATION}),
    "bad-coin-shares": frozenset({_H.UNEXPECTED_COIN_SHARE}),
    "bad-decryption-shares": frozenset({_H.BAD_DECRYPTION_SHARE, _H.WRONG_SHARE_SET}),
    "stale-shares": frozenset({_H.BAD_DECRYPTION_SHARE, _K.BAD_CERTIFICATE}),
    "garbage-proposals": frozenset({_H.BAD_CIPHERTEXT, _H.BAD_CONTRIBUTION}),
    "bad-certificates": frozenset({_K.BAD_CERTIFICATE}),
    "drip-blocks": frozenset(),
    "replay": frozenset({_H.NOT_THE_PROPOSER}),
    "flood": frozenset({_H.FUTURE_ROUND, _K.NOT_A_MEMBER}),
}
_SHARES = {_H.BAD_COIN_SHARE, _H.BAD_DECRYPTION_SHARE, _H.WRONG_SHARE_SET}
#: what else may be recorded: it depends on timing or parameters
_ALSO: Mapping[str, set[StrEnum]] = {
    "bad-coin-shares": {_H.BAD_COIN_SHARE},
    "stale-shares": {_H.BAD_COIN_SHARE},
    "replay": {*_SHARES, _H.BAD_BRANCH, _H.WITHHELD_SHARD, _K.EQUIVOCATION, _H.BAD_CIPHERTEXT, _H.BAD_CONTRIBUTION},
    "flood": {_K.FUTURE_EPOCH, _H.UNEXPECTED_COIN_SHARE, _H.BAD_COIN_SHARE, _H.WRONG_SHARE_SET, _K.EQUIVOCATION},
}
#: Nothing else than these may be recorded: the expected kinds, and those that depend on timing or parameters.
POSSIBLE_FAULTS: Mapping[str, frozenset[StrEnum]] = {
    name: kinds | _ALSO.get(name, set()) for name, kinds in EXPECTED_FAULTS.items()
}
