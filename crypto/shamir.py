"""Shamir secret sharing over the scalar field, with Feldman commitments.

A polynomial p of degree t over the integers modulo the group order shares the secret p(0): node i (0-based)
gets p(i + 1), any t + 1 nodes can interpolate p(0), and t nodes learn nothing about it. The commitment
g^{a_0}, ..., g^{a_t} to the coefficients lets everyone compute g^{p(i + 1)}, and so lets a node check its
share (Feldman, FOCS 1987). The node index is shifted here and nowhere else: no caller can ask for p(0) by
mistake.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm, prod

from crypto.errors import CryptoError
from crypto.group import Group, Point
from crypto.suite import RandomBytes


def random_scalar(order: int, randbytes: RandomBytes) -> int:
    """A scalar in [1, order - 1]; 128 bits more than the order's are drawn, so the bias is below 2^-128."""
    drawn = int.from_bytes(randbytes((order.bit_length() + 128 + 7) // 8), "big")
    return 1 + drawn % (order - 1)


class Polynomial:
    """A polynomial over the integers modulo `order`, by its coefficients, lowest first. Secret."""

    def __init__(self, coefficients: Sequence[int], order: int) -> None:
        if not coefficients:
            raise CryptoError("a polynomial needs at least one coefficient")
        self._coefficients = tuple(coefficient % order for coefficient in coefficients)
        self._order = order

    @classmethod
    def random(cls, degree: int, order: int, randbytes: RandomBytes) -> "Polynomial":
        """A random polynomial whose coefficients are all non-zero (so that no commitment is the identity)."""
        return cls([random_scalar(order, randbytes) for _ in range(degree + 1)], order)

    def share(self, index: int) -> int:
        """The share of node `index`: the value at index + 1."""
        x = _abscissa(index)
        value = 0
        for coefficient in reversed(self._coefficients):
            value = (value * x + coefficient) % self._order
        return value

    def commit(self, group: Group) -> list[Point]:
        """Feldman commitment: the generator times each coefficient, lowest first."""
        return [group.multiply(group.generator, coefficient) for coefficient in self._coefficients]

    def __repr__(self) -> str:
        return f"<Polynomial of degree {len(self._coefficients) - 1}>"


def committed_share(group: Group, commitment: Sequence[Point], index: int) -> Point:
    """The generator times node `index`'s share, from the commitment alone. May be the identity."""
    x = _abscissa(index)
    value = group.identity
    for point in reversed(commitment):
        value = group.add(group.multiply(value, x), point)
    return value


@lru_cache(maxsize=4096)
def interpolation_at_zero(indices: tuple[int, ...], order: int) -> tuple[tuple[int, ...], int]:
    """Integers n_k and a scalar s: p(0) = s · sum of n_k p(indices[k] + 1) for each p of degree below len(indices).

    The products s n_k are the Lagrange coefficients. Over one denominator the n_k are short: about 13, 34 and 89 bits
    for ⌊(N-1)/3⌋ + 1 of N = 16, 32 and 64 nodes. Only s is as long as the order. Raises CryptoError for no indices,
    a duplicate, or a negative one.
    """
    if not indices or len(set(indices)) != len(indices):
        raise CryptoError(f"interpolation needs distinct indices, at least one: {indices}")
    xs = [_abscissa(index) for index in indices]
    coefficients = [Fraction(prod(xs) // x, prod(other - x for other in xs if other != x)) for x in xs]
    denominator = lcm(*(coefficient.denominator for coefficient in coefficients))
    return tuple(int(coefficient * denominator) for coefficient in coefficients), pow(denominator, -1, order)


def _abscissa(index: int) -> int:
    if index < 0:
        raise CryptoError(f"a node index is never negative: {index}")
    return index + 1
