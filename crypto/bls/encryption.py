"""Threshold encryption secure against chosen ciphertexts: Baek and Zheng's scheme with an AEAD.

Guarantees. (1) Without `threshold` decryption shares nothing is learnt about a message, even by someone who
has other ciphertexts decrypted. (2) A ciphertext is valid for one label only; a copy under another label is
refused. (3) All nodes that decrypt a valid ciphertext get the same outcome, whatever shares they used.

    keys        Y = x g1, Y_i = x_i g1                             (x shared by a polynomial, see `shamir`)
    encryption  r random; U = r g1; Z = r Y; K, M = KDF(Z, U, label)
                C = AES-256-GCM(K, message); T = r xor M; W = r H2(U, T, C, label)
    validity    e(g1, W) = e(U, H2(U, T, C, label))                (anyone; before releasing any share)
    share       D_i = x_i U; valid when e(D_i, H2) = e(Y_i, W)     (given that the ciphertext is valid)

Source: Baek and Zheng, "Simple and efficient threshold cryptosystem from the gap Diffie-Hellman group",
GLOBECOM 2003. Departures: type-3 pairing, hence W and H2 in G2; a label; a hybrid AEAD; and T.

Why T. Combining unverified shares is cheap, verifying them is not, so we combine first and must then
recognise a wrong Z. The AEAD tag cannot tell: a Byzantine proposer knows r and every Y_i, so it can foresee
the wrong Z* that one node gets when a colluding share is among the first it sees. AES-GCM does not commit
to its key: one C can be made to open under both K(Z) and K(Z*), to different messages. A hash commitment to
Z in place of T does not help either: the proposer commits to Z* and encrypts under K(Z*), so that the
attacked node accepts while the others, with the true Z, refuse. What we need is proof that Z = r Y, and r
itself is that proof: T gives it to everybody who has Z. With r' = T xor M(Z'), a node accepts Z' at once only if
r' g1 = U and r' Y = Z', which only the true Z passes; two multiplications by table, a tenth of the pairing
check e(Z', H2) = e(Y, W). (This is the re-encryption check of Fujisaki and Okamoto, CRYPTO 1999. T is hidden by M
until Z is known, as C is by K.) If the true Z fails the check or the AEAD, then the ciphertext is bad for
everyone: the outcome is "no message".
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.ciphertext import MASK_LENGTH, MAX_MESSAGE_LENGTH, Ciphertext, hash_ciphertext
from crypto.bls.combination import Combiner, batch_weights, find_invalid
from crypto.bls.pairing import PairingGroup
from crypto.errors import CryptoError, InvalidPoint
from crypto.group import Point
from crypto.shamir import random_scalar
from crypto.shared_key import KeyShare, SharedKey
from crypto.suite import Decryption, RandomBytes

_KEY_LENGTH = 32
_NONCE = bytes(12)  # Each key encrypts one message only.


class PairingEncryptionKey(SharedKey):
    """The public side of a shared encryption key; `commitment`: `threshold` encoded points of G1.

    Raises InvalidKey as `SharedKey` does.
    """

    def __init__(
        self, threshold: int, commitment: Sequence[bytes], nodes: int, pairing: PairingGroup = BLS12_381
    ) -> None:
        super().__init__(threshold, commitment, nodes, pairing.g1)
        self.pairing = pairing

    @cached_property
    def _times_generator(self) -> Callable[[int], Point]:
        return self.group.multiplier(self.group.generator)

    @cached_property
    def _times_key(self) -> Callable[[int], Point]:
        return self.group.multiplier(self.point)

    def encrypt(self, message: bytes, label: bytes, randbytes: RandomBytes) -> bytes:
        """The ciphertext of `message` for `label`: 192 bytes longer (layout in `ciphertext`)."""
        if len(message) > MAX_MESSAGE_LENGTH:
            raise CryptoError("the message is too long")
        g1, g2 = self.pairing.g1, self.pairing.g2
        r = random_scalar(self.pairing.order, randbytes)
        u = g1.encode(self._times_generator(r))
        key, mask = derive(g1.encode(self._times_key(r)), u, label)
        masked = _xor(r.to_bytes(MASK_LENGTH, "big"), mask)
        body = AESGCM(key).encrypt(_NONCE, message, associated_data(u, masked, label))
        w = g2.encode(g2.multiply(hash_ciphertext(self.pairing, u, masked, body, label), r))
        return b"".join((u, w, masked, body))

    def check(self, items: Sequence[tuple[bytes, bytes]]) -> list[Ciphertext | None]:
        """As `EncryptionKey.check`. The ciphertexts of an epoch belong in one call.

        n of them cost n + 1 Miller loops and one final exponentiation. If the batch fails it is bisected.
        """
        decoded: list[Ciphertext | None] = []
        for data, label in items:
            try:
                decoded.append(Ciphertext(data, label, self.pairing))
            except CryptoError:
                decoded.append(None)
        positions = [position for position, item in enumerate(decoded) if item is not None]
        for position in find_invalid(
            positions, lambda some: self._all_well_formed([item for p in some if (item := decoded[p])])
        ):
            decoded[position] = None
        return decoded

    def own(self, data: bytes, label: bytes) -> Ciphertext:
        """A ciphertext made here: its points lie in the subgroup."""
        return Ciphertext(data, label, self.pairing, own=True)

    def _all_well_formed(self, items: Sequence[Ciphertext]) -> bool:
        g1, g2 = self.pairing.g1, self.pairing.g2
        weights = batch_weights(len(items))
        left = [(g1.multiply(item.u, v), item.hashed) for v, item in zip(weights, items, strict=True)]
        right = (g1.generator, g2.combine(weights, [item.w for item in items]))
        return self.pairing.products_equal(left, [right])

    def verify_share(self, index: int, ciphertext: Ciphertext, share: bytes) -> bool:
        """Whether these 48 bytes are node `index`'s share of a *checked* ciphertext.

        Raises CryptoError for an index out of range.
        """
        public_share = self.public_share(index)
        try:
            point = self.group.decode(share)
        except InvalidPoint:
            return False
        return self._pairing_check(ciphertext, point, public_share)

    def decrypt(
        self, ciphertext: Ciphertext, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> Decryption:
        """Decrypts a *checked* ciphertext with shares by sender, in order of preference.

        Shares by `suspects` are verified before use, others only if the result is wrong
        (`combination`). Raises CryptoError for a sender out of range.
        """
        key: bytes | None = None

        def proves(z: Point) -> bool:
            nonlocal key
            key = self._proven_key(ciphertext, z)
            return key is not None

        # If T proves nothing, either a share is bad or the ciphertext is: the pairing decides.
        z, bad = Combiner(self, self.group, partial(self._pairing_check, ciphertext), proves).combine(shares, suspects)
        if z is None:
            return Decryption(False, None, bad)
        key = key or self._proven_key(ciphertext, z)
        return Decryption(True, None if key is None else _open(ciphertext, key), bad)

    def _proven_key(self, ciphertext: Ciphertext, z: Point) -> bytes | None:
        """K, if T, unmasked by `z`, is an r with U = r g1 and z = r Y: that is so for no z but the right one."""
        g1 = self.group
        key, mask = derive(g1.encode(z), ciphertext.encoded_u, ciphertext.label)
        r = int.from_bytes(_xor(ciphertext.mask, mask), "big")
        if not 1 <= r < self.pairing.order:
            return None
        proven = self._times_generator(r) == ciphertext.u and self._times_key(r) == z
        return key if proven else None

    def _pairing_check(self, ciphertext: Ciphertext, value: Point, key: Point) -> bool:
        return self.pairing.pairings_equal(value, ciphertext.hashed, key, ciphertext.w)


class PairingDecryptionShare(KeyShare[PairingEncryptionKey]):
    """A node's share of an encryption key."""

    def decryption_share(self, ciphertext: Ciphertext) -> bytes:
        """This node's share for a *checked* ciphertext, 48 bytes. Reveal it only once its use is agreed."""
        g1 = self.public.group
        return g1.encode(g1.multiply(ciphertext.u, self._scalar))


def derive(encoded_z: bytes, encoded_u: bytes, label: bytes) -> tuple[bytes, bytes]:
    """(K, M): the AES-256 key and the 32-byte mask of r, by HKDF-SHA-256 (RFC 5869) from Z, U, label."""
    info = b"HONEYBADGER-ENCRYPTION-V1-KDF" + encoded_u + label
    material = HKDF(SHA256(), _KEY_LENGTH + MASK_LENGTH, salt=None, info=info).derive(encoded_z)
    return material[:_KEY_LENGTH], material[_KEY_LENGTH:]


def associated_data(encoded_u: bytes, masked: bytes, label: bytes) -> bytes:
    """What the AEAD authenticates in addition to C: U and T (of fixed length), then the label."""
    return b"".join((b"HONEYBADGER-ENCRYPTION-V1-AEAD", encoded_u, masked, label))


def _open(ciphertext: Ciphertext, key: bytes) -> bytes | None:
    data = associated_data(ciphertext.encoded_u, ciphertext.mask, ciphertext.label)
    try:
        return AESGCM(key).decrypt(_NONCE, ciphertext.body, data)
    except InvalidTag:
        return None


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")
