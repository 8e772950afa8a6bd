"""Products of a matrix over GF(2^8) with long vectors of bytes: the work of the erasure code.

Intel's ISA-L does it where it is installed, else `bytes.translate` and numpy, with the same result but far slower.
ISA-L comes in the wheel of PyECLib (Linux on x86_64 and aarch64); elsewhere the system's own library is used, for
instance Homebrew's `isa-l`. It is called directly: PyECLib's own interface puts a header of 80 bytes before each shard,
accepts only shards with such headers, and copies every byte several times.
"""

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crypto.gf256 import multiples

#: from k vectors of the same length, a vector for each row of the matrix
Product = Callable[[Sequence[bytes]], list[bytes]]
#: makes such a product from a matrix of k columns
Multiplier = Callable[[NDArray[np.uint8]], Product]

_TABLE_BYTES = 32
"""What ISA-L expands each element of a matrix to."""


def portable(matrix: NDArray[np.uint8]) -> Product:
    """The product in plain Python and numpy."""
    rows = [[multiples(factor) for factor in row] for row in matrix.tolist()]

    def product(vectors: Sequence[bytes]) -> list[bytes]:
        results = []
        for tables in rows:
            total = np.zeros(len(vectors[0]), np.uint8)
            for table, vector in zip(tables, vectors, strict=True):
                total ^= np.frombuffer(vector.translate(table), np.uint8)
            results.append(total.tobytes())
        return results

    return product


def isal(library: ctypes.CDLL) -> Multiplier:
    """The product by ISA-L. OSError if this is another library."""
    try:
        expand, encode = library.ec_init_tables, library.ec_encode_data
    except AttributeError as error:
        raise OSError(f"not ISA-L: {error}") from None
    number, pointer = ctypes.c_int, ctypes.c_void_p
    expand.argtypes, expand.restype = (number, number, ctypes.c_char_p, pointer), None
    encode.argtypes, encode.restype = (number, number, number, pointer, pointer, pointer), None

    def multiplier(matrix: NDArray[np.uint8]) -> Product:
        count, width = matrix.shape
        tables = ctypes.create_string_buffer(_TABLE_BYTES * count * width)
        expand(width, count, matrix.tobytes(), tables)
        sources, targets = ctypes.c_char_p * width, pointer * count

        def product(vectors: Sequence[bytes]) -> list[bytes]:
            # ISA-L trusts its caller: a wrong number or a shorter vector would be read past its end.
            length = len(vectors[0])
            if len(vectors) != width or any(type(one) is not bytes or len(one) != length for one in vectors):
                raise ValueError(f"{width} vectors of the same length are needed, as bytes")
            results = np.empty((count, length), np.uint8)
            begin = results.ctypes.data
            encode(
                length, width, count, tables, sources(*vectors), targets(*range(begin, begin + count * length, length))
            )
            return [row.tobytes() for row in results]

        return product

    return multiplier


@cache
def multiplier() -> tuple[str, Multiplier]:
    """Name and function of the fastest way on this machine."""
    for path in _libraries():
        try:
            fast = isal(ctypes.CDLL(path))
        except OSError:
            continue
        if _agrees(fast):
            return "ISA-L", fast
    return "portable", portable


def _libraries() -> list[str]:
    """Where ISA-L may be."""
    spec = importlib.util.find_spec("pyeclib")
    places = [Path(place).parent / "pyeclib.libs" for place in (spec and spec.submodule_search_locations) or ()]
    bundled = [str(path) for place in places for path in sorted(place.glob("libisal*"))]
    system = ctypes.util.find_library("isal") if not bundled else None
    return bundled + ([system] if system else [])


def _agrees(candidate: Multiplier) -> bool:
    """Whether a library computes what the portable product does, for vectors that take all of its inner loops.

    A node with a different library would make codewords that others refuse.
    """
    matrix = np.arange(1, 8 * 7 + 1, dtype=np.uint8).reshape(8, 7)
    vectors = [bytes((row * 31 + column * 7) % 256 for column in range(1031)) for row in range(7)]
    return candidate(matrix)(vectors) == portable(matrix)(vectors)
