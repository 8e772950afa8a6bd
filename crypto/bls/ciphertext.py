"""The ciphertext of `encryption`: its bytes, and what is hashed for its validity.

Layout, in bytes: U (48, a point of G1), W (96, a point of G2), T (32, the masked randomness), C (the rest:
AES-256-GCM ciphertext with its 16-byte tag, as long as the message plus 16). One encoding for each
ciphertext.
"""

from functools import cached_property

from blake3 import blake3

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.pairing import PairingGroup
from crypto.errors import CryptoError
from crypto.group import Point

MASK_LENGTH = 32
TAG_LENGTH = 16
MAX_MESSAGE_LENGTH = (1 << 31) - 1 - TAG_LENGTH
"""The AEAD's limit in the library used; part of the format so that every node draws the line in one place."""


class Ciphertext:
    """A decoded ciphertext together with its label; `data` is kept, never copied.

    The constructor decodes the header but does not check validity: `PairingEncryptionKey.check` does that. `own`: this
    node has encrypted it itself, so it needs no check, and its points lie in the subgroup. Raises CryptoError for bytes
    that are too short or too long, and InvalidPoint for a bad U or W.
    """

    def __init__(self, data: bytes, label: bytes, pairing: PairingGroup = BLS12_381, *, own: bool = False) -> None:
        w_start = pairing.g1.encoded_length
        t_start = w_start + pairing.g2.encoded_length
        body_start = t_start + MASK_LENGTH
        if not body_start + TAG_LENGTH <= len(data) <= body_start + TAG_LENGTH + MAX_MESSAGE_LENGTH:
            raise CryptoError(f"a ciphertext does not have {len(data)} bytes")
        self.data = data
        self.label = label
        self.encoded_u = data[:w_start]
        self.mask = data[t_start:body_start]
        self.body = memoryview(data)[body_start:]
        self._pairing = pairing
        self.u: Point = (pairing.g1.decode_on_curve if own else pairing.g1.decode)(self.encoded_u)
        self.w: Point = (pairing.g2.decode_on_curve if own else pairing.g2.decode)(data[w_start:t_start])

    @cached_property
    def hashed(self) -> Point:
        """H2 of everything but W: the base of W = r H2, a point of G2."""
        return hash_ciphertext(self._pairing, self.encoded_u, self.mask, self.body, self.label)

    def __repr__(self) -> str:
        return f"<Ciphertext of {len(self.data)} bytes, U = {self.encoded_u.hex()[:16]}>"


def hash_ciphertext(
    pairing: PairingGroup, encoded_u: bytes, mask: bytes, body: bytes | memoryview, label: bytes
) -> Point:
    """H2(U, T, BLAKE3(C), label), a point of G2. The lengths of all parts but the last are fixed."""
    dst = b"HONEYBADGER-ENCRYPTION-V1-" + pairing.g2.hash_suite
    return pairing.g2.hash(b"".join((encoded_u, mask, blake3(body).digest(), label)), dst)
