"""TDH2: an independent oracle, every refusal, and attacks by a proposer with a colluder."""

import hashlib
import os
import random

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from support import charm as _installed  # noqa: F401

from crypto.charm import encryption as encryption_module
from crypto.charm.ciphertext import MAX_MESSAGE_LENGTH, Ciphertext
from crypto.charm.encryption import CharmEncryptionKey, derive, second_generator
from crypto.dealer import deal
from crypto.errors import CryptoError
from crypto.shamir import interpolation_at_zero
from crypto.suite import Decryption

LABEL = b"chain, epoch 7, proposer 2"
MESSAGE = b"two transactions, or three"
RANDBYTES = random.Random(5).randbytes
#: where the parts of a ciphertext begin
PARTS = {"u": 0, "ū": 33, "e": 66, "f": 98, "T": 130, "C": 162, "tag": -16}


@pytest.fixture(scope="module")
def key(dealt) -> CharmEncryptionKey:
    return dealt[0].encryption


@pytest.fixture(scope="module")
def data(key) -> bytes:
    return key.encrypt(MESSAGE, LABEL, RANDBYTES)


@pytest.fixture(scope="module")
def ciphertext(key, data) -> Ciphertext:
    (checked,) = key.check([(data, LABEL)])
    return checked


@pytest.fixture(scope="module")
def shares(dealt, ciphertext) -> dict[int, bytes]:
    return {keys.index: keys.encryption.decryption_share(ciphertext) for keys in dealt[1]}


def accepted(key, data: bytes, label: bytes = LABEL) -> bool:
    (checked,) = key.check([(data, label)])
    return checked is not None


def shares_of(dealt, checked) -> dict[int, bytes]:
    return {keys.index: keys.encryption.decryption_share(checked) for keys in dealt[1]}


def outcomes(key, checked, shares) -> set[Decryption]:
    return {key.decrypt(checked, {i: shares[i], j: shares[j]}) for i in shares for j in shares if i != j}


def spoil(group, share: bytes, by: int = 1) -> bytes:
    """Another point, with the proof that was there."""
    point = group.add(group.decode(share[:33]), group.multiply(group.generator, by))
    return group.encode(point) + share[33:]


@pytest.mark.parametrize("length", [0, 1, 300_000])
def test_messages_survive(dealt, key, length: int) -> None:
    message = RANDBYTES(length)
    data = key.encrypt(message, LABEL, RANDBYTES)
    assert len(data) == length + 178
    (checked,) = key.check([(data, LABEL)])
    assert outcomes(key, checked, shares_of(dealt, checked)) == {Decryption(True, message, frozenset())}
    own = key.own(data, LABEL)
    assert shares_of(dealt, own) == shares_of(dealt, checked)


def test_an_independent_implementation_decrypts_and_checks_it(dealt, key, group, data) -> None:
    """Written from the docstrings with OpenSSL's AES-GCM and HKDF; only the curve is shared."""
    u, u2, e, f, masked, body = data[:33], data[33:66], data[66:98], data[98:130], data[130:162], data[162:]
    tag = lambda use: (lambda t: bytes([len(t)]) + t)(  # noqa: E731
        b"HONEYBADGER-" + use + b"-V1-" + group.name.encode() + b"-CHARM-SHA-256"
    )
    number = lambda data: int.from_bytes(data, "big")  # noqa: E731
    x0, x1 = (number(keys.encryption.to_bytes()) for keys in dealt[1][:2])
    z = group.encode(group.multiply(group.decode(u), 2 * x0 - x1))
    material = HKDF(SHA256(), 64, salt=None, info=tag(b"ENCRYPTION-KDF") + u + LABEL).derive(z)
    aad = tag(b"ENCRYPTION-AEAD") + u + masked + LABEL
    assert AESGCM(material[:32]).decrypt(bytes(12), body, aad) == MESSAGE
    r = number(masked) ^ number(material[32:])
    second = group.hash(b"", tag(b"ENCRYPTION-SECOND-GENERATOR"))
    assert group.encode(group.multiply(group.generator, r)) == u
    assert group.encode(group.multiply(second, r)) == u2
    s = number(f) - r * number(e)
    w, w2 = (group.encode(group.multiply(point, s)) for point in (group.generator, second))
    hashed = tag(b"ENCRYPTION-PROOF") + u + u2 + w + w2 + masked + blake3(body).digest() + LABEL
    assert number(e) == number(hashlib.sha512(hashed).digest()) % group.order
    assert second_generator(group) == second


