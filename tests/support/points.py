"""Shares of threshold keys, which are points of G1, as a liar would send them."""

from crypto.bls12_381 import BLS12_381

G1 = BLS12_381.g1


def spoil(share: bytes, by: int = 1) -> bytes:
    """A well-formed point that is not the share."""
    return G1.encode(G1.add(G1.decode(share), G1.multiply(G1.generator, by)))


def malformed(share: bytes) -> list[bytes]:
    """Every kind of bytes that are no acceptable point."""
    identity = G1.encode(G1.identity)
    order_three = b"\x80" + bytes(47)
    uncompressed_flag = bytes([share[0] & 0x7F]) + share[1:]
    return [b"", share[:-1], share + b"\0", identity, order_three, uncompressed_flag, b"\xff" * 48]
