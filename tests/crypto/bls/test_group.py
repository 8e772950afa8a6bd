"""The pairing group: published vectors, and every way in which an encoding can be wrong."""

import pytest

from crypto.bls.bls12_381 import BLS12_381
from crypto.errors import CryptoError, InvalidPoint

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
G1, G2 = BLS12_381.g1, BLS12_381.g2
GROUPS = pytest.mark.parametrize("group", [G1, G2], ids=["G1", "G2"])

#: group, message, x, y: RFC 9380, appendices J.9.1 and J.10.1 (in G2, the real part of each, then the imaginary part)
VECTORS = [
    (
        G1,
        b"",
        "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
        "08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265",
    ),
    (
        G1,
        b"abc",
        "03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
        "0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d",
    ),
    (
        G1,
        b"abcdef0123456789",
        "11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
        "03a87ae2caf14e8ee52e51fa2ed8eefe80f02457004ba4d486d6aa1f517c0889501dc7413753f9599b099ebcbbd2d709",
    ),
    (
        G2,
        b"",
        "0141ebfbdca40eb85b87142e130ab689c673cf60f1a3e98d69335266f30d9b8d4ac44c1038e9dcdd5393faf5c41fb78a",
        "05cb8437535e20ecffaef7752baddf98034139c38452458baeefab379ba13dff5bf5dd71b72418717047f5b0f37da03d",
        "0503921d7f6a12805e72940b963c0cf3471c7b2a524950ca195d11062ee75ec076daf2d4bc358c4b190c0c98064fdd92",
        "12424ac32561493f3fe3c260708a12b7c620e7be00099a974e259ddc7d1f6395c3c811cdd19f1e8dbf3e9ecfdcbab8d6",
    ),
    (
        G2,
        b"abc",
        "02c2d18e033b960562aae3cab37a27ce00d80ccd5ba4b7fe0e7a210245129dbec7780ccc7954725f4168aff2787776e6",
        "139cddbccdc5e91b9623efd38c49f81a6f83f175e80b06fc374de9eb4b41dfe4ca3a230ed250fbe3a2acf73a41177fd8",
        "1787327b68159716a37440985269cf584bcb1e621d3a7202be6ea05c4cfe244aeb197642555a0645fb87bf7466b2ba48",
        "00aa65dae3c8d732d10ecd2c50f8a1baf3001578f71c694e03866e9f3d49ac1e1ce70dd94a733534f106d4cec0eddd16",
    ),
]


@pytest.mark.parametrize("group, message, coordinates", [(group, message, c) for group, message, *c in VECTORS])
def test_hashing_gives_the_vectors_of_rfc_9380(group, message: bytes, coordinates: list[str]) -> None:
    parts = [bytes.fromhex(text) for text in reversed(coordinates)]
    y, x = parts[: len(parts) // 2], parts[len(parts) // 2 :]
    # The compressed encoding: the imaginary part of x first, flags in the three top bits.
    sign = next(part > P // 2 for part in (int.from_bytes(part) for part in y) if part)
    encoded = bytes([x[0][0] | 0x80 | 0x20 * sign]) + b"".join(x)[1:]
    assert group.encode(group.hash(message, b"QUUX-V01-CS02-with-" + group.hash_suite)) == encoded
    for length in (0, 15, 256):
        with pytest.raises(CryptoError):
            group.hash(message, bytes(length))


@GROUPS
def test_the_group_law_and_its_encoding(group) -> None:
    five = group.multiply(group.generator, 5)
    encoded = group.encode(five)
    assert len(encoded) == group.encoded_length and group.decode(encoded) == five
    assert group.sum([group.generator] * 5) == five
    assert group.sum([]) == group.identity
    assert group.combine([1, 2], [group.generator, group.generator]) == group.multiply(group.generator, 3)
    assert group.multiply(five, group.order) == group.identity
    assert group.multiply(five, group.order + 1) == five
    assert group.add(five, group.multiply(five, -1)) == group.identity
    with pytest.raises(ValueError):
        group.combine([1, 2], [five])


@GROUPS
def test_encodings_that_are_not_canonical_are_refused(group) -> None:
    identity, encoded = group.encode(group.identity), group.encode(group.generator)
    assert identity == b"\xc0" + bytes(group.encoded_length - 1)
    uncompressed = bytes([encoded[0] & 0x7F]) + encoded[1:]
    infinity_and_more = bytes([encoded[0] | 0x40]) + encoded[1:]
    infinity_with_sign = b"\xe0" + bytes(group.encoded_length - 1)
    for bad, why in (
        (identity, "identity"),
        *((b, "bytes") for b in (b"", encoded[:-1], encoded + b"\0", encoded * 2)),
        *(
            (b, "identity|not a point")
            for b in (uncompressed, infinity_and_more, infinity_with_sign, b"\xff" * group.encoded_length)
        ),
    ):
        with pytest.raises(InvalidPoint, match=why):
            group.decode(bad)


@GROUPS
def test_a_coordinate_of_p_or_more_is_refused(group) -> None:
    """The same residue, p higher, is another spelling of the same point."""
    for k in range(1, 200):
        encoded = group.encode(group.multiply(group.generator, k))
        flags = encoded[-48] & 0xE0 if group is G1 else 0
        last = bytearray(encoded[-48:])
        last[0] &= 0x1F if group is G1 else 0xFF
        shifted = int.from_bytes(last, "big") + P
        if shifted < 1 << (381 if group is G1 else 384):
            spelling = bytearray(encoded[:-48] + shifted.to_bytes(48, "big"))
            spelling[-48] |= flags
            with pytest.raises(InvalidPoint, match="BAD_ENCODING"):
                group.decode(bytes(spelling))
            return
    pytest.fail("no point with a small enough coordinate")


@GROUPS
def test_points_off_the_curve_or_outside_the_subgroup_are_refused(group) -> None:
    reasons = set()
    for small_x in range(40):
        with pytest.raises(InvalidPoint) as refusal:
            group.decode(b"\x80" + small_x.to_bytes(group.encoded_length - 1, "big"))
        reasons.add(str(refusal.value))
    assert any("NOT_ON_CURVE" in reason for reason in reasons)
    assert any("NOT_IN_GROUP" in reason for reason in reasons)
    # (0, 2) on y^2 = x^3 + 4 has order 3: added to a share, it would pass a third of all weighted batch checks.
    with pytest.raises(InvalidPoint, match="NOT_IN_GROUP"):
        G1.decode(b"\x80" + bytes(47))


def test_pairings_are_bilinear_and_not_degenerate() -> None:
    a, b = 1234567, 7654321
    left = (G1.multiply(G1.generator, a), G2.multiply(G2.generator, b))
    assert BLS12_381.pairings_equal(*left, G1.multiply(G1.generator, a * b), G2.generator)
    assert not BLS12_381.pairings_equal(*left, G1.multiply(G1.generator, a * b + 1), G2.generator)
    assert not BLS12_381.pairings_equal(*left, G1.generator, G2.identity)
    one = (G1.generator, G2.generator)
    assert BLS12_381.products_equal([one] * 3, [(G1.multiply(G1.generator, 3), G2.generator)])
    assert not BLS12_381.products_equal([one] * 3, [one] * 2)
    for sides in (([], [one]), ([one], [])):
        with pytest.raises(CryptoError):
            BLS12_381.products_equal(*sides)