@settings(max_examples=25, deadline=None)
@given(
    key=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), head=st.binary(min_size=65, max_size=90)
)
def test_the_aead_is_that_of_openssl(key, message, head) -> None:
    class Curve:
        hash_suite = b""

    u, masked, label = head[:33], head[33:65], head[65:]
    ours = encryption_module._cipher(Curve, key, u, masked, label)
    aad = encryption_module.domain(b"ENCRYPTION-AEAD", Curve) + head
    assert b"".join(ours.encrypt_and_digest(message)) == AESGCM(key).encrypt(bytes(12), message, aad)


@pytest.mark.parametrize("part", PARTS)
def test_each_field_is_checked(key, data, part: str) -> None:
    for bit in (1, 128):
        spoilt = bytearray(data)
        spoilt[PARTS[part]] ^= bit
        assert not accepted(key, bytes(spoilt))
    if part not in ("C", "tag"):
        spoilt = bytearray(data)
        spoilt[PARTS[part] + 20] ^= 4
        assert not accepted(key, bytes(spoilt))


def test_the_label_is_checked(key, data) -> None:
    assert accepted(key, data)
    for label in (b"", LABEL + b"\0", LABEL[:-1], b"another"):
        assert not accepted(key, data, label)


def test_wrong_ciphertexts_are_refused(charm, key, group, data) -> None:
    order = group.order
    u, u2, e, f, rest = data[:33], data[33:66], data[66:98], data[98:130], data[130:]
    other = key.encrypt(MESSAGE, LABEL, RANDBYTES)
    for kind, wrong in {
        "empty": b"",
        "header only": data[:162],
        "no tag": data[:177],
        "longer": data + b"\0",
        "shorter": data[:-1],
        "u and ū swapped": u2 + u + data[66:],
        "ū is u": u + u + data[66:],
        "e and f swapped": data[:66] + f + e + rest,
        "minus u": bytes([u[0] ^ 1]) + data[1:],
        "e over the order": u + u2 + order.to_bytes(32, "big") + f + rest,
        "f over the order": u + u2 + e + b"\xff" * 32 + rest,
        "f plus the order": u + u2 + e + ((int.from_bytes(f, "big") + order) % 2**256).to_bytes(32, "big") + rest,
        "proof of another": data[:66] + other[66:130] + rest,
        "body of another": data[:130] + other[130:],
        "identity": charm.lies.identity_header(data),
        "identities": bytes(66) + data[66:],
        "identities and zeros": bytes(130) + rest,
        "ū the identity": u + bytes(33) + data[66:],
        "off the curve": b"\x02" + b"\xff" * 32 + data[33:],
    }.items():
        assert key.check([(data, LABEL), (wrong, LABEL), (other, LABEL)])[1] is None, kind
        assert [item is None for item in key.check([(data, LABEL), (wrong, LABEL), (other, LABEL)])] == [0, 1, 0]


def test_both_equations_are_needed(key, group, data) -> None:
    """u and ū with different logarithms: one equation holds, the other does not."""
    r, s = 1234567, 7654321
    masked, body = key.seal(MESSAGE, LABEL, r)
    good = key.assemble(masked, body, LABEL, r, s)
    assert accepted(key, good)
    second = second_generator(group)
    for first_r, second_r in ((r, r + 1), (r + 1, r)):
        u, u2 = group.multiply(group.generator, first_r), group.multiply(second, second_r)
        commitments = group.multiply(group.generator, s), group.multiply(second, s)
        e = encryption_module.hash_ciphertext(
            group, group.encode(u), group.encode(u2), commitments, masked, body, LABEL
        )
        for known in (first_r, second_r):
            scalars = encryption_module.encode_scalars(e, (s + known * e) % group.order)
            assert not accepted(key, group.encode(u) + group.encode(u2) + scalars + masked + body)


def test_lengths_are_checked(key, data) -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_MESSAGE_LENGTH + 179

    with pytest.raises(CryptoError, match="long"):
        key.encrypt(Long(), LABEL, RANDBYTES)
    with pytest.raises(CryptoError, match="bytes"):
        Ciphertext(Long(data), LABEL, key.group)
    masked, body = key.seal(b"", LABEL, 5)
    assert accepted(key, key.assemble(masked, body, LABEL, 5, 6))
    assert not accepted(key, key.assemble(masked, body[:15], LABEL, 5, 6))  # no room for a tag


