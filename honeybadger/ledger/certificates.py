"""A block certificate: the proof that f+1 nodes have signed the block's hash, or that of a block soon after it.

At least one of them is correct and has the block, and all correct nodes have the same block at a height. So the
cluster's public keys are all that one needs to check a block.

When blocks come fast, only every `EVERY`th is signed. Each header names the one before it, so what is signed speaks for
all blocks below: the certificate of one of those is the signature and the headers that lead to it. `certificate_of`
makes it when somebody asks. To check it one needs the block and the public keys, and nothing else.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Protocol

import msgspec

from crypto.suite import CertificateKey
from honeybadger.ledger.block import Header
from honeybadger.ledger.errors import LedgerError

#: at least one of so many blocks in a row is signed
EVERY = 4
#: more nodes have longer headers, so that a certificate with `EVERY` - 1 of them might be over `LONGEST`
MOST_NODES = 256
#: bytes of the longest certificate
LONGEST = 8192

#: what the cluster's certificate key proves, and the headers from the block's successor to the one that is signed
_Certificate = tuple[bytes, Annotated[list[bytes], msgspec.Meta(max_length=EVERY - 1)]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Certificate).decode


class Store(Protocol):
    """Where blocks are kept."""

    def headers(self, first: int, last: int) -> list[Header]:
        """Those of heights `first` to `last`, as far as they exist."""

    def certificate(self, height: int) -> bytes | None:
        """The one that is stored with the block."""


def signed_every(nodes: int) -> int:
    """Of how many blocks in a row one is signed at least, in a cluster of `nodes`."""
    return EVERY if nodes <= MOST_NODES else 1


def block_statement(block_hash: bytes) -> bytes:
    """The bytes that a certificate signs; the hash binds chain, height, epoch, predecessor and transactions."""
    return _encode(("block", 1, block_hash))


def signed_certificate(proof: bytes) -> bytes:
    """The certificate of a block that was signed itself: `proof` is of its `block_statement`."""
    return _encode((proof, []))


def verify_certificate(key: CertificateKey, block_hash: bytes, certificate: bytes) -> bool:
    """Whether it proves that the cluster has the block; never raises because of what it holds."""
    parts = _parts(certificate)
    if parts is None:
        return False
    proof, following = parts
    for encoded in following:
        try:
            header = Header.decode(encoded)
        except LedgerError:
            return False
        if header.previous != block_hash:
            return False
        block_hash = sha256(encoded).digest()
    return key.verify(block_statement(block_hash), proof)


def certificate_of(store: Store, height: int) -> bytes | None:
    """The block's certificate, if there is one, or is one of the `EVERY` - 1 blocks above. LedgerError for damage."""
    own = store.certificate(height)
    if own is not None:
        return own
    following: list[bytes] = []
    for below, header in pairwise(store.headers(height, height + EVERY - 1)):
        if header.previous != below.hash:
            return None
        following.append(header.encode())
        certificate = store.certificate(header.height)
        if certificate is not None:
            return _chained(certificate, following)
    return None


def _chained(certificate: bytes, following: Sequence[bytes]) -> bytes | None:
    """`certificate` belongs to the last of these headers, and may itself be of a block above it."""
    parts = _parts(certificate)
    if parts is None:
        return None
    proof, further = parts
    headers = [*following, *further]
    chained = _encode((proof, headers))
    return chained if len(headers) < EVERY and len(chained) <= LONGEST else None


def _parts(certificate: bytes) -> tuple[bytes, list[bytes]] | None:
    """The proof, and the headers up to the block that is signed; None for what is no certificate."""
    if len(certificate) > LONGEST:
        return None
    try:
        return _decode(certificate)
    except msgspec.MsgspecError:
        return None
