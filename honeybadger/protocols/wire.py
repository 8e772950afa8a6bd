"""What messages of every protocol are made of: the base class and the types of their fields.

The constraints are part of the validation: a message that decodes has a sane shape, and only what depends on the
cluster (is this proposer a member? is this shard too long?) is left to the protocol.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta, inspect

from crypto.suite import SHARE_BYTES

EpochNumber = Annotated[int, Meta(ge=0, le=2**53)]
NodeIndex = Annotated[int, Meta(ge=0, le=65535)]
#: a node's share of a coin, a decryption or a certificate; the suite says which bytes are one
ThresholdShare = Annotated[bytes, Meta(min_length=1, max_length=SHARE_BYTES)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A protocol message; `epoch` orders it against the receiver's window."""

    epoch: EpochNumber

    @property
    def payload(self) -> int:
        """How many bytes of it are transactions, in whatever encoding, or shards of them. A simulation may charge
        these more than once, in place of carrying more."""
        return 0


#: bytes that MessagePack puts before a text, a list or bytes; and of a number
LONGEST_PREFIX = 5
LONGEST_NUMBER = 9


def longest_encoding(kind: inspect.Type) -> float:
    """Bytes of the longest MessagePack encoding of a value of this type; infinity if the type does not bound it."""
    match kind:
        case inspect.Metadata():
            return longest_encoding(kind.type)
        case inspect.NoneType() | inspect.BoolType():
            return 1
        case inspect.IntType() | inspect.FloatType():
            return LONGEST_NUMBER
        case inspect.BytesType():
            return LONGEST_PREFIX + _or_infinite(kind.max_length)
        case inspect.StrType():
            return LONGEST_PREFIX + 4 * _or_infinite(kind.max_length)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return LONGEST_PREFIX + _or_infinite(kind.max_length) * longest_encoding(kind.item_type)
        case inspect.TupleType():
            return LONGEST_PREFIX + sum(map(longest_encoding, kind.item_types))
        case inspect.StructType():
            return LONGEST_PREFIX + LONGEST_NUMBER + sum(longest_encoding(field.type) for field in kind.fields)
        case inspect.UnionType():
            return max(map(longest_encoding, kind.types))
        case _:
            return math.inf


def _or_infinite(length: int | None) -> float:
    return math.inf if length is None else length
