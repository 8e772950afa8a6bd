"""Threshold encryption secure against chosen ciphertexts: Shoup and Gennaro's TDH2 with an AEAD.

Guarantees. (1) Without `threshold` decryption shares nothing is learnt about a message, even by someone who
has other ciphertexts decrypted. (2) A ciphertext is valid for one label only; a copy under another label is
refused. (3) All nodes that decrypt a valid ciphertext get the same outcome, whatever shares they used.

    keys        h = x g, h_i = x_i g (x shared by a polynomial, see `shamir`); ḡ of unknown logarithm
    encryption  r, s random; u = r g; Z = r h; w = s g; ū = r ḡ; w̄ = s ḡ; K, M = KDF(Z, u, label)
                C = AES-256-GCM(K, message); T = r xor M; e = H2(u, ū, w, w̄, T, C, label); f = s + r e
    validity    e = H2(u, ū, f g - e u, f ḡ - e ū, T, C, label)    (anyone; before releasing any share)
    share       u_i = x_i u, with a proof that log_u u_i = log_g h_i  (`proof`; its context is e)

Source: Shoup and Gennaro, "Securing threshold cryptosystems against chosen ciphertext attack", J. Cryptology 2002,
section 4, TDH2; security under the decisional Diffie–Hellman assumption, in the random oracle model. Departures: a
hybrid AEAD in place of a one-time pad, the ciphertext's e in the proofs of shares, and T. ḡ is a hash of a constant.
As for shares (`proof`), the proofs of several ciphertexts cannot be verified as a batch.

Why T. Combining unverified shares is cheap, verifying them is not, so we combine first and must then recognise a wrong
Z. The AEAD's tag cannot tell, as AES-GCM does not commit to its key: a Byzantine proposer, who knows r and every h_i,
foresees the wrong Z* that one node gets with a colluding share, and makes one C that opens under both keys
(`crypto.bls.encryption` has the whole story). So r itself proves Z: with r' = T xor M(Z'), a node accepts Z' at once
only if r' g = u and r' h = Z', which only the true Z passes. T is bound by e, and hidden by M until Z is known, as C is
by K. Otherwise the proofs of the shares decide. If the true Z fails the check or the AEAD, then the ciphertext is bad
for everyone: the outcome is "no message".
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from Cryptodome.Cipher import AES
from Cryptodome.Hash import SHA256
from Cryptodome.Protocol.KDF import HKDF

from crypto.charm.ciphertext import MAX_MESSAGE_LENGTH, TAG_LENGTH, Ciphertext, hash_ciphertext
from crypto.charm.combination import Combiner
from crypto.charm.curve import SCALAR_BYTES, CharmCurve
from crypto.charm.proof import ProvenKey, ProvingShare, domain, encode_scalars
from crypto.errors import CryptoError
from crypto.group import Point
from crypto.shamir import random_scalar
from crypto.suite import Decryption, RandomBytes

_KEY_LENGTH = 32
_NONCE = bytes(12)  # Each key encrypts one message only.


class CharmEncryptionKey(ProvenKey):
    """The public side of the encryption key; `commitment`: `threshold` encoded points. InvalidKey as `SharedKey`."""

    def __init__(self, threshold: int, commitment: Sequence[bytes], nodes: int, group: CharmCurve) -> None:
        super().__init__(threshold, commitment, nodes, group, b"ENCRYPTION")

    def encrypt(self, message: bytes, label: bytes, randbytes: RandomBytes) -> bytes:
        """The ciphertext of `message` for `label`: 178 bytes longer (layout in `ciphertext`)."""
        r, s = (random_scalar(self.group.order, randbytes) for _ in range(2))
        return self.assemble(*self.seal(message, label, r), label, r, s)

    def seal(self, message: bytes, label: bytes, r: int) -> tuple[bytes, bytes]:
        """T and C, with the randomness `r`. CryptoError for a message that is too long."""
        if len(message) > MAX_MESSAGE_LENGTH:
            raise CryptoError("the message is too long")
        group = self.group
        u = group.encode(group.multiply(group.generator, r))
        key, mask = derive(group, group.encode(group.multiply(self.point, r)), u, label)
        masked = _xor(encode_scalars(r), mask)
        return masked, b"".join(_cipher(group, key, u, masked, label).encrypt_and_digest(message))

    def assemble(self, masked: bytes, body: bytes, label: bytes, r: int, s: int) -> bytes:
        """The ciphertext with T and C, and the proof by one who knows `r`; `s` is the proof's nonce."""
        group = self.group
        generators = group.generator, second_generator(group)
        u, u2 = (group.encode(group.multiply(point, r)) for point in generators)
        commitments = [group.multiply(point, s) for point in generators]
        e = hash_ciphertext(group, u, u2, commitments, masked, body, label)
        return b"".join((u, u2, encode_scalars(e, (s + r * e) % group.order), masked, body))

    def check(self, items: Sequence[tuple[bytes, bytes]]) -> list[Ciphertext | None]:
        """As `EncryptionKey.check`, one after the other."""
        return [self._checked(data, label) for data, label in items]

    def own(self, data: bytes, label: bytes) -> Ciphertext:
        """A ciphertext made here."""
        return Ciphertext(data, label, self.group)

    def _checked(self, data: bytes, label: bytes) -> Ciphertext | None:
        try:
            item = Ciphertext(data, label, self.group)
        except CryptoError:
            return None
        group = self.group
        commitments = (
            group.add(group.multiply(group.generator, item.f), group.negate(group.multiply(item.u, item.e))),
            group.add(group.multiply(second_generator(group), item.f), group.negate(group.multiply(item.u2, item.e))),
        )
        e = hash_ciphertext(group, item.encoded_u, item.encoded_u2, commitments, item.mask, item.body, label)
        return item if e == item.e else None

    def verify_share(self, index: int, ciphertext: Ciphertext, share: bytes) -> bool:
        """Whether these 97 bytes are node `index`'s share of a *checked* ciphertext.

        Raises CryptoError for an index out of range.
        """
        return self.verified(index, ciphertext.context, ciphertext.u, share) is not None

    def decrypt(
        self, ciphertext: Ciphertext, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> Decryption:
        """Decrypts a *checked* ciphertext with shares by sender, in order of preference.

        Shares by `suspects` are verified before use, others only if the result is wrong
        (`combination`). Raises CryptoError for a sender out of range.
        """
        key: bytes | None = None

        def verified(index: int, share: bytes) -> Point | None:
            return self.verified(index, ciphertext.context, ciphertext.u, share)

        def proves(z: Point) -> bool:
            nonlocal key
            key = self._proven_key(ciphertext, z)
            return key is not None

        # If T proves nothing, either a share is bad or the ciphertext is: the proofs of the shares decide.
        z, bad = Combiner(self, verified, proves).combine(shares, suspects)
        if z is None:
            return Decryption(False, None, bad)
        key = key or self._proven_key(ciphertext, z)
        return Decryption(True, None if key is None else _open(self.group, ciphertext, key), bad)

    def _proven_key(self, ciphertext: Ciphertext, z: Point) -> bytes | None:
        """K, if T, unmasked by `z`, is an r with u = r g and z = r h: that is so for no z but the right one."""
        group = self.group
        key, mask = derive(group, group.encode(z), ciphertext.encoded_u, ciphertext.label)
        r = int.from_bytes(_xor(ciphertext.mask, mask), "big")
        if not 1 <= r < group.order:
            return None
        proven = group.multiply(group.generator, r) == ciphertext.u and group.multiply(self.point, r) == z
        return key if proven else None


class CharmDecryptionShare(ProvingShare):
    """A node's share of an encryption key."""

    def decryption_share(self, ciphertext: Ciphertext) -> bytes:
        """This node's share of a *checked* ciphertext, 97 bytes. Reveal it only once its use is agreed."""
        return self.prove(ciphertext.context, ciphertext.u)


@cache
def second_generator(group: CharmCurve) -> Point:
    """ḡ, whose logarithm nobody knows."""
    return group.hash(b"", domain(b"ENCRYPTION-SECOND-GENERATOR", group))


def derive(group: CharmCurve, encoded_z: bytes, encoded_u: bytes, label: bytes) -> tuple[bytes, bytes]:
    """(K, M): the AES-256 key and the 32-byte mask of r, by HKDF-SHA-256 (RFC 5869) from Z, u, label."""
    info = domain(b"ENCRYPTION-KDF", group) + encoded_u + label
    key, mask = HKDF(encoded_z, _KEY_LENGTH, b"", SHA256, 2, info)
    return key, mask


def _cipher(group: CharmCurve, key: bytes, encoded_u: bytes, masked: bytes, label: bytes) -> Any:
    """The AEAD; it authenticates in addition to C: u and T (of fixed length), then the label."""
    cipher = AES.new(key, AES.MODE_GCM, nonce=_NONCE)
    return cipher.update(b"".join((domain(b"ENCRYPTION-AEAD", group), encoded_u, masked, label)))


def _open(group: CharmCurve, ciphertext: Ciphertext, key: bytes) -> bytes | None:
    cipher = _cipher(group, key, ciphertext.encoded_u, ciphertext.mask, ciphertext.label)
    body, tag = ciphertext.body[:-TAG_LENGTH], ciphertext.body[-TAG_LENGTH:]
    try:
        plaintext: bytes = cipher.decrypt_and_verify(body, tag)
    except ValueError:
        return None
    return plaintext


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(SCALAR_BYTES, "big")
