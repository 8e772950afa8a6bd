"""Elliptic curves of prime order through Charm: `CURVES`, by their names in OpenSSL.

Charm's extension module (0.62) hands points to OpenSSL's EC functions. Encodings are the compressed ones of SEC 1
(section 2.3.3), 33 bytes; the identity, which no peer may send, has 33 zeros here. The order is prime and the cofactor
1, so each point of the curve is in the group.

Hashing to the group. Charm's `hash(m, G)` computes the integer x = SHA-256(00 0b m) modulo the *group order*, then
takes the first of x, x + 1, x + 2 ... that is not 0 and at which the curve has a point: the one with the odd y. Nobody
knows a logarithm of the result. It is not uniform: y is odd, and a point is the likelier the longer the gap before it.
A uniform point can be turned into one so distributed by drawing again, a few times on average, so proofs in the random
oracle model carry over. (MapToGroup of Boneh, Lynn and Shacham, ASIACRYPT 2001, section 3.3, is of this kind.) Time
depends on what is hashed, which is public here. Charm is given SHA-256(length of dst, 1 byte; dst; message): tags are
told apart, and the length is fixed.

Mistakes in Charm's `ecmodule.c` that this file works around, and no other file may call Charm:

- `deserialize` ignores errors of OpenSSL: bytes that are no point give the identity. Where it notices that a point is
  off the curve it returns its argument without counting the reference. Its base64 reader skips what it does not know,
  and writes outside its buffer for some lengths. So it gets 44 valid characters, and the identity is refused.
- `a / identity` and much else dereferences NULL; `-identity` raises. Negation is `a ** -1`, which copies and inverts.
- `getXY(…, True)`, which is `coordinates`, leaks both results.
- `hash` copies the message to the stack: a long one ends the process. With an order of more than 32 bytes it writes
  outside a buffer, so no longer curves are offered here.
- `a ** k` takes a Python integer as it is; only k = -1 is special, other short negative ones raise. `k` is reduced.
- `==` looks at no curve and raises for other types; points are not hashable.
- Failures, and each `hash`, leave entries in the thread's queue of OpenSSL's errors (a ring of 16).
- A group's scratch memory (BN_CTX) is shared by its points. The interpreter lock is held during each call, so threads
  may use a group together. Freeing a group releases the lock first; so groups here live as long as the process.

Charm's own random numbers are not used. As everywhere here, time may depend on scalars.

A multiplication takes 42 µs on prime256v1, for which OpenSSL has code of its own, and 340 µs on secp256k1. An addition
takes 0.9 µs, so a table of multiples (64 additions) would not make the first any faster: there is none.
"""

import base64
from collections.abc import Sequence
from hashlib import sha256

from charm.core.math.elliptic_curve import G, ec_element, getGenerator
from charm.toolbox.eccurve import prime256v1, secp256k1
from charm.toolbox.ecgroup import ECGroup

from crypto.errors import CryptoError, InvalidPoint
from crypto.group import Group, Point

SCALAR_BYTES = 32
_ENCODED_LENGTH = 33
_IDENTITY = bytes(_ENCODED_LENGTH)
#: Charm's prefix of a serialised point
_POINT = b"1:"
#: scalars up to this long are cheaper by additions, see `CharmCurve.combine`
_SHORT_BITS = 64


class CharmCurve(Group):
    """The curve that OpenSSL calls `name`, with the number `number` there; its order has 256 bits."""

    encoded_length = _ENCODED_LENGTH

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self._group = ECGroup(number)
        self.order = int(self._group.order())
        self.identity = self._group.init(G)
        self.generator = getGenerator(self._group.ec_group)
        self.hash_suite = f"{name}-CHARM-SHA-256".encode()

    def encode(self, point: Point) -> bytes:
        _check(point)
        if point.isInf():
            return _IDENTITY
        encoded: bytes = base64.b64decode(self._group.serialize(point)[len(_POINT) :])
        return encoded

    def decode(self, encoded: bytes) -> Point:
        if len(encoded) != _ENCODED_LENGTH:
            raise InvalidPoint(f"a point has {_ENCODED_LENGTH} bytes, not {len(encoded)}")
        # OpenSSL takes 33 bytes only if the first is 2 or 3, and x is less than the field's prime.
        point = self._group.deserialize(_POINT + base64.b64encode(encoded))
        if type(point) is not ec_element or point.isInf():
            raise InvalidPoint("not a point of the curve")
        return point

    def hash(self, message: bytes, dst: bytes) -> Point:
        if not 16 <= len(dst) <= 255:
            raise CryptoError(f"a domain separation tag has 16 to 255 bytes, not {len(dst)}")
        return self._group.hash(sha256(b"".join((bytes([len(dst)]), dst, message))).digest(), G)

    def multiply(self, point: Point, scalar: int) -> Point:
        _check(point)
        scalar %= self.order
        return point**scalar if scalar else self.identity

    def add(self, a: Point, b: Point) -> Point:
        _check(a)
        _check(b)
        return a * b

    def negate(self, point: Point) -> Point:
        _check(point)
        return point**-1

    def combine(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        terms = []
        for scalar, point in zip(scalars, points, strict=True):
            _check(point)
            scalar %= self.order
            # -5 has three bits, order - 5 has 256.
            terms.append((scalar, point) if scalar <= self.order // 2 else (self.order - scalar, self.negate(point)))
        bits = max((scalar.bit_length() for scalar, _ in terms), default=0)
        if bits > _SHORT_BITS:
            return self.sum(self.multiply(point, scalar) for scalar, point in terms)
        # OpenSSL takes as long for a short scalar as for any. So double and add, all terms together (Straus).
        total = self.identity
        for bit in reversed(range(bits)):
            total = total * total
            for scalar, point in terms:
                if scalar >> bit & 1:
                    total = total * point
        return total


def _check(point: Point) -> None:
    # An integer would be multiplied and raised to powers without complaint.
    if type(point) is not ec_element:
        raise TypeError(f"not a point of a curve: {type(point).__name__}")


CURVES = {"prime256v1": CharmCurve("prime256v1", prime256v1), "secp256k1": CharmCurve("secp256k1", secp256k1)}
