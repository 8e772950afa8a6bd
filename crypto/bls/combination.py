"""Combines shares optimistically, and finds out who sent a bad one.

Verifying every share costs two pairings each; verifying the combined result costs two pairings in all, and
in a run without attackers that is all. So: combine first, check the result, and only if it is
wrong search for the culprits, by batch checks with random weights that are bisected on failure (Bellare,
Garay and Rabin, EUROCRYPT 1998). A share of a sender that has lied before (`suspects`) never enters the optimistic step
unverified, so each faulty node costs a bounded number of failures until its caller forgets about it.

The optimistic step does not even ask whether the shares lie in the subgroup of prime order, which costs three times as
much as the rest of decoding them. It asks that of the result. Before any check with weights each share is asked: of an
error of small order, a weight may happen to be a multiple.

Guarantees, given that `holds` and `proves` say yes to a wrong value only with probability 2^-128:

- a returned value is the right one, and senders in `bad` did send an invalid share;
- with enough valid shares there is a value, whatever the other shares are;
- at most 1 + 2 * len(shares) + len(suspects) checks are made.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from crypto.errors import InvalidPoint
from crypto.group import Group, Point
from crypto.shamir import interpolation_at_zero
from crypto.shared_key import SharedKey

Item = TypeVar("Item")
Share = tuple[int, Point]
"""(node index, its decoded share)"""


@dataclass(frozen=True, slots=True)
class Combiner:
    """How shares of one value, points of `group`, are combined and checked.

    `holds(value, key)`: whether the secret behind a public key, or share, makes this value, which is in the subgroup;
    linear in both. Optional, `proves(value)`: a cheaper check that the value is the right one, which may say no to a
    right one, and says no to all others, in the subgroup or not.
    """

    key: SharedKey
    group: Group
    holds: Callable[[Point, Point], bool]
    proves: Callable[[Point], bool] = lambda value: False

    def combine(self, shares: Mapping[int, bytes], suspects: Collection[int]) -> tuple[Point | None, frozenset[int]]:
        """The shared value, from encoded shares by sender, and the senders of invalid ones.

        The value is None if there were not enough valid shares. Raises CryptoError for an index out of range.
        """
        for index in shares:
            self.key.check_index(index)
        threshold = self.key.threshold
        if len(shares) < threshold:
            return None, frozenset()
        bad: set[int] = set()
        # Both iterators are shared with the search below: each share is decoded once at most.
        unsuspected = self._decode((i for i in shares if i not in suspects), shares, bad)
        suspected = self._decode((i for i in shares if i in suspects), shares, bad)

        chosen = list(islice(unsuspected, threshold))
        verified: list[Share] = []
        while len(chosen) + len(verified) < threshold:
            doubtful = next(suspected, None)
            if doubtful is None:
                return None, frozenset(bad)
            verified += self._sift([doubtful], bad)

        value = self._interpolate(chosen + verified)
        if self.proves(value) or (self.group.contains(value) and self.holds(value, self.key.point)):
            return value, frozenset(bad)

        # Valid shares always combine to the right value, so among `chosen` there is an invalid one.
        verified += self._sift(chosen, bad, one_is_bad=True)
        while len(verified) < threshold:
            lacking = threshold - len(verified)
            more = list(islice(unsuspected, lacking)) or list(islice(suspected, lacking))
            if not more:
                return None, frozenset(bad)
            verified += self._sift(more, bad)
        return self._interpolate(verified), frozenset(bad)

    def _decode(self, indices: Iterable[int], shares: Mapping[int, bytes], bad: set[int]) -> Iterator[Share]:
        for index in indices:
            try:
                yield index, self.group.decode_on_curve(shares[index])
            except InvalidPoint:
                bad.add(index)

    def _sift(self, shares: list[Share], bad: set[int], one_is_bad: bool = False) -> list[Share]:
        """The valid ones among `shares`; the senders of the others are added to `bad`."""
        inside = [share for share in shares if self.group.contains(share[1])]
        one_is_inside = one_is_bad and len(inside) == len(shares)
        invalid = {index for index, _ in find_invalid(inside, self._all_valid, one_is_inside)}
        valid = [share for share in inside if share[0] not in invalid]
        bad |= {index for index, _ in shares} - {index for index, _ in valid}
        return valid

    def _interpolate(self, shares: list[Share]) -> Point:
        ordered = sorted(shares, key=lambda share: share[0])  # one cache entry for each set of senders
        factors, scale = interpolation_at_zero(tuple(index for index, _ in ordered), self.group.order)
        # Short factors first, then one long one: half the cost of Lagrange's coefficients, which are all long.
        total = self.group.combine(factors, [point for _, point in ordered])
        return self.group.multiply(total, scale)

    def _all_valid(self, shares: Sequence[Share]) -> bool:
        weights = batch_weights(len(shares))
        value = self.group.combine(weights, [point for _, point in shares])
        key = self.key.group.combine(weights, [self.key.public_share(index) for index, _ in shares])
        return self.holds(value, key)


def find_invalid(
    items: Sequence[Item], all_valid: Callable[[Sequence[Item]], bool], one_is_bad: bool = False
) -> list[Item]:
    """The invalid ones among `items`, in order, by bisection; `one_is_bad`: the caller knows that there is one.

    With b invalid ones among n, at most min(2 n - 1, about 2 b log2 n) calls of `all_valid`.
    """
    if not items or (not one_is_bad and all_valid(items)):
        return []
    if len(items) == 1:
        return list(items)
    middle = len(items) // 2
    left = find_invalid(items[:middle], all_valid)
    # If nothing is wrong on the left, something is on the right: no need to check.
    return left + find_invalid(items[middle:], all_valid, one_is_bad=not left)


def batch_weights(count: int) -> list[int]:
    """Weights of a batch check: the first is 1, the others are independent, uniform, 128 bits and not 0.

    Drawn from the operating system for each check, hence unknown to the senders of the shares. An
    invalid batch passes with probability below 2^-127, provided all points are of prime order.
    """
    return [1] + [1 + secrets.randbelow((1 << 128) - 1) for _ in range(count - 1)]
