"""Erasure codes over values of any length, for reliable broadcast: what all share, and Reed and Solomon's.

Guarantee: any `data` of the `total` shards of a value restore it, and each value has
exactly one valid codeword: `value` refuses a wrong length prefix, a shard longer than necessary, and
padding other than zero. The code is systematic: the first `data` shards are the value itself, behind a
prefix of 8 bytes with its length (big-endian), padded with zeros to equal shards.

The code of a chain is that of its suite. A codeword depends only on the two numbers and the value, not on the machine:
known answers in the tests pin it.

A code corrects only erasures. The caller must check that shards belong together: it compares the
Merkle root over *all* shards that `complete` returns with the agreed root (Cachin and Tessaro, SRDS 2005,
section 3).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache

from crypto.errors import CryptoError, InvalidCodeword
from crypto.gf256 import ORDER, interpolation
from crypto.matrix_product import Product, multiplier

_PREFIX_LENGTH = 8


class ErasureCode(ABC):
    """A code with `data` data shards out of `total`. CryptoError for numbers out of range.

    `unit`: shard lengths are multiples of it, so that the prefix fits into the first shard, and vector instructions
    need no remainder.
    """

    most_shards: int
    unit = 64

    def __init__(self, data: int, total: int) -> None:
        if not 1 <= data <= total:
            raise CryptoError(f"{data} data shards out of {total} are impossible")
        if total > self.most_shards:
            raise CryptoError(f"{total} shards are too many: this code has at most {self.most_shards}")
        self.data = data
        self.total = total

    def shard_length(self, value_length: int) -> int:
        """Length of each shard of a value of `value_length` bytes."""
        units = -(-(_PREFIX_LENGTH + value_length) // (self.data * self.unit))
        return units * self.unit

    def encode(self, value: bytes) -> list[bytes]:
        """The `total` shards of a value, all of the same length. The value may be empty."""
        length = self.shard_length(len(value))
        view = memoryview(value)
        shards = [len(value).to_bytes(_PREFIX_LENGTH, "big") + view[: length - _PREFIX_LENGTH]]
        shards += (
            bytes(view[start : start + length])
            for start in range(length - _PREFIX_LENGTH, self.data * length - _PREFIX_LENGTH, length)
        )
        return self.complete(dict(enumerate(shard.ljust(length, b"\0") for shard in shards)))

    def complete(self, shards: Mapping[int, bytes]) -> list[bytes]:
        """All `total` shards, recomputed from `data` of those given (by shard index; data shards first).

        Given data shards are in the result as they are; every other entry is recomputed, so a parity shard
        that was given but not needed may differ from its entry. Raises InvalidCodeword for too few shards,
        an index out of range, or shards that are empty, of unequal length, or not a multiple of 64 bytes
        long.
        """
        self._validate(shards)
        used = tuple(sorted(shards)[: self.data])
        pieces = [shards[index] for index in used]
        missing = _missing(used, self.total)
        result = dict(zip(used, pieces, strict=True))
        result.update(zip(missing, self._restore(used, pieces) if missing else (), strict=True))
        return [result[index] for index in range(self.total)]

    @abstractmethod
    def _restore(self, used: tuple[int, ...], pieces: Sequence[bytes]) -> Sequence[bytes]:
        """The shards that are missing, at least one, ascending, from `data` others, ascending and of one length."""

    def value(self, shards: Sequence[bytes]) -> bytes:
        """The value in a complete list of shards, as `complete` returns it.

        Raises InvalidCodeword unless it is exactly what `encode` puts there: the length prefix fits, the
        shards are no longer than that length needs, and the rest is zero.
        """
        if len(shards) != self.total:
            raise InvalidCodeword(f"{len(shards)} shards in place of {self.total}")
        length = len(shards[0])
        if any(len(shard) != length for shard in shards):
            raise InvalidCodeword("the shards differ in length")
        value_length = int.from_bytes(shards[0][:_PREFIX_LENGTH], "big")
        if length != self.shard_length(value_length):
            raise InvalidCodeword("the length prefix does not fit the length of the shards")
        end = _PREFIX_LENGTH + value_length
        pieces = []
        for position in range(self.data):
            shard = memoryview(shards[position])
            used = min(max(end - position * length, 0), length)
            if used < length and any(shard[used:]):
                raise InvalidCodeword("the padding is not zero")
            pieces.append(shard[_PREFIX_LENGTH if position == 0 else 0 : used])
        return b"".join(pieces)

    def _validate(self, shards: Mapping[int, bytes]) -> None:
        # The library trusts its caller, so check everything here.
        if len(shards) < self.data:
            raise InvalidCodeword(f"{len(shards)} shards are too few: {self.data} are needed")
        lengths = {len(shard) for shard in shards.values()}
        if len(lengths) != 1:
            raise InvalidCodeword("the shards differ in length")
        length = lengths.pop()
        if length == 0 or length % self.unit:
            raise InvalidCodeword(f"a shard does not have {length} bytes")
        for index in shards:
            if not 0 <= index < self.total:
                raise InvalidCodeword(f"there is no shard {index} among {self.total}")


class ReedSolomon(ErasureCode):
    """Byte b of shard i is p(i), where p is the polynomial over GF(2^8) of degree below `data` that takes byte b of
    data shard j at j (Reed and Solomon, *Polynomial Codes over Certain Finite Fields*, 1960, in systematic form).

    The field has 256 elements, hence at most 256 shards. More would need a code over a larger field.
    """

    most_shards = ORDER

    def _restore(self, used: tuple[int, ...], pieces: Sequence[bytes]) -> list[bytes]:
        return _product(used, self.total)(pieces)


@lru_cache(maxsize=1024)
def _missing(given: tuple[int, ...], total: int) -> tuple[int, ...]:
    return tuple(sorted(set(range(total)).difference(given)))


@lru_cache(maxsize=128)
def _product(given: tuple[int, ...], total: int) -> Product:
    """What computes the shards missing from the `given` ones; an entry takes below 0.6 MB."""
    _, multiply = multiplier()
    return multiply(interpolation(given, _missing(given, total)))
