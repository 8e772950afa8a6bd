"""Threshold encryption by pairings: an independent oracle, bad points, and what checks cost."""

import random

import pytest
from blake3 import blake3
from Cryptodome.Cipher import AES
from Cryptodome.Hash import SHA256
from Cryptodome.Protocol.KDF import HKDF

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.ciphertext import Ciphertext
from crypto.bls.encryption import Decryption, PairingEncryptionKey
from crypto.bls.suite import make_suite
from crypto.dealer import deal
from crypto.errors import InvalidPoint
from crypto.shamir import Polynomial

G1, G2, ORDER = BLS12_381.g1, BLS12_381.g2, BLS12_381.order
LABEL = b"chain, epoch 7, proposer 2"
MESSAGE = b"two transactions, or three"
RANDBYTES = random.Random(5).randbytes


@pytest.fixture(scope="module")
def data(public) -> bytes:
    return public.encryption.encrypt(MESSAGE, LABEL, RANDBYTES)


@pytest.fixture(scope="module")
def ciphertext(public, data) -> Ciphertext:
    (checked,) = public.encryption.check([(data, LABEL)])
    return checked


@pytest.fixture(scope="module")
def shares(secret, ciphertext) -> dict[int, bytes]:
    return {keys.index: keys.encryption.decryption_share(ciphertext) for keys in secret}


def oracle_derive(z: bytes, u: bytes) -> tuple[bytes, bytes]:
    return HKDF(z, 32, b"", SHA256, 2, b"HONEYBADGER-ENCRYPTION-V1-KDF" + u + LABEL)


def test_an_independent_implementation_decrypts_it(public, secret, data) -> None:
    """Written from the docstrings with PyCryptodome; only the curve is shared."""
    u, masked, body, tag = data[:48], data[144:176], data[176:-16], data[-16:]
    x0, x1 = (int.from_bytes(keys.encryption.to_bytes(), "big") for keys in secret[:2])
    z = G1.encode(G1.multiply(G1.decode(u), 2 * x0 - x1))
    key, mask = oracle_derive(z, u)
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes(12))
    cipher.update(b"HONEYBADGER-ENCRYPTION-V1-AEAD" + u + masked + LABEL)
    assert cipher.decrypt_and_verify(body, tag) == MESSAGE
    r = int.from_bytes(bytes(a ^ b for a, b in zip(masked, mask, strict=True)), "big")
    assert G1.encode(G1.multiply(G1.generator, r)) == u
    dst = b"HONEYBADGER-ENCRYPTION-V1-BLS12381G2_XMD:SHA-256_SSWU_RO_"
    h2 = G2.hash(u + masked + blake3(data[176:]).digest() + LABEL, dst)
    assert data[48:144] == G2.encode(G2.multiply(h2, r))


def test_ones_own_ciphertext_needs_no_check(public, shares, data, pairing) -> None:
    counted = PairingEncryptionKey(2, public.encryption.parts, 4, pairing)
    own = Ciphertext(data, LABEL, own=True)
    assert counted.decrypt(own, shares).plaintext == MESSAGE
    assert pairing.checks == 0
    assert "hashed" not in own.__dict__  # nothing needed H2 either


def accepted(public, data: bytes, label: bytes = LABEL) -> bool:
    (checked,) = public.encryption.check([(data, label)])
    return checked is not None


def test_bad_points_in_the_header_are_refused(public, data) -> None:
    u, w, rest = data[:48], data[48:144], data[144:]
    for group, point, build in [(G1, u, lambda bad: bad + w + rest), (G2, w, lambda bad: u + bad + rest)]:
        off_curve_or_subgroup = [b"\x80" + x.to_bytes(len(point) - 1, "big") for x in range(10)]
        flag_cleared = bytes([point[0] & 0x7F]) + point[1:]
        for bad in (group.encode(group.identity), flag_cleared, b"\xff" * len(point), *off_curve_or_subgroup):
            with pytest.raises(InvalidPoint):
                Ciphertext(build(bad), LABEL)
            assert not accepted(public, build(bad))
    # U and W both the identity satisfy the pairing equation: the decoding is all that stops them.
    assert not accepted(public, G1.encode(G1.identity) + G2.encode(G2.identity) + rest)


def test_a_batch_costs_one_check(pairing) -> None:
    public, _ = deal(4, 1, random.Random(3).randbytes, make_suite(pairing))
    items = [(public.encryption.encrypt(b"m%d" % i, b"l%d" % i, RANDBYTES), b"l%d" % i) for i in range(7)]
    pairing.reset()
    checked = public.encryption.check(items)
    assert [c.data for c in checked] == [data for data, _ in items]
    assert (pairing.checks, pairing.miller_loops) == (1, 8)


def test_errors_that_cancel_do_not_pass_a_batch(public) -> None:
    """W + E in one ciphertext and W' - E in the other: an unweighted batch check would accept both."""
    one, two = (public.encryption.encrypt(MESSAGE, LABEL, RANDBYTES) for _ in range(2))

    def shifted(data: bytes, by: int) -> bytes:
        w = G2.add(G2.decode(data[48:144]), G2.multiply(G2.generator, by))
        return data[:48] + G2.encode(w) + data[144:]

    pair = [(shifted(one, 5), LABEL), (shifted(two, -5), LABEL)]
    assert public.encryption.check(pair) == [None, None]


def test_a_bad_ciphertext_costs_one_pairing_check_and_blames_nobody(public, secret, pairing) -> None:
    counted = PairingEncryptionKey(2, public.encryption.parts, 4, pairing)
    checked = Ciphertext(public.suite.lies.spoilt(public.encryption, MESSAGE, LABEL, RANDBYTES, "mask"), LABEL)
    honest = {keys.index: keys.encryption.decryption_share(checked) for keys in secret[:3]}
    assert counted.decrypt(checked, honest) == Decryption(True, None, frozenset())
    assert pairing.checks == 1


def test_a_key_made_elsewhere_does_not_decrypt_and_nothing_secret_is_shown(secret, ciphertext) -> None:
    other = Polynomial([3, 4], ORDER)
    key = PairingEncryptionKey(2, [G1.encode(point) for point in other.commit(G1)], 4)
    shares = {keys.index: keys.encryption.decryption_share(ciphertext) for keys in secret}
    assert key.decrypt(ciphertext, shares) == Decryption(False, None, frozenset(shares))
    assert repr(secret[0].encryption) == "<PairingDecryptionShare of node 0>"
    assert MESSAGE.hex() not in repr(ciphertext)
