"""A certificate proves its block, by a signature on it or on one soon after; nothing else passes, nothing raises."""

import random
from collections.abc import Callable
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.ledger import CHAIN_ID, chain_of_blocks
from support.suites import suite_or_skip

from crypto.dealer import deal
from crypto.suites import SUITE_NAMES
from honeybadger.ledger.block import Header
from honeybadger.ledger.certificates import (
    EVERY,
    LONGEST,
    MOST_NODES,
    block_statement,
    certificate_of,
    signed_certificate,
    signed_every,
    verify_certificate,
)
from honeybadger.network.client_protocol import LONGEST_CERTIFICATE

PUBLIC, SECRET = deal(4, 1, random.Random(7).randbytes)
KEY = PUBLIC.certificate
HEADERS = {
    block.header.height: block.header for block in chain_of_blocks([[b"%d" % h] for h in range(1, 11)], CHAIN_ID)
}


def sign(block_hash: bytes) -> bytes:
    statement = block_statement(block_hash)
    signature, _ = KEY.combine(statement, {i: SECRET[i].certificate.sign_share(statement) for i in (0, 3)})
    assert signature is not None
    return signed_certificate(signature)


SIGNED = {height: sign(HEADERS[height].hash) for height in (4, 8)}


def store(certificates: dict[int, bytes], headers: dict[int, Header] = HEADERS) -> Any:
    between = lambda first, last: [headers[h] for h in range(first, last + 1) if h in headers]  # noqa: E731
    return SimpleNamespace(certificate=certificates.get, headers=between)


def proves(height: int, certificate: bytes | None) -> bool:
    return certificate is not None and verify_certificate(KEY, HEADERS[height].hash, certificate)


def test_every_block_up_to_a_signed_one_has_a_certificate() -> None:
    found = {height: certificate_of(store(SIGNED), height) for height in HEADERS}
    assert {height for height, certificate in found.items() if certificate is None} == {9, 10}
    assert all(proves(height, certificate) for height, certificate in found.items() if height <= 8)
    assert not any(proves(height + 1, found[height]) or proves(height + 4, found[height]) for height in range(1, 5))


def test_one_that_is_stored_with_headers_serves_the_block_below() -> None:
    """As at a node that took block 2 over from another."""
    stored = certificate_of(store(SIGNED), 2)
    assert stored is not None
    assert proves(1, certificate_of(store({2: stored}), 1))
    far = certificate_of(store(SIGNED), 1)
    headers = {height + 1: header for height, header in HEADERS.items()}
    assert far is not None and certificate_of(store({2: far}, headers), 1) is None
    assert certificate_of(store({2: b"junk"}), 1) is None


def test_no_certificate_is_made_of_headers_that_do_not_follow() -> None:
    gap = {height: header for height, header in HEADERS.items() if height != 3}
    assert certificate_of(store(SIGNED, gap), 2) is None
    other = chain_of_blocks([[b"other"]] * 3, CHAIN_ID)[2].header
    assert certificate_of(store(SIGNED, HEADERS | {3: other}), 2) is None


def bent(change: Callable[[bytes, list[bytes]], Any]) -> bytes:
    certificate = certificate_of(store(SIGNED), 1)
    assert certificate is not None
    return msgspec.msgpack.encode(change(*msgspec.msgpack.decode(certificate)))


BENT = {
    "another signature": lambda signature, headers: (SIGNED[8], headers),
    "no header": lambda signature, headers: (signature, []),
    "a header is left out": lambda signature, headers: (signature, headers[:1] + headers[2:]),
    "its own header as well": lambda signature, headers: (signature, [HEADERS[1].encode(), *headers[1:]]),
    "not from its header on": lambda signature, headers: (signature, headers[1:]),
    "too far": lambda signature, headers: (SIGNED[8], [HEADERS[h].encode() for h in range(2, 9)]),
    "no header at all": lambda signature, headers: (signature, [b"junk"]),
    "not canonical": lambda signature, headers: (signature, [*headers[:2], headers[2] + b"\0"]),
    "something else": lambda signature, headers: {"a": 1},
    "short signature": lambda signature, headers: (signature[:47], headers),
}


@pytest.mark.parametrize("kind", BENT)
def test_nothing_else_passes(kind: str) -> None:
    assert not proves(1, bent(BENT[kind]))


@pytest.mark.parametrize("certificate", [b"", b"\x00", bytes(48), bytes(LONGEST), bytes(LONGEST + 1), b"\x91" * 900])
def test_junk_is_refused(certificate: bytes) -> None:
    assert not proves(1, certificate)


@pytest.mark.parametrize("name", SUITE_NAMES)
def test_the_longest_headers_and_proofs_fit(name: str) -> None:
    """In the largest cluster in which only some blocks are signed, in every suite."""
    assert (signed_every(MOST_NODES), signed_every(MOST_NODES + 1)) == (EVERY, 1)
    suite = suite_or_skip(name)
    nodes = min(MOST_NODES, suite.most_nodes)
    signers = (nodes - 1) // 3 + 1
    parts, secrets = suite.certificate.deal(nodes, signers, random.Random(7).randbytes)
    key = suite.certificate.public(nodes, signers, parts)
    last = [suite.certificate.secret(i, secrets[i], key) for i in range(nodes - signers, nodes)]
    long, previous = {}, CHAIN_ID
    for height in range(2**32 - EVERY, 2**32):
        most = 2**53
        header = Header(1, CHAIN_ID, height, most + height, previous, bytes(32), most, most, tuple(range(MOST_NODES)))
        long[height], previous = header, sha256(header.encode()).digest()
    statement = block_statement(previous)
    proof, bad = key.combine(statement, {secret.index: secret.sign_share(statement) for secret in last})
    assert proof is not None and not bad and len(proof) == key.proof_bytes
    made = certificate_of(store({2**32 - 1: signed_certificate(proof)}, long), 2**32 - EVERY)
    assert made is not None and len(made) <= LONGEST == LONGEST_CERTIFICATE
    assert verify_certificate(key, long[2**32 - EVERY].hash, made)
    assert not verify_certificate(key, long[2**32 - EVERY].hash, made[:-1])
