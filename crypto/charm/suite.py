"""The suites `charm`, over prime256v1, and `charm-secp256k1`: no pairing, by Charm, PyCryptodome and zfec."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from crypto.charm.certificate import SignatureListKey, SignatureListScheme, SignatureListShare
from crypto.charm.code import Zfec
from crypto.charm.coin import CharmCoinKey, CharmCoinShare
from crypto.charm.curve import CURVES, CharmCurve
from crypto.charm.encryption import CharmDecryptionShare, CharmEncryptionKey
from crypto.charm.proof import encode_scalars
from crypto.shamir import random_scalar
from crypto.shared_key import SharedScheme
from crypto.suite import (
    CertificateKey,
    CoinKey,
    DecryptionShare,
    EncryptionKey,
    Lies,
    RandomBytes,
    SigningShare,
    Suite,
)


class _Lies(Lies):
    def __init__(self, group: CharmCurve) -> None:
        self._group = group
        #: 33 zeros, which `encode` gives and `decode` refuses
        self._identity = group.encode(group.identity)

    def stranger(self, number: int) -> bytes:
        group = self._group
        return group.encode(group.multiply(group.generator, number)) + encode_scalars(number, number)

    def malformed(self) -> Sequence[bytes]:
        generator, proof = self._group.encode(self._group.generator), encode_scalars(1, 1)
        # x = 2^256 - 1 is more than the field has; a scalar of 256 ones is not less than the order.
        off_the_curve = b"\x02" + b"\xff" * (len(generator) - 1)
        return self._identity + proof, off_the_curve + proof, generator + b"\xff" * len(proof)

    def spoilt(
        self,
        key: CharmEncryptionKey,
        message: bytes,
        label: bytes,
        randbytes: RandomBytes,
        part: Literal["body", "mask"],
    ) -> bytes:
        r, s = (random_scalar(self._group.order, randbytes) for _ in range(2))
        masked, body = map(bytearray, key.seal(message, label, r))
        (masked if part == "mask" else body)[0] ^= 1
        return key.assemble(bytes(masked), bytes(body), label, r, s)

    def identity_header(self, ciphertext: bytes) -> bytes:
        return self._identity + ciphertext[len(self._identity) :]


def make_suite(name: str, curve: str) -> Suite:
    """The suite `name` over one of `CURVES`."""
    group = CURVES[curve]
    return Suite(
        name=name,
        about=f"no pairings: TDH2 and a Diffie-Hellman coin on {curve} (Charm), lists of Ed25519 signatures, "
        "AES-GCM of PyCryptodome, Rizzo's code of zfec",
        coin=SharedScheme(group, partial(CharmCoinKey, group=group), CharmCoinShare),
        encryption=SharedScheme(group, partial(CharmEncryptionKey, group=group), CharmDecryptionShare),
        certificate=SignatureListScheme(),
        code=Zfec,
        most_nodes=Zfec.most_shards,
        lies=_Lies(group),
    )


SUITES = {
    "charm": make_suite("charm", "prime256v1"),
    "charm-secp256k1": make_suite("charm-secp256k1", "secp256k1"),
}

if TYPE_CHECKING:  # The interfaces are protocols; here the type checker holds these classes against them.
    _keys: tuple[type[CoinKey], type[CertificateKey], type[EncryptionKey]]
    _keys = CharmCoinKey, SignatureListKey, CharmEncryptionKey
    _shares: tuple[type[SigningShare], type[SigningShare], type[DecryptionShare]]
    _shares = CharmCoinShare, SignatureListShare, CharmDecryptionShare
