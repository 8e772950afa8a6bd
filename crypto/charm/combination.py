"""Combines shares that prove themselves, and finds out who sent a bad one.

Verifying a share costs about four multiplications, combining `threshold` of them about as many multiplications as there
are shares. So where there is a cheap proof that a combined value is right, shares are combined first, and their own
proofs are looked at only if the value is not.

Guarantees, given that `verified` and `proves` say yes to what is wrong with negligible probability only:

- a returned value is the right one, and senders in `bad` did send an invalid share;
- with enough valid shares there is a value, whatever the other shares are;
- at most each share is verified once. One by a sender that has lied before (`suspects`) never enters the optimistic
  step, and is verified only if the others do not suffice. If they are too few, it is verified before them: callers try
  again with each share that arrives, so known liars would make a node verify the same good shares again and again.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from crypto.charm.proof import ProvenKey
from crypto.errors import InvalidPoint
from crypto.group import Point
from crypto.shamir import interpolation_at_zero

Valid = TypeVar("Valid")


def first_valid(
    shares: Mapping[int, bytes],
    suspects: Collection[int],
    threshold: int,
    verified: Callable[[int, bytes], Valid | None],
) -> tuple[dict[int, Valid] | None, frozenset[int]]:
    """What `verified` makes of `threshold` valid shares, by sender, and the senders of invalid ones that were met.

    None if there are not enough valid shares.
    """
    trusted = [index for index in shares if index not in suspects]
    suspected = iter([index for index in shares if index in suspects])
    lacking = threshold - len(trusted)
    valid: dict[int, Valid] = {}
    bad: set[int] = set()

    def look(indices: Iterator[int], enough: int) -> None:
        while len(valid) < enough and (index := next(indices, None)) is not None:
            result = verified(index, shares[index])
            if result is None:
                bad.add(index)
            else:
                valid[index] = result

    look(suspected, lacking)
    if len(valid) >= lacking:  # else the others would not do, even if all are valid
        look(iter(trusted), threshold)
        look(suspected, threshold)
    return valid if len(valid) == threshold else None, frozenset(bad)


@dataclass(frozen=True, slots=True)
class Combiner:
    """How shares of one value are combined and checked.

    `verified(index, share)`: the point in node `index`'s share, or None if its proof does not hold. Optional,
    `proves(value)`: a cheap check that the combined value is right, which may say no to a right one.
    """

    key: ProvenKey
    verified: Callable[[int, bytes], Point | None]
    proves: Callable[[Point], bool] | None = None

    def combine(self, shares: Mapping[int, bytes], suspects: Collection[int]) -> tuple[Point | None, frozenset[int]]:
        """The shared value, from encoded shares by sender, and the senders of invalid ones.

        The value is None if there were not enough valid shares. Raises CryptoError for an index out of range.
        """
        for index in shares:
            self.key.check_index(index)
        threshold = self.key.threshold
        if len(shares) < threshold:
            return None, frozenset()
        trusted = [index for index in shares if index not in suspects]
        if self.proves is not None and len(trusted) >= threshold:
            value = self._unverified({index: shares[index] for index in trusted[:threshold]})
            if value is not None and self.proves(value):
                return value, frozenset()
        valid, bad = first_valid(shares, suspects, threshold, self.verified)
        return None if valid is None else self._interpolate(valid), bad

    def _unverified(self, shares: Mapping[int, bytes]) -> Point | None:
        try:
            return self._interpolate({index: self.key.point_of(share) for index, share in shares.items()})
        except InvalidPoint:
            return None

    def _interpolate(self, points: Mapping[int, Point]) -> Point:
        ordered = sorted(points)  # one cache entry for each set of senders
        group = self.key.group
        factors, scale = interpolation_at_zero(tuple(ordered), group.order)
        # Short factors first, then one long one: see `CharmCurve.combine`.
        return group.multiply(group.combine(factors, [points[index] for index in ordered]), scale)
