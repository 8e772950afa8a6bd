"""Ed25519 signatures (RFC 8032) of single nodes, for protocols whose certificates are lists of signatures.

Guarantee: `PublicSigningKeys.verify` never raises for what a peer sent. Signing is deterministic, so a restarted node
makes the same signature again. The keys are of no use for the threshold schemes and say nothing about them.
"""

import secrets
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crypto.errors import InvalidKey

KEY_BYTES = 32
SIGNATURE_BYTES = 64


class PublicSigningKeys:
    """The public keys of all nodes, 32 bytes each. Raises InvalidKey, naming the node, for anything else."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys: list[Ed25519PublicKey] = []
        for node, key in enumerate(keys):
            try:
                self._keys.append(Ed25519PublicKey.from_public_bytes(key))
            except ValueError:
                raise InvalidKey(f"the signing key of node {node} is not an Ed25519 public key") from None

    def verify(self, node: int, statement: bytes, signature: bytes) -> bool:
        """Whether `signature` is node `node`'s of `statement`; False for a node that does not exist."""
        if not 0 <= node < len(self._keys):
            return False
        try:
            self._keys[node].verify(signature, statement)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A node's secret key, 32 bytes. Its repr shows nothing of it. Raises InvalidKey for another length."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise InvalidKey(f"an Ed25519 secret key has {KEY_BYTES} bytes, not {len(secret)}")
        self._secret = secret
        self._key = Ed25519PrivateKey.from_private_bytes(secret)

    def __repr__(self) -> str:
        return "SigningKey()"

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def to_bytes(self) -> bytes:
        """The secret key, 32 bytes. Secret."""
        return self._secret

    def sign(self, statement: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(statement)


def deal_signing_keys(
    nodes: int, randbytes: Callable[[int], bytes] = secrets.token_bytes
) -> tuple[PublicSigningKeys, list[SigningKey]]:
    """A key for each of `nodes` nodes."""
    keys = [SigningKey(randbytes(KEY_BYTES)) for _ in range(nodes)]
    return PublicSigningKeys([key.public for key in keys]), keys
