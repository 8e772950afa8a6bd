"""Reed-Solomon erasure code over values of any length, for reliable broadcast.

Guarantee: `data` of the `total` shards of a value give it back, whichever they are, and each value has
exactly one valid codeword: `value` refuses a wrong length prefix, a shard longer than necessary, and
padding other than zero. The code is Leopard-RS over GF(2^16) (Lin, Al-Naffouri, Han and Chung, IEEE Trans.
Inf. Theory 2016), up to 65,535 shards. It is systematic: the first `data` shards are the value itself,
behind a prefix of 8 bytes with its length (big-endian), padded with zeros.

A code corrects erasures only. Whether shards belong together is for the caller to check, by comparing the
Merkle root over *all* shards that `complete` returns with the root agreed (Cachin and Tessaro, SRDS 2005,
section 3).
"""

from collections.abc import Mapping, Sequence

import reed_solomon_leopard

from crypto.errors import CryptoError, InvalidCodeword

_PREFIX_LENGTH = 8
_UNIT = 64
"""Shard lengths are multiples of this (the block of the code's vector instructions)."""


class ErasureCode:
    """The code with `data` data shards out of `total`. CryptoError for numbers out of range."""

    def __init__(self, data: int, total: int) -> None:
        if not 1 <= data <= total:
            raise CryptoError(f"{data} data shards out of {total} are impossible")
        self.data = data
        self.total = total
        self._parity = total - data
        if self._parity and not reed_solomon_leopard.supports(data, self._parity):
            raise CryptoError(f"the code does not support {data} data shards out of {total}")

    def shard_length(self, value_length: int) -> int:
        """Bytes of each shard of a value of `value_length` bytes."""
        units = -(-(_PREFIX_LENGTH + value_length) // (self.data * _UNIT))
        return units * _UNIT

    def encode(self, value: bytes) -> list[bytes]:
        """The `total` shards of a value, all of the same length. The value may be empty."""
        length = self.shard_length(len(value))
        prefix = len(value).to_bytes(_PREFIX_LENGTH, "big")
        view = memoryview(value)
        shards = [prefix + view[: length - _PREFIX_LENGTH]]
        shards += (
            bytes(view[start : start + length])
            for start in range(length - _PREFIX_LENGTH, self.data * length - _PREFIX_LENGTH, length)
        )
        shards = [shard if len(shard) == length else shard.ljust(length, b"\0") for shard in shards]
        return shards + self._parity_of(shards)

    def complete(self, shards: Mapping[int, bytes]) -> list[bytes]:
        """All `total` shards, recomputed from `data` of those given (by shard index; data shards first).

        Given data shards are in the result as they are; every other entry is recomputed, so a parity shard
        that was given but not needed may differ from its entry. Raises InvalidCodeword for too few shards,
        an index out of range, or shards that are empty, of unequal length, or not a multiple of 64 bytes
        long.
        """
        self._validate(shards)
        originals = {index: shards[index] for index in range(self.data) if index in shards}
        missing = self.data - len(originals)
        if missing:
            spare = sorted(index for index in shards if index >= self.data)[:missing]
            parity = {index - self.data: shards[index] for index in spare}
            try:
                originals |= reed_solomon_leopard.decode(self.data, self._parity, originals, parity)
            except ValueError as error:
                raise InvalidCodeword(f"the shards do not decode: {error}") from None
        data = [originals[index] for index in range(self.data)]
        return data + self._parity_of(data)

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

    def _parity_of(self, data: list[bytes]) -> list[bytes]:
        return list(reed_solomon_leopard.encode(data, self._parity)) if self._parity else []

    def _validate(self, shards: Mapping[int, bytes]) -> None:
        # The library accepts some malformed input without a word, so nothing reaches it unchecked.
        if len(shards) < self.data:
            raise InvalidCodeword(f"{len(shards)} shards are too few: {self.data} are needed")
        lengths = {len(shard) for shard in shards.values()}
        if len(lengths) != 1:
            raise InvalidCodeword("the shards differ in length")
        length = lengths.pop()
        if length == 0 or length % _UNIT:
            raise InvalidCodeword(f"a shard does not have {length} bytes")
        for index in shards:
            if not 0 <= index < self.total:
                raise InvalidCodeword(f"there is no shard {index} among {self.total}")
