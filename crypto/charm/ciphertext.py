"""The ciphertext of `encryption`: its bytes, and what is hashed for its validity.

Layout, in bytes: u (33), ū (33), e (32), f (32), T (32, the masked randomness), C (the rest: AES-256-GCM ciphertext
with its 16-byte tag, as long as the message plus 16). One encoding for each ciphertext.
"""

from collections.abc import Sequence

from blake3 import blake3

from crypto.charm.curve import SCALAR_BYTES, CharmCurve
from crypto.charm.proof import domain, hash_to_scalar, scalars
from crypto.errors import CryptoError
from crypto.group import Point

MASK_LENGTH = SCALAR_BYTES
TAG_LENGTH = 16
MAX_MESSAGE_LENGTH = (1 << 31) - 1 - TAG_LENGTH
"""Part of the format, and the same in all suites, so that every node draws the line in one place."""


class Ciphertext:
    """A decoded ciphertext together with its label; `data` is kept, never copied.

    The constructor decodes the header but does not check validity: `CharmEncryptionKey.check` does that. Raises
    CryptoError for bytes that are too short or too long or a scalar that is not less than the order, and InvalidPoint
    for a bad u or ū.
    """

    def __init__(self, data: bytes, label: bytes, group: CharmCurve) -> None:
        point = group.encoded_length
        mask_start = 2 * point + 2 * SCALAR_BYTES
        body_start = mask_start + MASK_LENGTH
        if not body_start + TAG_LENGTH <= len(data) <= body_start + TAG_LENGTH + MAX_MESSAGE_LENGTH:
            raise CryptoError(f"a ciphertext does not have {len(data)} bytes")
        self.data = data
        self.label = label
        self.encoded_u, self.encoded_u2 = data[:point], data[point : 2 * point]
        self.context = data[2 * point : 2 * point + SCALAR_BYTES]
        """e: of a valid ciphertext, a hash of all of it and of its label."""
        self.e, self.f = scalars(data[2 * point : mask_start], group.order)
        self.mask = data[mask_start:body_start]
        self.body = memoryview(data)[body_start:]
        self.u: Point = group.decode(self.encoded_u)
        self.u2: Point = group.decode(self.encoded_u2)

    def __repr__(self) -> str:
        return f"<Ciphertext of {len(self.data)} bytes, u = {self.encoded_u.hex()[:16]}>"


def hash_ciphertext(
    group: CharmCurve,
    u: bytes,
    u2: bytes,
    commitments: Sequence[Point],
    mask: bytes,
    body: bytes | memoryview,
    label: bytes,
) -> int:
    """H2(u, ū, w, w̄, T, BLAKE3(C), label), a scalar. The lengths of all parts but the last are fixed."""
    points = map(group.encode, commitments)
    tag = domain(b"ENCRYPTION-PROOF", group)
    return hash_to_scalar(b"".join((tag, u, u2, *points, mask, blake3(body).digest(), label)), group.order)
