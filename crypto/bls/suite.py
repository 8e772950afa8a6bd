"""The suite `bls`, which is the default: pairings on BLS12-381 by blst, and Reed and Solomon's code by ISA-L."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.ciphertext import MASK_LENGTH, hash_ciphertext
from crypto.bls.encryption import PairingDecryptionShare, PairingEncryptionKey
from crypto.bls.pairing import PairingGroup
from crypto.bls.signature import SignatureKey, SignatureShare
from crypto.erasure import ReedSolomon
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

#: x = 4, y with the larger sign: on the curve, outside the subgroup of prime order
NON_SUBGROUP = bytes([0xA0]) + bytes(46) + b"\x04"


class _Lies(Lies):
    def __init__(self, pairing: PairingGroup) -> None:
        self._pairing = pairing
        #: its canonical encoding, which `encode` gives and `decode` refuses
        self._identity = pairing.g1.encode(pairing.g1.identity)

    def stranger(self, number: int) -> bytes:
        g1 = self._pairing.g1
        return g1.encode(g1.multiply(g1.generator, number))

    def malformed(self) -> Sequence[bytes]:
        return self._identity, NON_SUBGROUP, b"\xff" * len(self._identity)

    def spoilt(
        self,
        key: PairingEncryptionKey,
        message: bytes,
        label: bytes,
        randbytes: RandomBytes,
        part: Literal["body", "mask"],
    ) -> bytes:
        # U and W are valid: W is made for the spoilt bytes, by one who knows r.
        g1, g2 = self._pairing.g1, self._pairing.g2
        drawn = randbytes(64)
        again: Callable[[int], bytes] = lambda length: drawn[:length]  # noqa: E731
        r = random_scalar(self._pairing.order, again)
        data = key.encrypt(message, label, again)
        w_start = g1.encoded_length
        t_start = w_start + g2.encoded_length
        u, rest = data[:w_start], bytearray(data[t_start:])
        rest[0 if part == "mask" else MASK_LENGTH] ^= 1
        mask, body = bytes(rest[:MASK_LENGTH]), bytes(rest[MASK_LENGTH:])
        w = g2.encode(g2.multiply(hash_ciphertext(self._pairing, u, mask, body, label), r))
        return u + w + mask + body

    def identity_header(self, ciphertext: bytes) -> bytes:
        return self._identity + ciphertext[len(self._identity) :]


def make_suite(pairing: PairingGroup = BLS12_381) -> Suite:
    """The suite over a pairing group."""

    def signatures(purpose: bytes) -> SharedScheme[SignatureKey, SignatureShare]:
        def public(threshold: int, commitment: Sequence[bytes], nodes: int) -> SignatureKey:
            return SignatureKey(threshold, commitment, purpose, nodes, pairing)

        return SharedScheme(pairing.g2, public, SignatureShare)

    return Suite(
        name="bls",
        about="pairings on BLS12-381 (blst), AES-GCM of OpenSSL, Reed-Solomon of ISA-L",
        coin=signatures(b"COIN"),
        encryption=SharedScheme(pairing.g1, partial(PairingEncryptionKey, pairing=pairing), PairingDecryptionShare),
        certificate=signatures(b"CERTIFICATE"),
        code=ReedSolomon,
        most_nodes=ReedSolomon.most_shards,
        lies=_Lies(pairing),
    )


SUITES = {"bls": make_suite()}

if TYPE_CHECKING:  # The interfaces are protocols; here the type checker holds these classes against them.
    _keys: tuple[type[CoinKey], type[CertificateKey], type[EncryptionKey]]
    _keys = SignatureKey, SignatureKey, PairingEncryptionKey
    _shares: tuple[type[SigningShare], type[DecryptionShare]] = SignatureShare, PairingDecryptionShare
