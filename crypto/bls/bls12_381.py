"""BLS12-381 through blst, as the pairing group of this suite: the instance `BLS12_381`.

Encodings are the compressed ones of the ZCash / IETF convention: 48 bytes in G1, 96 in G2. Hashing follows
RFC 9380, suites BLS12381G1_XMD:SHA-256_SSWU_RO_ and BLS12381G2_XMD:SHA-256_SSWU_RO_ (sections 8.8.1, 8.8.2).

A point is a `bytes` object: its affine coordinates as blst keeps them in memory, 96 bytes in G1 and 192 in G2, all
zero for the identity. So equal points are equal bytes. These bytes never leave the process.

Time depends on the scalar's length and value, so timing side channels on the local machine are out of scope.
"""

import ctypes
from collections.abc import Callable, Sequence

from crypto.bls.blst import BLST
from crypto.bls.pairing import PairingGroup, PointPair
from crypto.errors import CryptoError, InvalidPoint
from crypto.group import Group, Point

_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
# The generators of the standard, compressed.
_G1 = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
_G2 = (
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)
#: bytes of an element of the target group
_FP12 = 12 * 48
#: what blst says of an encoding, by its number
_REFUSALS = ("SUCCESS", "BAD_ENCODING", "POINT_NOT_ON_CURVE", "POINT_NOT_IN_GROUP")
_NOT_IN_GROUP = 3
#: bits of a digit in `multiplier`, digits of a scalar, and the digits of each byte: the low ones, the high ones
_DIGIT, _DIGITS = 4, 64
_LOW, _HIGH = bytes(byte & 15 for byte in range(256)), bytes(byte >> 4 for byte in range(256))


