"""A key shared among nodes: what everyone knows (a Feldman commitment), and what one node holds.

Threshold schemes build on these classes. Guarantee: a `SharedKey` consists of points of the group other than the
identity, and a `KeyShare` that exists matches the commitment (its constructor refuses it otherwise).
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from crypto.errors import CryptoError, InvalidKey, InvalidPoint
from crypto.group import Group, Point
from crypto.shamir import Polynomial, committed_share
from crypto.suite import SECRET_BYTES, RandomBytes, Scheme


class SharedKey:
    """The public side of a shared key: `threshold` of `nodes` shares are needed. Treat as immutable.

    `commitment` holds `threshold` encoded points of `group`; the first one is the public key itself.
    Raises InvalidKey unless 1 <= threshold <= nodes and each point decodes.
    """

    def __init__(self, threshold: int, commitment: Sequence[bytes], nodes: int, group: Group) -> None:
        if not 1 <= threshold <= nodes:
            raise InvalidKey(f"a threshold of {threshold} is impossible with {nodes} nodes")
        if len(commitment) != threshold:
            raise InvalidKey(f"{threshold} commitments are needed, not {len(commitment)}")
        self.threshold = threshold
        self.nodes = nodes
        self.parts = tuple(bytes(encoded) for encoded in commitment)
        self.group = group
        try:
            self._points = [group.decode(encoded) for encoded in self.parts]
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
        return f"<{type(self).__name__} {self.threshold} of {self.nodes}: {self.parts[0].hex()[:16]}>"


Public = TypeVar("Public", bound=SharedKey)
Share = TypeVar("Share", bound="KeyShare[Any]")
ShareType: TypeAlias = Callable[[int, int, Any], Share]


class KeyShare(Generic[Public]):
    """Node `index`'s share of the key `public`.

    InvalidKey, which shows nothing of it, unless the scalar is in [1, order - 1] and matches the commitment (Feldman).
    """

    def __init__(self, index: int, scalar: int, public: Public) -> None:
        if not 1 <= scalar < public.group.order:
            raise InvalidKey("it is not between 1 and the group order less 1")
        if not 0 <= index < public.nodes:
            raise InvalidKey(f"there is no node {index} among {public.nodes}")
        if public.group.multiply(public.group.generator, scalar) != public.public_share(index):
            raise InvalidKey("it does not match the commitments")
        self.index = index
        self.public = public
        self._scalar = scalar

    def to_bytes(self) -> bytes:
        """The scalar, 32 bytes, big-endian. Secret."""
        return self._scalar.to_bytes(SECRET_BYTES, "big")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of node {self.index}>"


class SharedScheme(Scheme[Public, Share]):
    """Deals and reads a key shared by a polynomial: `public_type(threshold, commitment, nodes)`, `share_type`."""

    def __init__(
        self, group: Group, public_type: Callable[[int, Sequence[bytes], int], Public], share_type: ShareType[Share]
    ) -> None:
        self.part_bytes = group.encoded_length
        self._group = group
        self._public_type = public_type
        self._share_type = share_type

    def deal(self, nodes: int, threshold: int, randbytes: RandomBytes) -> tuple[list[bytes], list[bytes]]:
        polynomial = Polynomial.random(threshold - 1, self._group.order, randbytes)
        parts = [self._group.encode(point) for point in polynomial.commit(self._group)]
        return parts, [polynomial.share(index).to_bytes(SECRET_BYTES, "big") for index in range(nodes)]

    def public(self, nodes: int, threshold: int, parts: Sequence[bytes]) -> Public:
        return self._public_type(threshold, parts, nodes)

    def secret(self, index: int, secret: bytes, public: Public) -> Share:
        return self._share_type(index, int.from_bytes(secret, "big"), public)
