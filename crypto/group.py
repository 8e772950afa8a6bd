"""A group of prime order, which all threshold schemes are built on.

Guarantee: a point that came out of `Group.decode` or `Group.hash` lies in the subgroup of prime order. (`decode` also
refuses the identity.) All soundness arguments above this file rest on that: random weights in a batch check prove
nothing about points with a component of small order. A point that came out of `decode_on_curve` may lie outside;
whoever uses it says why that does no harm.

The interface is thin on purpose. Points are opaque: they support `==` and are otherwise handled through their group.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

Point: TypeAlias = Any
"""A point of some group, as the context tells; libraries have no common types."""


class Group(ABC):
    """A group of prime order in which discrete logarithms are hard, written additively."""

    order: int
    """The number of elements, a prime."""
    encoded_length: int
    """Bytes of an encoded point."""
    generator: Point
    identity: Point
    hash_suite: bytes
    """Name of the way to hash to the group, the tail of every domain separation tag."""

    @abstractmethod
    def encode(self, point: Point) -> bytes:
        """The canonical encoding, `encoded_length` bytes."""

    @abstractmethod
    def decode(self, encoded: bytes) -> Point:
        """The point with this encoding.

        Raises `InvalidPoint` unless the encoding is canonical, of the right length, and of a point on the
        curve, in the subgroup of prime order, other than the identity.
        """

    def decode_on_curve(self, encoded: bytes) -> Point:
        """As `decode`, without the check that the point is in the subgroup, where that saves most of the cost."""
        return self.decode(encoded)

    def contains(self, point: Point) -> bool:
        """Whether a point of the curve is in the subgroup of prime order; the identity is."""
        return True

    @abstractmethod
    def hash(self, message: bytes, dst: bytes) -> Point:
        """Hash to the group (`hash_suite`); `dst` is the domain separation tag, 16 to 255 bytes."""

    @abstractmethod
    def multiply(self, point: Point, scalar: int) -> Point:
        """`scalar` times `point`; `scalar` is taken modulo the order. Not constant in time."""

    def multiplier(self, point: Point) -> Callable[[int], Point]:
        """`multiply` for one point that is used often; faster where the group has a way. ValueError for the identity.

        It may cost as much as thirty calls save.
        """
        if point == self.identity:
            raise ValueError("the identity has no table of multiples")
        return partial(self.multiply, point)

    @abstractmethod
    def add(self, a: Point, b: Point) -> Point:
        """a + b."""

    @abstractmethod
    def negate(self, point: Point) -> Point:
        """-point."""

    def sum(self, points: Iterable[Point]) -> Point:
        """The sum; the identity for no points."""
        total = self.identity
        for point in points:
            total = self.add(total, point)
        return total

    def combine(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        """Sum of scalars[k] times points[k]. Raises ValueError if the lengths differ."""
        return self.sum(self.multiply(point, scalar) for scalar, point in zip(scalars, points, strict=True))
