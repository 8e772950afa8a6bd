"""The field GF(2^8), and Lagrange interpolation over it.

Bytes are polynomials over GF(2) modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d); addition is exclusive or; 2 generates the
multiplicative group. This is the field of Intel's ISA-L and of most Reed-Solomon codes on bytes.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

ORDER = 256
_GROUP = ORDER - 1
_MODULUS = 0x11D


def _powers() -> list[int]:
    powers = [1]
    for _ in range(_GROUP - 1):
        doubled = powers[-1] << 1
        powers.append(doubled ^ _MODULUS if doubled & ORDER else doubled)
    return powers


_EXP: NDArray[np.intp] = np.array(_powers(), dtype=np.intp)
#: logarithm of each element to base 2; that of 0 is never used
_LOG: NDArray[np.intp] = np.zeros(ORDER, dtype=np.intp)
_LOG[_EXP] = np.arange(_GROUP)


@cache
def multiples(factor: int) -> bytes:
    """The product of `factor` and each of the 256 elements, in order: a table for `bytes.translate`."""
    if factor == 0:
        return bytes(ORDER)
    products = _EXP[(_LOG + _LOG[factor]) % _GROUP]
    products[0] = 0
    return bytes(products.tolist())


def interpolation(given: Sequence[int], missing: Sequence[int]) -> NDArray[np.uint8]:
    """The matrix that computes the values of a polynomial at `missing` from its values at `given`.

    `given` holds k distinct elements and `missing` elements outside them. The result has a row for each missing element
    and a column for each given one: for every polynomial of degree below k, p(missing) = result · p(given).
    """
    at, to = np.array(given, dtype=np.intp), np.array(missing, dtype=np.intp)
    between = _LOG[at[:, None] ^ at[None, :]]
    np.fill_diagonal(between, 0)
    across = _LOG[to[:, None] ^ at[None, :]]
    # In logarithms: the product of (to - m) over all given m, without m = at, over the product of (at - m).
    logarithm = across.sum(axis=1)[:, None] - across - between.sum(axis=1)[None, :]
    result: NDArray[np.uint8] = _EXP[logarithm % _GROUP].astype(np.uint8)
    return result
