"""Trusted dealer: deals the three keys of a cluster in any suite, and their text form for files.

Guarantee: the three keys (coin, encryption, certificate) are independent of each other, so that no use of one says
anything about another; faults + 1 nodes are needed to use one. A set read back is validated completely, and what a
node holds is checked against what is public. Feldman, FOCS 1987.

A trusted dealer is the simplest setup and the paper's own assumption (Honey Badger, CCS 2016, section 4.1);
it knows every secret and must be forgotten. A distributed key generation would produce the same two
classes.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto.errors import CryptoError, InvalidKey
from crypto.suite import (
    SECRET_BYTES,
    CertificateKey,
    CoinKey,
    DecryptionShare,
    EncryptionKey,
    RandomBytes,
    Scheme,
    SigningShare,
    Suite,
)
from crypto.suites import DEFAULT, find_suite

KEY_NAMES = ("coin", "encryption", "certificate")


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public side of a cluster's three keys; `threshold` shares of `nodes` are needed of each."""

    suite: Suite
    nodes: int
    threshold: int
    coin: CoinKey
    encryption: EncryptionKey
    certificate: CertificateKey

    def to_dict(self) -> dict[str, list[str]]:
        """Each key's public parts in lower-case hex, under coin, encryption and certificate."""
        return {name: [part.hex() for part in getattr(self, name).parts] for name in KEY_NAMES}

    @classmethod
    def from_dict(
        cls, nodes: int, threshold: int, d: Mapping[str, Sequence[str]], suite: Suite | None = None
    ) -> "PublicKeys":
        """The keys that `to_dict` wrote. Raises InvalidKey, naming the field, for anything else."""
        suite = suite or find_suite(DEFAULT)
        _check_names(d)
        try:
            return _public(suite, nodes, threshold, {name: _parts(name, d[name], suite) for name in KEY_NAMES})
        except InvalidKey as error:
            # Keys of another suite are the likeliest reason.
            raise InvalidKey(f"{error}; keys of suite {suite.name} are expected") from None


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """Node `index`'s secrets of the three keys. Its repr shows none."""

    index: int
    coin: SigningShare
    encryption: DecryptionShare
    certificate: SigningShare

    def to_dict(self) -> dict[str, str]:
        """The three secrets, 32 bytes each in lower-case hex."""
        return {name: getattr(self, name).to_bytes().hex() for name in KEY_NAMES}

    @classmethod
    def from_dict(cls, index: int, public: PublicKeys, d: Mapping[str, str]) -> "SecretKeys":
        """Node `index`'s keys as `to_dict` wrote them; else raises InvalidKey, naming node and field."""
        if not 0 <= index < public.nodes:
            raise InvalidKey(f"there is no node {index} among {public.nodes}")
        _check_names(d)
        where = f"node {index}: the {{}} key share"
        return _secret(index, public, {name: _unhex(where.format(name), d[name], SECRET_BYTES) for name in KEY_NAMES})


def deal(
    nodes: int, faults: int, randbytes: RandomBytes = secrets.token_bytes, suite: Suite | None = None
) -> tuple[PublicKeys, list[SecretKeys]]:
    """Keys for `nodes` nodes of which `faults` may lie; the secret ones are listed by node index.

    Raises CryptoError unless 0 <= faults < nodes. (The protocol decides how many faults N nodes tolerate.)
    """
    if not 0 <= faults < nodes:
        raise CryptoError(f"keys for {nodes} nodes with {faults} faults are impossible")
    suite = suite or find_suite(DEFAULT)
    dealt = {name: _scheme(suite, name).deal(nodes, faults + 1, randbytes) for name in KEY_NAMES}
    public = _public(suite, nodes, faults + 1, {name: parts for name, (parts, _) in dealt.items()})
    return public, [
        _secret(index, public, {name: each[index] for name, (_, each) in dealt.items()}) for index in range(nodes)
    ]


def _scheme(suite: Suite, name: str) -> Scheme[Any, Any]:
    scheme: Scheme[Any, Any] = getattr(suite, name)
    return scheme


def _public(suite: Suite, nodes: int, threshold: int, parts: Mapping[str, Sequence[bytes]]) -> PublicKeys:
    keys: dict[str, Any] = {}
    for name in KEY_NAMES:
        try:
            keys[name] = _scheme(suite, name).public(nodes, threshold, parts[name])
        except InvalidKey as error:
            raise InvalidKey(f"{name}: {error}") from None
    return PublicKeys(suite, nodes, threshold, **keys)


def _secret(index: int, public: PublicKeys, secret: Mapping[str, bytes]) -> SecretKeys:
    keys: dict[str, Any] = {}
    for name in KEY_NAMES:
        try:
            keys[name] = _scheme(public.suite, name).secret(index, secret[name], getattr(public, name))
        except CryptoError as error:
            raise InvalidKey(f"node {index}: the {name} key share: {error}") from None
    return SecretKeys(index, **keys)


def _check_names(d: Mapping[str, object]) -> None:
    for name in KEY_NAMES:
        if name not in d:
            raise InvalidKey(f"{name}: missing")
    for name in d:
        if name not in KEY_NAMES:
            raise InvalidKey(f"{name}: no such key")


def _parts(name: str, texts: object, suite: Suite) -> list[bytes]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidKey(f"{name}: a list of commitments is needed")
    length = _scheme(suite, name).part_bytes
    return [_unhex(f"{name}: commitment {k}", text, length) for k, text in enumerate(texts)]


def _unhex(where: str, text: object, length: int) -> bytes:
    """Exactly `length` bytes from lower-case hex: one spelling for one key."""
    try:
        value = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if len(value) != length or value.hex() != text:
        raise InvalidKey(f"{where} is not {length} bytes in lower-case hex")
    return value
