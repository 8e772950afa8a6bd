"""Shares of the suite `bls`, which are points of G1, as a liar would send them."""

from crypto.bls.bls12_381 import BLS12_381
from crypto.shamir import interpolation_at_zero

G1 = BLS12_381.g1


#: on the curve y^2 = x^3 + 4, of order 11, so outside the subgroup of prime order; pairings cannot see it
ORDER_ELEVEN = bytes.fromhex(
    "b9b3e2c8c6bbf59d3c326b531fc1e639d29200c28624ac604f251a12908c9b7f735318617f625954cc71cdf03229b1ef"
)


def spoil(share: bytes, by: int = 1) -> bytes:
    """A well-formed point that is not the share."""
    return G1.encode(G1.add(G1.decode(share), G1.multiply(G1.generator, by)))


def malformed(share: bytes) -> list[bytes]:
    """Every kind of bytes that are no acceptable point."""
    identity = G1.encode(G1.identity)
    order_three = b"\x80" + bytes(47)
    outside = G1.encode(G1.add(G1.decode(share), G1.decode_on_curve(ORDER_ELEVEN)))
    uncompressed_flag = bytes([share[0] & 0x7F]) + share[1:]
    return [
        b"",
        share[:-1],
        share + b"\0",
        identity,
        order_three,
        ORDER_ELEVEN,
        outside,
        uncompressed_flag,
        b"\xff" * 48,
    ]


def lagrange_at_zero(indices: tuple[int, ...], order: int = BLS12_381.order) -> tuple[int, ...]:
    """Coefficients l_k with p(0) = sum of l_k p(indices[k] + 1), modulo the order."""
    factors, scale = interpolation_at_zero(indices, order)
    return tuple(factor * scale % order for factor in factors)
