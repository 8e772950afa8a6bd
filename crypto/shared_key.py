"""A key shared among nodes: what everyone knows (a Feldman commitment), and what one node holds.

Both threshold schemes build on these two classes. Guarantee: a `PublicKey` consists of points of the group
other than the identity, and a `SecretKey` that exists matches the commitment (its constructor refuses it
otherwise).
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from crypto.errors import CryptoError, InvalidKey, InvalidPoint
from crypto.group import PairingGroup, Point, SourceGroup
from crypto.shamir import committed_share

SCALAR_LENGTH = 32
"""Bytes of an encoded scalar, big-endian."""


class PublicKey:
    """The public side of a shared key: `threshold` of `nodes` shares are needed. Treat as immutable.

    `commitment` holds `threshold` encoded points of `group`; the first one is the public key itself.
    Raises InvalidKey unless 1 <= threshold <= nodes and each point decodes.
    """

    def __init__(
        self, threshold: int, commitment: Sequence[bytes], nodes: int, suite: PairingGroup, group: SourceGroup
    ) -> None:
        if not 1 <= threshold <= nodes:
            raise InvalidKey(f"a threshold of {threshold} is impossible with {nodes} nodes")
        if len(commitment) != threshold:
            raise InvalidKey(f"{threshold} commitments are needed, not {len(commitment)}")
        self.threshold = threshold
        self.nodes = nodes
        self.commitment = tuple(bytes(encoded) for encoded in commitment)
        self.suite = suite
        self.group = group
        try:
            self._points = [group.decode(encoded) for encoded in self.commitment]
        except InvalidPoint as error:
            raise InvalidKey(str(error)) from None
        self._shares: dict[int, Point] = {}

    @property
    def point(self) -> Point:
        """The public key: the generator times the shared secret."""
        return self._points[0]

    def public_share(self, index: int) -> Point:
        """The generator times node `index`'s secret; computed once.

        Raises CryptoError for an index out of range and InvalidKey if the result is the identity.
        """
        share = self._shares.get(index)
        if share is None:
            self.check_index(index)
            share = committed_share(self.group, self._points, index)
            if share == self.group.identity:
                raise InvalidKey(f"the public share of node {index} is the identity")
            self._shares[index] = share
        return share

    def check_index(self, index: int) -> None:
        """CryptoError unless there is a node `index`."""
        if not 0 <= index < self.nodes:
            raise CryptoError(f"there is no node {index} among {self.nodes}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.threshold} of {self.nodes}: {self.commitment[0].hex()[:16]}>"


Public = TypeVar("Public", bound=PublicKey)


class SecretKey(Generic[Public]):
    """Node `index`'s share of the key `public`.

    Raises InvalidKey unless the scalar is in [1, order - 1] and matches the commitment (Feldman).
    """

    def __init__(self, index: int, scalar: int, public: Public) -> None:
        if not 1 <= scalar < public.group.order:
            raise InvalidKey("a secret scalar is between 1 and the group order less 1")
        if not 0 <= index < public.nodes:
            raise InvalidKey(f"there is no node {index} among {public.nodes}")
        if public.group.multiply(public.group.generator, scalar) != public.public_share(index):
            raise InvalidKey("the key share does not match the commitments")
        self.index = index
        self.public = public
        self._scalar = scalar

    def to_bytes(self) -> bytes:
        """The scalar, 32 bytes, big-endian. Secret."""
        return self._scalar.to_bytes(SCALAR_LENGTH, "big")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of node {self.index}>"
