"""The common coin of Cachin, Kursawe and Shoup, from the Diffie–Hellman problem.

Guarantee: from any `threshold` valid shares of a message comes the same bit, which nobody knows without a share from a
correct node. (PODC 2000, section 4.3; J. Cryptology 2005.) In the paper's notation: the message C is hashed to a point
g̃, the share of node i is g̃ multiplied by x_i with a proof of equal logarithms (`proof`), `threshold` of them combine
to x g̃, and the coin is a bit of its hash.

Without a pairing nobody can check x g̃ itself, so each share that is used must be verified: the price of this coin
compared with that of the suite `bls`.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from crypto.charm.combination import Combiner
from crypto.charm.curve import CharmCurve
from crypto.charm.proof import ProvenKey, ProvingShare
from crypto.group import Point


class CharmCoinKey(ProvenKey):
    """The public side of the coin's key; `commitment`: `threshold` encoded points. InvalidKey as `SharedKey`."""

    def __init__(self, threshold: int, commitment: Sequence[bytes], nodes: int, group: CharmCurve) -> None:
        super().__init__(threshold, commitment, nodes, group, b"COIN")
        # One message's shares are made, then verified, by a node: hash it once.
        self.base = lru_cache(maxsize=256)(self._base)

    def _base(self, message: bytes) -> tuple[bytes, Point]:
        """What is proved about shares of `message`: the context, and the base point."""
        return hashlib.sha256(message).digest(), self.group.hash(message, self.dst)

    def verify_share(self, index: int, message: bytes, share: bytes) -> bool:
        """Whether these 97 bytes are node `index`'s share of `message`. CryptoError for an index out of range."""
        return self.verified(index, *self.base(message), share) is not None

    def toss(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[int | None, frozenset[int]]:
        """As `CoinKey.toss`. Verifies shares until `threshold` are valid."""
        context, base = self.base(message)
        combiner = Combiner(self, lambda index, share: self.verified(index, context, base, share))
        value, bad = combiner.combine(shares, suspects)
        return None if value is None else coin_bit(self.group.encode(value)), bad


class CharmCoinShare(ProvingShare):
    """A node's share of the coin's key."""

    public: CharmCoinKey

    def sign_share(self, message: bytes) -> bytes:
        """This node's share of the coin of `message`, 97 bytes, the same each time."""
        return self.prove(*self.public.base(message))


def coin_bit(encoded: bytes) -> int:
    """The coin, 0 or 1: the low bit of the SHA-256 of the encoded point x g̃."""
    return hashlib.sha256(encoded).digest()[-1] & 1
