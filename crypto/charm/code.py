"""The erasure code by zfec (Rizzo's code over GF(2^8), systematic): its own codewords, pinned in the tests."""

from collections.abc import Sequence
from functools import lru_cache

from zfec import Decoder, Encoder

from crypto.erasure import ErasureCode


class Zfec(ErasureCode):
    """Reed and Solomon's idea with other coefficients than those of the suite `bls`: parity shards differ."""

    most_shards = 255

    def _restore(self, used: tuple[int, ...], pieces: Sequence[bytes]) -> list[bytes]:
        encoder, decoder = _coders(self.data, self.total)
        # zfec wants each data shard that is there in its own place; parity shards go where one is missing.
        first = tuple(pieces) if used[-1] < self.data else tuple(decoder.decode(*_arranged(self.data, used, pieces)))
        given = set(used)
        lacking = tuple(index for index in range(self.data, self.total) if index not in given)
        parity = encoder.encode(first, lacking) if lacking else ()
        return [*(first[index] for index in range(self.data) if index not in given), *parity]


def _arranged(data: int, used: tuple[int, ...], pieces: Sequence[bytes]) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    by_index = dict(zip(used, pieces, strict=True))
    parity = iter(index for index in used if index >= data)
    order = tuple(index if index in by_index else next(parity) for index in range(data))
    return tuple(by_index[index] for index in order), order


@lru_cache(maxsize=64)
def _coders(data: int, total: int) -> tuple[Encoder, Decoder]:
    return Encoder(data, total), Decoder(data, total)
