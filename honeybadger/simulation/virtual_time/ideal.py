"""An ideal suite, for simulations only: what each key promises, kept by short tags instead of mathematics.

A share is a hash of the sender's index and the message, under a tag that all nodes hold. Anybody could forge one, so
it is not in `crypto.suites` and no real node can choose it. Lengths are those of `bls`, so frames are as long; what the
operations would cost is charged from the table. The erasure code is the real one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from crypto.erasure import ReedSolomon
from crypto.errors import CryptoError, InvalidKey
from crypto.suite import SECRET_BYTES, Decryption, Lies, RandomBytes, Scheme, Suite

NAME = "ideal"
#: lengths of `bls`: a point of G1, and what a ciphertext has besides the message
TAG_BYTES, HEADER_BYTES = 48, 192


def _tag(*parts: bytes) -> bytes:
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest().ljust(TAG_BYTES, b".")


@dataclass(frozen=True, slots=True)
class IdealCiphertext:
    """A ciphertext that was checked for its `label`."""

    data: bytes
    label: bytes

    @property
    def header(self) -> bytes:
        """It binds all the rest."""
        return self.data[:HEADER_BYTES]


def _signed(message: Any) -> bytes:
    return message.header if isinstance(message, IdealCiphertext) else bytes(message)


class IdealKey:
    """The public side of any of the three keys. `parts`: the one tag that all nodes hold, `TAG_BYTES` long."""

    proof_bytes = TAG_BYTES

    def __init__(self, nodes: int, threshold: int, parts: Sequence[bytes]) -> None:
        if len(parts) != 1 or len(parts[0]) != TAG_BYTES:
            raise InvalidKey(f"one tag of {TAG_BYTES} bytes is needed")
        self.nodes = nodes
        self.threshold = threshold
        self.parts = tuple(parts)

    def share(self, index: int, message: bytes) -> bytes:
        return _tag(self.parts[0], b"share", index.to_bytes(4, "big"), message)

    def verify_share(self, index: int, message: Any, share: bytes) -> bool:
        if not 0 <= index < self.nodes:
            raise CryptoError(f"there is no node {index} among {self.nodes}")
        return share == self.share(index, _signed(message))

    def combine(
        self, message: Any, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[bytes | None, frozenset[int]]:
        """As `CertificateKey.combine`; every share is looked at."""
        if len(shares) < self.threshold:
            return None, frozenset()
        bad = frozenset(index for index, share in shares.items() if not self.verify_share(index, message, share))
        if len(shares) - len(bad) < self.threshold:
            return None, bad
        return _tag(self.parts[0], b"proof", _signed(message)), bad

    def verify(self, message: bytes, proof: bytes) -> bool:
        return proof == _tag(self.parts[0], b"proof", message)

    def toss(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[int | None, frozenset[int]]:
        proof, bad = self.combine(message, shares)
        return (None if proof is None else proof[0] & 1), bad

    def encrypt(self, message: bytes, label: bytes, randbytes: RandomBytes) -> bytes:
        """The message, behind a header that binds it to the label: nobody looks."""
        return self.header(message, label) + message

    def check(self, items: Sequence[tuple[bytes, bytes]]) -> list[IdealCiphertext | None]:
        return [self._checked(*item) for item in items]

    def own(self, data: bytes, label: bytes) -> IdealCiphertext:
        return IdealCiphertext(data, label)

    def decrypt(
        self, ciphertext: IdealCiphertext, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> Decryption:
        proof, bad = self.combine(ciphertext, shares)
        body = ciphertext.data[HEADER_BYTES:]
        whole = ciphertext.header == self.header(body, ciphertext.label)
        return Decryption(proof is not None, body if proof is not None and whole else None, bad)

    def _checked(self, data: bytes, label: bytes) -> IdealCiphertext | None:
        header, body = data[:HEADER_BYTES], data[HEADER_BYTES:]
        known = header in (self.header(body, label), self.header(body, label, b"spoilt"))
        return IdealCiphertext(data, label) if known else None

    def header(self, message: bytes, label: bytes, kind: bytes = b"whole") -> bytes:
        """What makes `message` a ciphertext for `label`: one that opens, or one that is "spoilt"."""
        return _tag(self.parts[0], kind, label, message).ljust(HEADER_BYTES, b".")


class IdealShare:
    """What a node holds of a key: its index."""

    def __init__(self, index: int, public: IdealKey) -> None:
        self.index = index
        self._public = public

    def to_bytes(self) -> bytes:
        return self.index.to_bytes(SECRET_BYTES, "big")

    def sign_share(self, message: bytes) -> bytes:
        return self._public.share(self.index, message)

    def decryption_share(self, ciphertext: IdealCiphertext) -> bytes:
        return self._public.share(self.index, ciphertext.header)


class IdealScheme(Scheme[IdealKey, IdealShare]):
    part_bytes = TAG_BYTES

    def deal(self, nodes: int, threshold: int, randbytes: RandomBytes) -> tuple[list[bytes], list[bytes]]:
        return [randbytes(TAG_BYTES)], [index.to_bytes(SECRET_BYTES, "big") for index in range(nodes)]

    def public(self, nodes: int, threshold: int, parts: Sequence[bytes]) -> IdealKey:
        return IdealKey(nodes, threshold, parts)

    def secret(self, index: int, secret: bytes, public: IdealKey) -> IdealShare:
        if int.from_bytes(secret, "big") != index:
            raise InvalidKey(f"not the secret of node {index}")
        return IdealShare(index, public)


class _Lies(Lies):
    """Of tags: none is the identity of anything, but each of these is nobody's share."""

    def stranger(self, number: int) -> bytes:
        return _tag(b"stranger", number.to_bytes(8, "big"))

    def malformed(self) -> Sequence[bytes]:
        return bytes(TAG_BYTES), b"\xff" * TAG_BYTES

    def spoilt(
        self, key: IdealKey, message: bytes, label: bytes, randbytes: RandomBytes, part: Literal["body", "mask"]
    ) -> bytes:
        return key.header(message, label, b"spoilt") + message

    def identity_header(self, ciphertext: bytes) -> bytes:
        return bytes(TAG_BYTES) + ciphertext[TAG_BYTES:]


IDEAL = Suite(
    name=NAME,
    about="tags instead of mathematics, for simulations only",
    coin=IdealScheme(),
    encryption=IdealScheme(),
    certificate=IdealScheme(),
    code=ReedSolomon,
    most_nodes=ReedSolomon.most_shards,
    lies=_Lies(),
)
