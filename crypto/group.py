"""The pairing group behind all threshold schemes: two source groups and a check of pairings.

Guarantee: a point that came out of `SourceGroup.decode` or `SourceGroup.hash` lies in the subgroup of prime
order. (`decode` also refuses the identity.) All soundness arguments above this file rest on that: random
weights in a batch check prove nothing about points with a component of small order. A point that came out of
`decode_on_curve` may lie outside; whoever uses it says why that does no harm.

The interface is thin on purpose. Points are opaque: they support `==` and are otherwise handled through
their group. An implementation never exposes an element of the target group; the only question asked of the
pairing e is whether two products of pairings are equal.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

Point: TypeAlias = Any
"""A point of either source group, as the context tells; bindings have no common types."""

PointPair: TypeAlias = tuple[Point, Point]
"""A pair (point of G1, point of G2): one pairing."""


class SourceGroup(ABC):
    """One of the two source groups of a pairing, written additively, of prime order."""

    order: int
    """The number of elements, a prime."""
    encoded_length: int
    """Bytes of an encoded point."""
    generator: Point
    identity: Point
    hash_suite: bytes
    """Name of the hash-to-curve suite (RFC 9380, section 8), the tail of every domain separation tag."""

    @abstractmethod
    def encode(self, point: Point) -> bytes:
        """The canonical encoding, `encoded_length` bytes."""

    @abstractmethod
    def decode(self, encoded: bytes) -> Point:
        """The point with this encoding.

        Raises `InvalidPoint` unless the encoding is canonical, of the right length, and of a point on the
        curve, in the subgroup of prime order, other than the identity.
        """

    @abstractmethod
    def decode_on_curve(self, encoded: bytes) -> Point:
        """As `decode`, without the check that the point is in the subgroup: a quarter of the cost."""

    @abstractmethod
    def contains(self, point: Point) -> bool:
        """Whether a point of the curve is in the subgroup of prime order; the identity is."""

    @abstractmethod
    def hash(self, message: bytes, dst: bytes) -> Point:
        """Hash to the group (RFC 9380, `hash_suite`); `dst` is the domain separation tag, 16 to 255 bytes."""

    @abstractmethod
    def multiply(self, point: Point, scalar: int) -> Point:
        """`scalar` times `point`; `scalar` is taken modulo the order. Not constant in time."""

    @abstractmethod
    def multiplier(self, point: Point) -> Callable[[int], Point]:
        """`multiply` for one point that is used often: twice as fast in G1, after a table of 0.1 MB is made.

        The table costs as much as thirty calls save. ValueError for the identity.
        """

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

    @abstractmethod
    def combine(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        """Sum of scalars[k] times points[k]. Raises ValueError if the lengths differ.

        Far cheaper than one by one, above all for scalars of small absolute value.
        """


class PairingGroup(ABC):
    """Two source groups of the same prime order with a non-degenerate bilinear map e (type 3)."""

    name: str
    order: int
    g1: SourceGroup
    g2: SourceGroup

    @abstractmethod
    def products_equal(self, left: Sequence[PointPair], right: Sequence[PointPair]) -> bool:
        """Whether the product of e over `left` equals that over `right`; one final exponentiation.

        Both sides have at least one pair, else CryptoError.
        """

    def pairings_equal(self, a1: Point, a2: Point, b1: Point, b2: Point) -> bool:
        """Whether e(a1, a2) = e(b1, b2), with a1, b1 in G1 and a2, b2 in G2."""
        return self.products_equal(((a1, a2),), ((b1, b2),))
