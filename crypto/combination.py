"""Combining shares optimistically, and finding out who sent a bad one.

Verifying every share costs two pairings each; verifying the combined result costs two pairings in all, and
in a run without attackers nothing else is needed. So: combine first, check the result, and only when it is
wrong look for the culprits, by batch checks with random weights that are bisected on failure (Bellare,
Garay and Rabin, EUROCRYPT 1998). A sender known to have lied (`suspects`) never enters the optimistic step
unverified, so each faulty node costs a bounded number of failures until its caller forgets about it.

Guarantees, given that `is_correct` accepts only the right value and `all_valid` only lists of valid shares:

- a value returned is the right one; senders named bad did send an invalid share;
- with enough valid shares there is a value, whatever the other shares are;
- at most 1 + 2 * len(shares) + len(suspects) checks are made.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from crypto.errors import CryptoError, InvalidPoint
from crypto.group import Point, SourceGroup
from crypto.shamir import lagrange_at_zero

Item = TypeVar("Item")
Share = tuple[int, Point]
"""(node index, its decoded share)"""


@dataclass(frozen=True, slots=True)
class Combination:
    """`value` is None if there were not enough valid shares; `bad` names the senders of invalid ones."""

    value: Point | None
    bad: frozenset[int]


@dataclass(frozen=True, slots=True)
class Combiner:
    """How shares of one value are decoded, combined and checked; all points are of `group`.

    `is_correct(value)` says whether a combined value is the right one; `all_valid(shares)` whether all
    these shares are valid. Both must be true of honest shares, and false of anything else but with
    probability 2^-128.
    """

    group: SourceGroup
    threshold: int
    nodes: int
    is_correct: Callable[[Point], bool]
    all_valid: Callable[[Sequence[Share]], bool]

    def combine(self, shares: Mapping[int, bytes], suspects: Collection[int]) -> Combination:
        """The value shared, from encoded shares by sender. Raises CryptoError for an index out of range."""
        for index in shares:
            if not 0 <= index < self.nodes:
                raise CryptoError(f"there is no node {index} among {self.nodes}")
        if len(shares) < self.threshold:
            return Combination(None, frozenset())
        bad: set[int] = set()
        # Both iterators are shared with the search below: each share is decoded once at most.
        unsuspected = self._decode((i for i in shares if i not in suspects), shares, bad)
        suspected = self._decode((i for i in shares if i in suspects), shares, bad)

        chosen = list(_take(unsuspected, self.threshold))
        verified: list[Share] = []
        while len(chosen) + len(verified) < self.threshold:
            doubtful = next(suspected, None)
            if doubtful is None:
                return Combination(None, frozenset(bad))
            if self.all_valid([doubtful]):
                verified.append(doubtful)
            else:
                bad.add(doubtful[0])

        value = self._interpolate(chosen + verified)
        if self.is_correct(value):
            return Combination(value, frozenset(bad))

        # Valid shares always combine to the right value, so among `chosen` there is an invalid one.
        verified += self._sift(chosen, bad, one_is_bad=True)
        while len(verified) < self.threshold:
            more = list(_take(unsuspected, self.threshold - len(verified)))
            more = more or list(_take(suspected, self.threshold - len(verified)))
            if not more:
                return Combination(None, frozenset(bad))
            verified += self._sift(more, bad)
        return Combination(self._interpolate(verified), frozenset(bad))

    def _decode(self, indices: Iterable[int], shares: Mapping[int, bytes], bad: set[int]) -> Iterator[Share]:
        for index in indices:
            try:
                yield index, self.group.decode(shares[index])
            except InvalidPoint:
                bad.add(index)

    def _sift(self, shares: list[Share], bad: set[int], one_is_bad: bool = False) -> list[Share]:
        """The valid ones among `shares`; the senders of the others are added to `bad`."""
        invalid = {index for index, _ in find_invalid(shares, self.all_valid, one_is_bad)}
        bad |= invalid
        return [share for share in shares if share[0] not in invalid]

    def _interpolate(self, shares: list[Share]) -> Point:
        ordered = sorted(shares, key=lambda share: share[0])  # one cache entry for each set of senders
        coefficients = lagrange_at_zero(tuple(index for index, _ in ordered), self.group.order)
        return self.group.combine(coefficients, [point for _, point in ordered])


def find_invalid(
    items: Sequence[Item], all_valid: Callable[[Sequence[Item]], bool], one_is_bad: bool = False
) -> list[Item]:
    """The invalid ones among `items`, in order, by bisection; `one_is_bad` if that is known beforehand.

    With b invalid ones among n, at most min(2 n - 1, about 2 b log2 n) calls of `all_valid`.
    """
    if not items or (not one_is_bad and all_valid(items)):
        return []
    if len(items) == 1:
        return list(items)
    middle = len(items) // 2
    left = find_invalid(items[:middle], all_valid)
    # If nothing is wrong on the left, the trouble is on the right: no need to ask.
    return left + find_invalid(items[middle:], all_valid, one_is_bad=not left)


def batch_weights(count: int) -> list[int]:
    """Weights of a batch check: the first is 1, the others are independent, uniform, 128 bits and not 0.

    Drawn from the operating system when the check is made, hence unknown to whoever chose the shares. An
    invalid batch passes with probability below 2^-127, provided all points are of prime order.
    """
    return [1] + [1 + secrets.randbelow((1 << 128) - 1) for _ in range(count - 1)]


def _take(items: Iterator[Share], count: int) -> Iterator[Share]:
    for _, item in zip(range(count), items, strict=False):
        yield item