def test_randomness_is_the_given_one(key) -> None:
    draw = lambda: random.Random(9).randbytes  # noqa: E731
    assert key.encrypt(MESSAGE, LABEL, draw()) == key.encrypt(MESSAGE, LABEL, draw())
    assert key.encrypt(MESSAGE, LABEL, os.urandom) != key.encrypt(MESSAGE, LABEL, os.urandom)


def test_shares_verify_for_their_node_and_ciphertext_only(charm, dealt, key, group, ciphertext, shares) -> None:
    for index in range(4):
        for sender, share in shares.items():
            assert key.verify_share(index, ciphertext, share) == (index == sender)
    (other,) = key.check([(key.encrypt(MESSAGE, LABEL, RANDBYTES), LABEL)])
    theirs = shares_of(dealt, other)
    assert not key.verify_share(0, ciphertext, theirs[0])
    assert not key.verify_share(0, ciphertext, shares[0][:33] + theirs[0][33:])
    _, secret = deal(4, 1, random.Random(42).randbytes, charm)
    assert not key.verify_share(0, ciphertext, secret[0].encryption.decryption_share(ciphertext))
    for lie in (*charm.lies.malformed(), charm.lies.stranger(1), b"", shares[0][:-1], shares[0] + b"\0"):
        assert not key.verify_share(0, ciphertext, lie)
    with pytest.raises(CryptoError):
        key.verify_share(4, ciphertext, shares[0])
    with pytest.raises(CryptoError):
        key.decrypt(ciphertext, {0: shares[0], -1: shares[1]})
    with pytest.raises(CryptoError):
        key.decrypt(ciphertext, {**shares, 4: shares[0]})


def test_a_share_is_of_one_ciphertext_even_with_the_same_u(dealt, key) -> None:
    """The same r twice: equal u, other label. The proof's context is e, so the share is of the first one only."""
    r = 4242
    items = []
    for label in (LABEL, b"another"):
        masked, body = key.seal(MESSAGE, label, r)
        (checked,) = key.check([(key.assemble(masked, body, label, r, 11), label)])
        items.append(checked)
    share = dealt[1][0].encryption.decryption_share(items[0])
    assert items[0].encoded_u == items[1].encoded_u
    assert key.verify_share(0, items[0], share) and not key.verify_share(0, items[1], share)


def test_a_restarted_node_sends_the_same_share(dealt, charm, key, ciphertext, shares) -> None:
    again = charm.encryption.secret(2, dealt[1][2].encryption.to_bytes(), key)
    assert again.decryption_share(ciphertext) == shares[2]


def test_bad_senders_are_named(charm, key, group, ciphertext, shares) -> None:
    lies = [spoil(group, shares[2]), *charm.lies.malformed(), charm.lies.stranger(5), b"", shares[1]]
    lies += [shares[2][:-1], shares[2] + b"\0", shares[2][:33]]  # the right point in bytes that are no share
    for lie in lies:
        given = {2: lie, 0: shares[0], 3: shares[3]}
        assert key.decrypt(ciphertext, given) == Decryption(True, MESSAGE, frozenset({2}))
        assert key.decrypt(ciphertext, given, suspects={2}) == Decryption(True, MESSAGE, frozenset())
        assert key.decrypt(ciphertext, {2: lie, 0: shares[0]}) == Decryption(False, None, frozenset({2}))
        assert key.decrypt(ciphertext, {2: lie, 0: shares[0]}, {2}) == Decryption(False, None, frozenset({2}))
        both = {2: lie, 1: spoil(group, shares[1], 3), 0: shares[0], 3: shares[3]}
        assert key.decrypt(ciphertext, both) == Decryption(True, MESSAGE, frozenset({1, 2}))
    assert key.decrypt(ciphertext, {0: shares[0]}) == Decryption(False, None, frozenset())


def test_a_right_share_with_a_wrong_proof_names_nobody_else(key, ciphertext, shares) -> None:
    """The point is right, so the value is proven at once. If another share is bad, the proof counts too."""
    lie = shares[2][:-1] + bytes([shares[2][-1] ^ 1])
    assert key.decrypt(ciphertext, {2: lie, 0: shares[0]}) == Decryption(True, MESSAGE, frozenset())
    assert key.decrypt(ciphertext, {1: b"", 2: lie, 0: shares[0], 3: shares[3]}) == Decryption(
        True, MESSAGE, frozenset({1, 2})
    )


