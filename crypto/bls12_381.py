"""BLS12-381 through pyblst (blst), as the pairing group of this package: the instance `BLS12_381`.

Encodings are the compressed ones of the ZCash / IETF convention: 48 bytes in G1, 96 in G2. Hashing follows
RFC 9380, suites BLS12381G1_XMD:SHA-256_SSWU_RO_ and BLS12381G2_XMD:SHA-256_SSWU_RO_ (sections 8.8.1, 8.8.2).

blst's uncompression checks encoding, curve and subgroup, but it accepts the identity; `decode` does not.
The binding holds the interpreter lock, and a multiplication costs the same for a short scalar as for a long
one. Its scalars pass through Python integers, so timing side channels on the local machine are out of scope.
"""

from collections.abc import Sequence

from pyblst import BlstP1Element, BlstP2Element, final_verify, miller_loop

from crypto.errors import CryptoError, InvalidPoint
from crypto.group import PairingGroup, Point, PointPair, SourceGroup

_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
# The generators of the standard, compressed.
_G1 = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
_G2 = (
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)


class _BlstGroup(SourceGroup):
    """G1 or G2, according to pyblst's element class."""

    def __init__(self, element: type, generator: str, hash_suite: bytes) -> None:
        self._element: Point = element
        self.order = _ORDER
        self.encoded_length = len(generator) // 2
        self.hash_suite = hash_suite
        self.identity = element()
        self.generator = self.decode(bytes.fromhex(generator))

    def encode(self, point: Point) -> bytes:
        return bytes(point.compress())

    def decode(self, encoded: bytes) -> Point:
        if len(encoded) != self.encoded_length:
            raise InvalidPoint(f"a point has {self.encoded_length} bytes, not {len(encoded)}")
        try:
            point = self._element.uncompress(bytes(encoded))
        except ValueError as error:
            raise InvalidPoint(f"not a point of the group: {error}") from None
        if point == self.identity:
            raise InvalidPoint("the identity is not acceptable")
        return point

    def hash(self, message: bytes, dst: bytes) -> Point:
        # RFC 9380, section 3.1, asks for 16 bytes at least; longer than 255 would need its section 5.3.3.
        if not 16 <= len(dst) <= 255:
            raise CryptoError(f"a domain separation tag has 16 to 255 bytes, not {len(dst)}")
        return self._element.hash_to_group(message, dst)

    def multiply(self, point: Point, scalar: int) -> Point:
        return point.scalar_mul(scalar % _ORDER)

    def add(self, a: Point, b: Point) -> Point:
        return a + b


class _Bls12381(PairingGroup):
    name = "BLS12-381"
    order = _ORDER
    g1 = _BlstGroup(BlstP1Element, _G1, b"BLS12381G1_XMD:SHA-256_SSWU_RO_")
    g2 = _BlstGroup(BlstP2Element, _G2, b"BLS12381G2_XMD:SHA-256_SSWU_RO_")

    def products_equal(self, left: Sequence[PointPair], right: Sequence[PointPair]) -> bool:
        return bool(final_verify(_miller_product(left), _miller_product(right)))


def _miller_product(pairs: Sequence[PointPair]) -> Point:
    if not pairs:
        raise CryptoError("a product of pairings needs at least one pair")
    product = miller_loop(*pairs[0])
    for pair in pairs[1:]:
        product = product * miller_loop(*pair)
    return product


BLS12_381 = _Bls12381()
