"""Unique threshold signatures on BLS12-381, and the coin's bit made from one.

Guarantee: from any `threshold` valid shares of a message comes the same signature, which anyone can verify
under one public key; fewer shares reveal nothing about it. (Boldyreva, PKC 2003, eprint 2002/118, section
3, the threshold form of Boneh, Lynn and Shacham.) As the signature is unique and unpredictable, a bit of
its hash is a common coin (Cachin, Kursawe and Shoup, PODC 2000, built from another signature).

Signatures lie in G1 (48 bytes, cheap to hash to) and keys in G2. Node i's share of message m is x_i H(m);
it is valid when e(share, g2) = e(H(m), x_i g2). H is RFC 9380's suite for G1 under a domain separation tag
that names the key's purpose, so that a share made for one purpose is worthless for another even if keys
were reused.

A share carries no index: its index is that of the authenticated sender, never one from the message.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache, partial

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.combination import Combiner
from crypto.bls.pairing import PairingGroup
from crypto.errors import CryptoError, InvalidPoint
from crypto.group import Point
from crypto.shared_key import KeyShare, SharedKey


class SignatureKey(SharedKey):
    """The public side of a shared signature key.

    `commitment`: `threshold` encoded points of G2. `purpose`: 1 to 64 bytes that name what the key signs,
    such as b"COIN". Raises InvalidKey as `SharedKey` does, CryptoError for an unusable purpose.
    """

    def __init__(
        self, threshold: int, commitment: Sequence[bytes], purpose: bytes, nodes: int, pairing: PairingGroup = BLS12_381
    ) -> None:
        if not 1 <= len(purpose) <= 64:
            raise CryptoError("a purpose has 1 to 64 bytes")
        super().__init__(threshold, commitment, nodes, pairing.g2)
        self.pairing = pairing
        self.purpose = purpose
        self.dst = b"HONEYBADGER-" + purpose + b"-V1-" + pairing.g1.hash_suite
        # One message is signed, then verified, by a node: hash it once.
        self.message_point = lru_cache(maxsize=256)(partial(self.pairing.g1.hash, dst=self.dst))

    def verify_share(self, index: int, message: bytes, share: bytes) -> bool:
        """Whether these 48 bytes are node `index`'s share of `message`. CryptoError for a wrong index."""
        return self._holds(message, share, self.public_share(index))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether these 48 bytes are the signature of `message`."""
        return self._holds(message, signature, self.point)

    def combine(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[bytes | None, frozenset[int]]:
        """The signature of `message` (48 bytes; None if there are not enough valid shares) and the liars.

        `shares` by sender, in order of preference; with fewer than `threshold` nothing is done. The second result names
        senders of invalid shares, as far as shares had to be checked: the caller drops these shares and passes the
        senders as `suspects` from then on. Without attackers this costs two pairings. Raises CryptoError for a sender
        out of range.
        """
        value, bad = Combiner(self, self.pairing.g1, partial(self._pairing_check, message)).combine(shares, suspects)
        return None if value is None else self.pairing.g1.encode(value), bad

    def toss(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[int | None, frozenset[int]]:
        """The coin of `message`: a bit of its signature's hash; else as `combine`."""
        signature, bad = self.combine(message, shares, suspects)
        return None if signature is None else coin_bit(signature), bad

    @property
    def proof_bytes(self) -> int:
        return self.pairing.g1.encoded_length

    def _holds(self, message: bytes, encoded: bytes, key: Point) -> bool:
        try:
            value = self.pairing.g1.decode(encoded)
        except InvalidPoint:
            return False
        return self._pairing_check(message, value, key)

    def _pairing_check(self, message: bytes, value: Point, key: Point) -> bool:
        return self.pairing.pairings_equal(value, self.pairing.g2.generator, self.message_point(message), key)


class SignatureShare(KeyShare[SignatureKey]):
    """A node's share of a signature key."""

    def sign_share(self, message: bytes) -> bytes:
        """This node's share of the signature of `message`, 48 bytes."""
        g1 = self.public.pairing.g1
        return g1.encode(g1.multiply(self.public.message_point(message), self._scalar))


def coin_bit(signature: bytes) -> int:
    """The coin, 0 or 1: the low bit of the SHA-256 of a signature already verified.

    Not a bit of the encoding itself: those are not uniform (flags, a field element below p).
    """
    return hashlib.sha256(signature).digest()[-1] & 1
