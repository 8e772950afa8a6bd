"""The pairing group behind the threshold schemes of this suite: two source groups and a check of pairings.

The interface is thin on purpose. An implementation never exposes an element of the target group; the only question
asked of the pairing e is whether two products of pairings are equal.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

from crypto.group import Group, Point

PointPair: TypeAlias = tuple[Point, Point]
"""A pair (point of G1, point of G2): one pairing."""


class PairingGroup(ABC):
    """Two source groups of the same prime order with a non-degenerate bilinear map e (type 3)."""

    name: str
    order: int
    g1: Group
    g2: Group

    @abstractmethod
    def products_equal(self, left: Sequence[PointPair], right: Sequence[PointPair]) -> bool:
        """Whether the product of e over `left` equals that over `right`; one final exponentiation.

        Both sides have at least one pair, else CryptoError.
        """

    def pairings_equal(self, a1: Point, a2: Point, b1: Point, b2: Point) -> bool:
        """Whether e(a1, a2) = e(b1, b2), with a1, b1 in G1 and a2, b2 in G2."""
        return self.products_equal(((a1, a2),), ((b1, b2),))
