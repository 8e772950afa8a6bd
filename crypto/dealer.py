"""Trusted dealer: deals the three keys of a cluster, and their text form for files.

Guarantee: the three keys (coin, encryption, certificate) come from independent polynomials of degree
faults, so that faults + 1 shares are needed and no use of one key says anything about another. A set read
back is validated completely, and the shares of a node are checked against the commitments. Feldman, FOCS 1987.

A trusted dealer is the simplest setup and the paper's own assumption (Honey Badger, CCS 2016, section 4.1);
it knows every secret and must be forgotten. A distributed key generation would produce the same two
classes.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto.bls12_381 import BLS12_381
from crypto.errors import CryptoError, InvalidKey
from crypto.group import PairingGroup, SourceGroup
from crypto.shamir import Polynomial, RandomBytes
from crypto.shared_key import SCALAR_LENGTH
from crypto.threshold_encryption import EncryptionPublicKey, EncryptionSecretKey
from crypto.threshold_signature import SignaturePublicKey, SignatureSecretKey

KEY_NAMES = ("coin", "encryption", "certificate")


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public side of a cluster's three keys; `threshold` shares of `nodes` are needed of each."""

    nodes: int
    threshold: int
    coin: SignaturePublicKey
    encryption: EncryptionPublicKey
    certificate: SignaturePublicKey

    def to_dict(self) -> dict[str, list[str]]:
        """The commitments in lower-case hex, `threshold` each, under coin, encryption and certificate."""
        return {name: [encoded.hex() for encoded in getattr(self, name).commitment] for name in KEY_NAMES}

    @classmethod
    def from_dict(
        cls, nodes: int, threshold: int, d: Mapping[str, Sequence[str]], suite: PairingGroup = BLS12_381
    ) -> "PublicKeys":
        """The keys that `to_dict` wrote. Raises InvalidKey, naming the field, for anything else."""
        _check_names(d)
        lists = {name: _commitment(name, d[name], group) for name, group in _groups(suite).items()}
        return cls._from_commitments(nodes, threshold, lists, suite)

    @classmethod
    def _from_commitments(
        cls, nodes: int, threshold: int, lists: Mapping[str, Sequence[bytes]], suite: PairingGroup
    ) -> "PublicKeys":
        keys: dict[str, Any] = {}
        for name in KEY_NAMES:
            try:
                if name == "encryption":
                    keys[name] = EncryptionPublicKey(threshold, lists[name], nodes, suite)
                else:
                    keys[name] = SignaturePublicKey(threshold, lists[name], name.upper().encode(), nodes, suite)
            except InvalidKey as error:
                raise InvalidKey(f"{name}: {error}") from None
        return cls(nodes, threshold, **keys)


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """Node `index`'s shares of the three keys. Its repr shows no secret."""

    index: int
    coin: SignatureSecretKey
    encryption: EncryptionSecretKey
    certificate: SignatureSecretKey

    def to_dict(self) -> dict[str, str]:
        """The three scalars, each 32 bytes big-endian in lower-case hex. Secret."""
        return {name: getattr(self, name).to_bytes().hex() for name in KEY_NAMES}

    @classmethod
    def from_dict(cls, index: int, public: PublicKeys, d: Mapping[str, str]) -> "SecretKeys":
        """Node `index`'s keys as `to_dict` wrote them; else raises InvalidKey, naming node and field."""
        if not 0 <= index < public.nodes:
            raise InvalidKey(f"there is no node {index} among {public.nodes}")
        _check_names(d)
        scalars = {}
        for name in KEY_NAMES:
            where = f"node {index}: the {name} key share"
            scalars[name] = int.from_bytes(_unhex(where, d[name], SCALAR_LENGTH), "big")
            if not 1 <= scalars[name] < getattr(public, name).group.order:
                raise InvalidKey(f"{where} is not between 1 and the group order less 1")
        return cls._from_scalars(index, public, scalars)

    @classmethod
    def _from_scalars(cls, index: int, public: PublicKeys, scalars: Mapping[str, int]) -> "SecretKeys":
        keys: dict[str, Any] = {}
        for name, scalar in scalars.items():
            kind = EncryptionSecretKey if name == "encryption" else SignatureSecretKey
            try:
                keys[name] = kind(index, scalar, getattr(public, name))
            except CryptoError:
                where = f"node {index}: the {name} key share"
                raise InvalidKey(f"{where} does not match the commitments of the manifest") from None
        return cls(index, **keys)


def deal(
    nodes: int, faults: int, randbytes: RandomBytes = secrets.token_bytes, suite: PairingGroup = BLS12_381
) -> tuple[PublicKeys, list[SecretKeys]]:
    """Keys for `nodes` nodes of which `faults` may lie; the secret ones are listed by node index.

    Raises CryptoError unless 0 <= faults < nodes. (The protocol decides how many faults N nodes tolerate.)
    """
    if not 0 <= faults < nodes:
        raise CryptoError(f"keys for {nodes} nodes with {faults} faults are impossible")
    polynomials = {name: Polynomial.random(faults, suite.order, randbytes) for name in KEY_NAMES}
    lists = {
        name: [group.encode(point) for point in polynomials[name].commit(group)]
        for name, group in _groups(suite).items()
    }
    public = PublicKeys._from_commitments(nodes, faults + 1, lists, suite)
    return public, [
        SecretKeys._from_scalars(index, public, {name: p.share(index) for name, p in polynomials.items()})
        for index in range(nodes)
    ]


def _groups(suite: PairingGroup) -> dict[str, SourceGroup]:
    """Where the points of each key's commitment lie."""
    return dict(zip(KEY_NAMES, (suite.g2, suite.g1, suite.g2), strict=True))


def _check_names(d: Mapping[str, object]) -> None:
    for name in KEY_NAMES:
        if name not in d:
            raise InvalidKey(f"{name}: missing")
    for name in d:
        if name not in KEY_NAMES:
            raise InvalidKey(f"{name}: no such key")


def _commitment(name: str, texts: object, group: SourceGroup) -> list[bytes]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidKey(f"{name}: a list of commitments is needed")
    return [_unhex(f"{name}: commitment {k}", text, group.encoded_length) for k, text in enumerate(texts)]


def _unhex(where: str, text: object, length: int) -> bytes:
    """Exactly `length` bytes from lower-case hex: one spelling for one key."""
    try:
        value = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if len(value) != length or value.hex() != text:
        raise InvalidKey(f"{where} is not {length} bytes in lower-case hex")
    return value
