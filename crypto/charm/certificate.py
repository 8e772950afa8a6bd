"""Certificates as lists of Ed25519 signatures: no threshold scheme, hence as long as there are signers.

Guarantee: a proof that verifies holds `threshold` signatures of distinct nodes. For a set of signatures there is one
encoding: a bitmap of the signers, ⌈nodes / 8⌉ bytes with node i in bit i mod 8 of byte ⌊i / 8⌋, then their signatures,
64 bytes each, ascending by node. A share is a node's signature of the domain separated message (`crypto.signatures`,
RFC 8032).
"""

from collections.abc import Collection, Mapping, Sequence

from Cryptodome.Signature import eddsa

from crypto.charm.combination import first_valid
from crypto.errors import CryptoError, InvalidKey
from crypto.signatures import KEY_BYTES, SIGNATURE_BYTES, PublicSigningKeys, SigningKey
from crypto.suite import RandomBytes, Scheme

_DOMAIN = b"HONEYBADGER-CERTIFICATE-V1-ED25519-"


class SignatureListKey:
    """The public keys of all nodes. InvalidKey unless 1 <= threshold <= nodes and `parts` are `nodes` distinct keys."""

    def __init__(self, nodes: int, threshold: int, parts: Sequence[bytes]) -> None:
        if not 1 <= threshold <= nodes:
            raise InvalidKey(f"a threshold of {threshold} is impossible with {nodes} nodes")
        if len(parts) != nodes:
            raise InvalidKey(f"{nodes} signing keys are needed, not {len(parts)}")
        if len(set(parts)) != nodes:
            raise InvalidKey("two nodes have the same signing key")
        for index, part in enumerate(parts):
            if not _well_formed(part):
                raise InvalidKey(f"the signing key of node {index} is not an Ed25519 public key")
        self.nodes = nodes
        self.threshold = threshold
        self.parts = tuple(bytes(part) for part in parts)
        self._keys = PublicSigningKeys(self.parts)
        self._bitmap_bytes = -(-nodes // 8)

    @property
    def proof_bytes(self) -> int:
        return self._bitmap_bytes + self.threshold * SIGNATURE_BYTES

    def verify_share(self, index: int, message: bytes, share: bytes) -> bool:
        """Whether these 64 bytes are node `index`'s signature of `message`. CryptoError for an index out of range."""
        if not 0 <= index < self.nodes:
            raise CryptoError(f"there is no node {index} among {self.nodes}")
        return self._keys.verify(index, _DOMAIN + message, share)

    def combine(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[bytes | None, frozenset[int]]:
        """As `CertificateKey.combine`. Verifies shares until `threshold` are valid, in the order of `first_valid`."""
        for index in shares:
            if not 0 <= index < self.nodes:
                raise CryptoError(f"there is no node {index} among {self.nodes}")
        if len(shares) < self.threshold:
            return None, frozenset()

        def verified(index: int, share: bytes) -> bytes | None:
            return share if self.verify_share(index, message, share) else None

        signatures, bad = first_valid(shares, suspects, self.threshold, verified)
        return None if signatures is None else self._encode(signatures), bad

    def verify(self, message: bytes, proof: bytes) -> bool:
        """Whether `proof` proves that `threshold` nodes signed `message`."""
        if len(proof) != self.proof_bytes:
            return False
        bitmap = int.from_bytes(proof[: self._bitmap_bytes], "little")
        signers = [index for index in range(8 * self._bitmap_bytes) if bitmap >> index & 1]
        if len(signers) != self.threshold:
            return False
        # A bit beyond the nodes fails here too: nobody has signed as a node that does not exist.
        starts = range(self._bitmap_bytes, len(proof), SIGNATURE_BYTES)
        return all(
            self._keys.verify(index, _DOMAIN + message, proof[start : start + SIGNATURE_BYTES])
            for index, start in zip(signers, starts, strict=True)
        )

    def _encode(self, signatures: Mapping[int, bytes]) -> bytes:
        bitmap = sum(1 << index for index in signatures).to_bytes(self._bitmap_bytes, "little")
        return bitmap + b"".join(signatures[index] for index in sorted(signatures))


class SignatureListShare:
    """Node `index`'s signing key. InvalidKey unless it is the one in `public`."""

    def __init__(self, index: int, secret: bytes, public: SignatureListKey) -> None:
        if not 0 <= index < public.nodes:
            raise InvalidKey(f"there is no node {index} among {public.nodes}")
        self._key = SigningKey(secret)
        if self._key.public != public.parts[index]:
            raise InvalidKey("it does not match the public key")
        self.index = index

    def sign_share(self, message: bytes) -> bytes:
        """This node's signature, 64 bytes, the same each time."""
        return self._key.sign(_DOMAIN + message)

    def to_bytes(self) -> bytes:
        """The secret key, 32 bytes. Secret."""
        return self._key.to_bytes()

    def __repr__(self) -> str:
        return f"<SignatureListShare of node {self.index}>"


class SignatureListScheme(Scheme[SignatureListKey, SignatureListShare]):
    """Deals a signing key to each node: the public parts are as many as there are nodes."""

    part_bytes = KEY_BYTES

    def deal(self, nodes: int, threshold: int, randbytes: RandomBytes) -> tuple[list[bytes], list[bytes]]:
        keys = [SigningKey(randbytes(KEY_BYTES)) for _ in range(nodes)]
        return [key.public for key in keys], [key.to_bytes() for key in keys]

    def public(self, nodes: int, threshold: int, parts: Sequence[bytes]) -> SignatureListKey:
        return SignatureListKey(nodes, threshold, parts)

    def secret(self, index: int, secret: bytes, public: SignatureListKey) -> SignatureListShare:
        return SignatureListShare(index, secret, public)


def _well_formed(key: bytes) -> bool:
    """Whether this encodes a point, and none of small order: anyone could sign for such a key."""
    try:
        return len(key) == KEY_BYTES and not (eddsa.import_public_key(key).pointQ * 8).is_point_at_infinity()
    except ValueError:
        return False