def test_honest_shares_are_not_verified(key, ciphertext, shares, monkeypatch) -> None:
    monkeypatch.setattr(key, "verified", None)
    assert key.decrypt(ciphertext, shares).plaintext == MESSAGE


@pytest.mark.parametrize("part", ["body", "mask"])
def test_spoilt_ciphertexts_are_nothing_to_everyone(charm, dealt, key, part) -> None:
    data = charm.lies.spoilt(key, MESSAGE, LABEL, RANDBYTES, part)
    (checked,) = key.check([(data, LABEL)])
    assert outcomes(key, checked, shares_of(dealt, checked)) == {Decryption(True, None, frozenset())}


def attack(dealt, key, group, opened_by: str, commits_to: str, chosen: int | None = None) -> None:
    """A proposer who knows r, and node 3: the value that node 0 gets with node 3's spoilt share is foreseen.

    C opens under the key of the one value, T under the mask of the other. Everybody must come to the same outcome.
    With `chosen`, node 3's share makes the foreseen value the key times this number, and T holds the number.
    """
    r, s = 987654321, 123456789
    u = group.multiply(group.generator, r)
    shares = {index: group.multiply(key.public_share(index), r) for index in range(4)}
    (n0, n3), scale = interpolation_at_zero((0, 3), group.order)
    if chosen is None:
        lie = group.add(shares[3], group.generator)
        foreseen = group.combine((n0 * scale, n3 * scale), (shares[0], lie))
    else:
        foreseen = group.multiply(key.point, chosen)
        weight = pow(n3 * scale, -1, group.order)
        lie = group.combine((weight, -weight * n0 * scale), (foreseen, shares[0]))
        assert group.combine((n0 * scale, n3 * scale), (shares[0], lie)) == foreseen
    values = {"true": group.multiply(key.point, r), "foreseen": foreseen}
    keys = {name: derive(group, group.encode(z), group.encode(u), LABEL) for name, z in values.items()}
    masked = encryption_module._xor((chosen or r).to_bytes(32, "big"), keys[commits_to][1])
    cipher = encryption_module._cipher(group, keys[opened_by][0], group.encode(u), masked, LABEL)
    data = key.assemble(masked, b"".join(cipher.encrypt_and_digest(MESSAGE)), LABEL, r, s)
    (checked,) = key.check([(data, LABEL)])
    honest = shares_of(dealt, checked)
    lying = group.encode(lie) + honest[3][33:]
    expected = MESSAGE if opened_by == commits_to == "true" and chosen is None else None
    for some, bad in (
        ({0: honest[0], 3: lying, 1: honest[1]}, {3}),
        ({3: lying, 0: honest[0], 2: honest[2]}, {3}),
        ({0: honest[0], 1: honest[1]}, set()),
        ({1: honest[1], 2: honest[2], 3: lying}, set()),
    ):
        assert key.decrypt(checked, some) == Decryption(True, expected, frozenset(bad))


@pytest.mark.parametrize("opened_by", ["true", "foreseen"])
@pytest.mark.parametrize("commits_to", ["true", "foreseen"])
def test_one_outcome_for_a_liar_who_knows_r_and_a_colluder(dealt, key, group, opened_by, commits_to) -> None:
    attack(dealt, key, group, opened_by, commits_to)
    attack(dealt, key, group, opened_by, commits_to, chosen=555)


def test_a_mask_of_zero_or_over_the_order_proves_nothing(dealt, key, group) -> None:
    for value in (0, group.order + 5):
        r = 5
        u = group.multiply(group.generator, r)
        z = group.multiply(key.point, r)
        aead, mask = derive(group, group.encode(z), group.encode(u), LABEL)
        masked = encryption_module._xor(value.to_bytes(32, "big"), mask)
        cipher = encryption_module._cipher(group, aead, group.encode(u), masked, LABEL)
        data = key.assemble(masked, b"".join(cipher.encrypt_and_digest(MESSAGE)), LABEL, r, 77)
        (checked,) = key.check([(data, LABEL)])
        assert outcomes(key, checked, shares_of(dealt, checked)) == {Decryption(True, None, frozenset())}


def test_ciphertexts_show_nothing(ciphertext) -> None:
    assert MESSAGE.decode() not in repr(ciphertext)
