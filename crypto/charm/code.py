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
        # Sorted, so that the last one is beyond the data unless no data is missing.
        first = tuple(pieces if used[-1] < self.data else decoder.decode(tuple(pieces), used))
        given = set(used)
        lacking = tuple(index for index in range(self.data, self.total) if index not in given)
        parity = encoder.encode(first, lacking) if lacking else ()
        return [*(first[index] for index in range(self.data) if index not in given), *parity]


@lru_cache(maxsize=64)
def _coders(data: int, total: int) -> tuple[Encoder, Decoder]:
    return Encoder(data, total), Decoder(data, total)