class _BlstGroup(Group):
    """G1 or G2: `number` 1 or 2, and its generator in hex."""

    order = _ORDER

    def __init__(self, number: int, generator: str) -> None:
        self.encoded_length = len(generator) // 2
        self.hash_suite = f"BLS12381G{number}_XMD:SHA-256_SSWU_RO_".encode()
        self.point_length = 2 * self.encoded_length
        self.identity = bytes(self.point_length)
        # blst's projective form has a third coordinate.
        self._projective = 3 * self.encoded_length
        name, many, call = f"p{number}_", f"p{number}s_", BLST.__getitem__
        self._uncompress, self._compress = call(name + "uncompress"), call(name + "affine_compress")
        self._in_group = call(f"{name}affine_in_g{number}")
        self._from_affine, self._to_affine = call(name + "from_affine"), call(name + "to_affine")
        self._add, self._mult = call(name + "add_or_double_affine"), call(name + "mult")
        self._negate = call(name + "cneg")
        self._hash = call(f"hash_to_g{number}")
        self._sum, self._scratch = call(many + "mult_pippenger"), call(many + "mult_pippenger_scratch_sizeof")
        self._precompute, self._by_table = call(many + "mult_wbits_precompute"), call(many + "mult_wbits")
        self.generator = self.decode(bytes.fromhex(generator))

    def encode(self, point: Point) -> bytes:
        self._check(point)
        encoded = ctypes.create_string_buffer(self.encoded_length)
        self._compress(encoded, point)
        return encoded.raw

    def decode_on_curve(self, encoded: bytes) -> Point:
        if len(encoded) != self.encoded_length:
            raise InvalidPoint(f"a point has {self.encoded_length} bytes, not {len(encoded)}")
        coordinates = ctypes.create_string_buffer(self.point_length)
        refusal: int = self._uncompress(coordinates, bytes(encoded))
        if refusal:
            raise InvalidPoint(f"not a point of the group: {_REFUSALS[refusal]}")
        point = coordinates.raw
        if point == self.identity:
            raise InvalidPoint("the identity is not acceptable")
        return point

    def contains(self, point: Point) -> bool:
        self._check(point)
        return bool(self._in_group(point))

    def decode(self, encoded: bytes) -> Point:
        point = self.decode_on_curve(encoded)
        if not self._in_group(point):
            raise InvalidPoint(f"not a point of the group: {_REFUSALS[_NOT_IN_GROUP]}")
        return point

    def hash(self, message: bytes, dst: bytes) -> Point:
        # RFC 9380, section 3.1, asks for 16 bytes at least; longer than 255 would need its section 5.3.3.
        if not 16 <= len(dst) <= 255:
            raise CryptoError(f"a domain separation tag has 16 to 255 bytes, not {len(dst)}")
        result = self._room()
        self._hash(result, message, len(message), dst, len(dst), None, 0)
        return self._affine(result)

    def multiply(self, point: Point, scalar: int) -> Point:
        self._check(point)
        scalar %= _ORDER
        if not scalar:
            return self.identity
        factor, result = self._room(), self._room()
        self._from_affine(factor, point)
        self._mult(result, factor, scalar.to_bytes(32, "little"), scalar.bit_length())
        return self._affine(result)

    def multiplier(self, point: Point) -> Callable[[int], Point]:
        if point == self.identity:
            raise ValueError("the identity has no table of multiples")
        # A row for each digit of a scalar, in the order in which `multiply` has them: its value's multiples by 1 to 16.
        # blst's window is a bit wider than a digit, so that a multiple is a sum of one entry of each row.
        rows = [point]
        while len(rows) < _DIGITS:
            rows.append(self.multiply(rows[-1], 1 << _DIGIT))
        rows = rows[::2] + rows[1::2]
        table = ctypes.create_string_buffer(self.point_length * _DIGITS << _DIGIT)
        self._precompute(table, _DIGIT + 1, _pointers(b"".join(rows)), _DIGITS)
        scratch = ctypes.create_string_buffer(self._projective * _DIGITS)

        def multiply(scalar: int) -> Point:
            octets = (scalar % _ORDER).to_bytes(32, "little")
            digits = _pointers(octets.translate(_LOW) + octets.translate(_HIGH))
            result = self._room()
            self._by_table(result, table, _DIGIT + 1, _DIGITS, digits, _DIGIT, scratch)
            return self._affine(result)

        return multiply

    def add(self, a: Point, b: Point) -> Point:
        self._check(a)
        self._check(b)
        result = self._room()
        self._from_affine(result, a)
        self._add(result, result, b)
        return self._affine(result)

    def negate(self, point: Point) -> Point:
        self._check(point)
        result = self._room()
        self._from_affine(result, point)
        self._negate(result, 1)
        return self._affine(result)

    def combine(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        terms = []
        for scalar, point in zip(scalars, points, strict=True):
            self._check(point)
            scalar %= _ORDER
            # The shorter the longest scalar, the fewer doublings: -5 has three bits, order - 5 has 255.
            terms.append((scalar, point) if scalar <= _ORDER // 2 else (_ORDER - scalar, self.negate(point)))
        # Nothing comes of the others, and blst wants two terms at least.
        terms = [(scalar, point) for scalar, point in terms if scalar and point != self.identity]
        if len(terms) < 2:
            return self.sum(self.multiply(point, scalar) for scalar, point in terms)
        bits = max(scalar.bit_length() for scalar, _ in terms)
        lengths = -(-bits // 8)
        factors = _pointers(b"".join(scalar.to_bytes(lengths, "little") for scalar, _ in terms))
        bases = _pointers(b"".join(point for _, point in terms))
        result, scratch = self._room(), ctypes.create_string_buffer(self._scratch(len(terms)))
        self._sum(result, bases, len(terms), factors, bits, scratch)
        return self._affine(result)

    def _check(self, point: Point) -> None:
        # blst reads as many bytes as a point has, whatever it gets.
        if type(point) is not bytes or len(point) != self.point_length:
            raise TypeError(f"not a point of this group: {type(point).__name__}")

    def _room(self) -> "ctypes.Array[ctypes.c_char]":
        """Space for a point in projective form, all zero: the identity."""
        return ctypes.create_string_buffer(self._projective)

    def _affine(self, projective: "ctypes.Array[ctypes.c_char]") -> Point:
        result = ctypes.create_string_buffer(self.point_length)
        self._to_affine(result, projective)
        return result.raw


class _Bls12381(PairingGroup):
    name = "BLS12-381"
    order = _ORDER
    g1 = _BlstGroup(1, _G1)
    g2 = _BlstGroup(2, _G2)

    def products_equal(self, left: Sequence[PointPair], right: Sequence[PointPair]) -> bool:
        if not left or not right:
            raise CryptoError("a product of pairings needs at least one pair")
        # e(-P, Q) is the inverse of e(P, Q), so one loop and one final exponentiation do for both sides.
        pairs = [*left, *((self.g1.negate(p), q) for p, q in right)]
        for p, q in pairs:
            self.g1._check(p)
            self.g2._check(q)
        # With the identity a pairing is 1; blst's loop over several pairs does not know that.
        pairs = [(p, q) for p, q in pairs if p != self.g1.identity and q != self.g2.identity]
        if not pairs:
            return True
        product = ctypes.create_string_buffer(_FP12)
        of_g2, of_g1 = _pointers(b"".join(q for _, q in pairs)), _pointers(b"".join(p for p, _ in pairs))
        BLST["miller_loop_n"](product, of_g2, of_g1, len(pairs))
        BLST["final_exp"](product, product)
        return bool(BLST["fp12_is_one"](product))


def _pointers(joined: bytes) -> "ctypes.Array[ctypes.c_char_p]":
    """An array of items, as blst takes it: the address of the first item; then none, so the others follow it."""
    return (ctypes.c_char_p * 2)(joined, None)


BLS12_381 = _Bls12381()
