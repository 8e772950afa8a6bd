"""Shares that prove themselves: a multiple of a base point by a node's secret, with a proof of equal logarithms.

Node i holds x_i, and h_i = x_i g is public. Its share of whatever the base point B stands for is V = x_i B with a proof
that log_B V = log_g h_i (Chaum and Pedersen, CRYPTO 1992), made non-interactive by a hash (Fiat and Shamir):

    proof         s a nonce; e = H(statement, s g, s B); f = s + e x_i
    verification  e = H(statement, f g - e h_i, f B - e V)
    share         V (33 bytes), e (32), f (32); e and f big-endian and less than the order, so one encoding for each

The statement is the key's purpose, a context of 32 bytes that the caller chooses (what the share is of), the node's
index, h_i, B and V. All have fixed lengths, except the purpose, which carries its own. So a proof is of use for one
node, key, purpose and object only. Shoup and Gennaro use this proof for TDH2 (J. Cryptology 2002, section 4; Shoup's
û, ĥ are s B, s g here), and Cachin, Kursawe and Shoup for the coin (PODC 2000, section 4.3).

The nonce is HMAC-SHA-512 of the statement under the secret, modulo the order, as RFC 6979 and Ed25519 do it. A node
that restarts sends the same share again, and two statements never share a nonce, which would reveal x_i.

Why there is no batch verification. The verifier must compute both points that were hashed, each exactly, to compare the
hash: a random combination of several proofs has no hash to compare with. Proofs that carry these points in place of e
could be combined. They would be 34 bytes longer, and Charm has no multiplication of several points at once that would
make it pay.
"""

import hashlib
import hmac
from collections.abc import Sequence

from crypto.charm.curve import SCALAR_BYTES, CharmCurve
from crypto.errors import CryptoError, InvalidPoint
from crypto.group import Point
from crypto.shared_key import KeyShare, SharedKey

CONTEXT_BYTES = 32


class ProvenKey(SharedKey):
    """A shared key whose shares prove themselves; `purpose`: what it is for, such as b"COIN", 1 to 64 bytes."""

    group: CharmCurve

    def __init__(
        self, threshold: int, commitment: Sequence[bytes], nodes: int, group: CharmCurve, purpose: bytes
    ) -> None:
        if not 1 <= len(purpose) <= 64:
            raise CryptoError("a purpose has 1 to 64 bytes")
        super().__init__(threshold, commitment, nodes, group)
        self.dst = domain(purpose, group)
        self.share_length = group.encoded_length + 2 * SCALAR_BYTES
        self._encoded: dict[int, bytes] = {}

    def point_of(self, share: bytes) -> Point:
        """V of a share whose proof is not looked at. InvalidPoint for a wrong length, or if V is no point."""
        if len(share) != self.share_length:
            raise InvalidPoint(f"a share has {self.share_length} bytes, not {len(share)}")
        return self.group.decode(share[: self.group.encoded_length])

    def verified(self, index: int, context: bytes, base: Point, share: bytes) -> Point | None:
        """V of node `index`'s share, if the proof holds. CryptoError for an index out of range."""
        public_share = self.public_share(index)
        encoded = share[: self.group.encoded_length]
        try:
            value = self.point_of(share)
            e, f = scalars(share[len(encoded) :], self.group.order)
        except CryptoError:
            return None
        group = self.group
        commitments = (
            group.add(group.multiply(group.generator, f), group.negate(group.multiply(public_share, e))),
            group.add(group.multiply(base, f), group.negate(group.multiply(value, e))),
        )
        return value if self._challenge(self._statement(index, context, base, encoded), commitments) == e else None

    def prove(self, index: int, context: bytes, base: Point, secret: int) -> bytes:
        """Node `index`'s share, whose secret is `secret`."""
        group = self.group
        encoded = group.encode(group.multiply(base, secret))
        statement = self._statement(index, context, base, encoded)
        drawn = hmac.digest(secret.to_bytes(SCALAR_BYTES, "big"), b"NONCE" + statement, "sha512")
        nonce = 1 + int.from_bytes(drawn, "big") % (group.order - 1)
        e = self._challenge(statement, (group.multiply(group.generator, nonce), group.multiply(base, nonce)))
        return encoded + encode_scalars(e, (nonce + e * secret) % group.order)

    def _statement(self, index: int, context: bytes, base: Point, encoded: bytes) -> bytes:
        if len(context) != CONTEXT_BYTES:
            raise CryptoError(f"a context has {CONTEXT_BYTES} bytes, not {len(context)}")
        public = self._encoded.get(index)
        if public is None:
            public = self._encoded[index] = self.group.encode(self.public_share(index))
        return b"".join((self.dst, context, index.to_bytes(2, "big"), public, self.group.encode(base), encoded))

    def _challenge(self, statement: bytes, commitments: Sequence[Point]) -> int:
        return hash_to_scalar(statement + b"".join(map(self.group.encode, commitments)), self.group.order)


class ProvingShare(KeyShare[ProvenKey]):
    """A node's share of a key."""

    def prove(self, context: bytes, base: Point) -> bytes:
        """This node's share of what `context` and `base` stand for, 97 bytes, the same each time."""
        return self.public.prove(self.index, context, base, self._scalar)


def domain(purpose: bytes, group: CharmCurve) -> bytes:
    """A tag for one use of one group. None is the beginning of another: the first byte is the length of the rest."""
    tag = b"HONEYBADGER-" + purpose + b"-V1-" + group.hash_suite
    return bytes([len(tag)]) + tag


def hash_to_scalar(data: bytes, order: int) -> int:
    """SHA-512 modulo the order: uniform up to 2^-256."""
    return int.from_bytes(hashlib.sha512(data).digest(), "big") % order


def encode_scalars(*values: int) -> bytes:
    """32 bytes each, big-endian."""
    return b"".join(value.to_bytes(SCALAR_BYTES, "big") for value in values)


def scalars(data: bytes, order: int) -> tuple[int, int]:
    """The two scalars that `encode_scalars` wrote. CryptoError unless each is less than the order."""
    first, second = (int.from_bytes(part, "big") for part in (data[:SCALAR_BYTES], data[SCALAR_BYTES:]))
    if len(data) != 2 * SCALAR_BYTES or first >= order or second >= order:
        raise CryptoError("a scalar is not less than the order")
    return first, second
