"""Certificates as lists of signatures: one encoding for a set of signers, and every refusal."""

import itertools
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from support import charm as _installed  # noqa: F401

from crypto.charm.certificate import SignatureListKey, SignatureListScheme
from crypto.errors import CryptoError, InvalidKey

MESSAGE = b"block 12"
SCHEME = SignatureListScheme()


def make(nodes: int, threshold: int):
    parts, secrets = SCHEME.deal(nodes, threshold, random.Random(3).randbytes)
    public = SCHEME.public(nodes, threshold, parts)
    return public, [SCHEME.secret(index, secret, public) for index, secret in enumerate(secrets)]


KEY, SECRETS = make(10, 4)
SHARES = {secret.index: secret.sign_share(MESSAGE) for secret in SECRETS}
PROOF, _ = KEY.combine(MESSAGE, SHARES)


def proof_of(*signers: int, shares=SHARES) -> bytes:
    return sum(1 << i for i in signers).to_bytes(2, "little") + b"".join(shares[i] for i in signers)


def test_from_the_docstring_alone() -> None:
    for index, share in SHARES.items():
        key = Ed25519PrivateKey.from_private_bytes(SECRETS[index].to_bytes())
        assert key.public_key().public_bytes_raw() == KEY.parts[index]
        assert key.sign(b"HONEYBADGER-CERTIFICATE-V1-ED25519-" + MESSAGE) == share
    assert proof_of(0, 1, 2, 3) == PROOF
    assert len(PROOF) == KEY.proof_bytes == 2 + 4 * 64


@pytest.mark.parametrize("nodes,threshold,length", [(1, 1, 65), (4, 2, 129), (8, 3, 193), (9, 3, 194), (16, 6, 386)])
def test_the_length_is_fixed(nodes: int, threshold: int, length: int) -> None:
    key, secrets = make(nodes, threshold)
    assert key.proof_bytes == length
    shares = {secret.index: secret.sign_share(MESSAGE) for secret in reversed(secrets)}
    proof, bad = key.combine(MESSAGE, shares)
    assert len(proof) == length and not bad
    assert key.verify(MESSAGE, proof)
    assert proof[0] >> (nodes - 1) & 1 if nodes <= 8 else proof[-(-nodes // 8) - 1]


def test_the_preferred_signers_in_one_order() -> None:
    for order in itertools.permutations((1, 4, 8, 9)):
        assert KEY.combine(MESSAGE, {i: SHARES[i] for i in (*order, 0)}) == (proof_of(1, 4, 8, 9), frozenset())


def test_bad_senders_are_named_and_suspects_come_last() -> None:
    wrong = {**SHARES, 0: SHARES[1], 2: b"", 3: SHARES[3][:-1] + b"\0"}
    assert KEY.combine(MESSAGE, wrong) == (proof_of(1, 4, 5, 6), frozenset({0, 2, 3}))
    assert KEY.combine(MESSAGE, wrong, suspects={0, 1}) == (proof_of(4, 5, 6, 7), frozenset({2, 3}))
    few = {i: wrong[i] for i in (0, 1, 2, 4, 5)}
    assert KEY.combine(MESSAGE, few) == (None, frozenset({0, 2}))
    assert KEY.combine(MESSAGE, {i: wrong[i] for i in (0, 1, 2)}) == (None, frozenset())
    for index in (-1, 10):
        with pytest.raises(CryptoError):
            KEY.combine(MESSAGE, {**SHARES, index: b""})
        with pytest.raises(CryptoError):
            KEY.verify_share(index, MESSAGE, SHARES[0])


def test_shares_verify_for_their_node_and_message_only() -> None:
    for index, share in SHARES.items():
        assert KEY.verify_share(index, MESSAGE, share)
        assert not KEY.verify_share((index + 1) % 10, MESSAGE, share)
        assert not KEY.verify_share(index, b"block 13", share)
        assert not KEY.verify_share(index, MESSAGE, SECRETS[index]._key.sign(MESSAGE))  # no domain


def test_wrong_proofs_are_refused() -> None:
    assert KEY.verify(MESSAGE, PROOF)
    assert not KEY.verify(b"block 13", PROOF)
    beyond = bytearray(proof_of(6, 7, 8, 9))
    beyond[1] = beyond[1] & ~2 | 0x40  # node 9's bit moves to node 14, who does not exist
    signature = SHARES[0]
    for kind, wrong in {
        "empty": b"",
        "short": PROOF[:-1],
        "long": PROOF + b"\0",
        "three of four": proof_of(0, 1, 2),
        "three of four, padded": proof_of(0, 1, 2) + bytes(64),
        "three, one twice": b"\x07\0" + b"".join(SHARES[i] for i in (0, 1, 2, 2)),
        "one, four times": b"\x0f\0" + signature * 4,
        "five": proof_of(0, 1, 2, 3, 4),
        "five bits": b"\x1f\0" + PROOF[2:],
        "no bits": b"\0\0" + PROOF[2:],
        "all bits": b"\xff\xff" + PROOF[2:],
        "another node's bit": b"\x17\0" + PROOF[2:],
        "beyond the nodes": bytes(beyond),
        "descending": PROOF[:2] + b"".join(SHARES[i] for i in (3, 2, 1, 0)),
        "two exchanged": PROOF[:2] + b"".join(SHARES[i] for i in (0, 2, 1, 3)),
        "zeros": bytes(len(PROOF)),
    }.items():
        assert not KEY.verify(MESSAGE, wrong), kind
    for position in range(2, len(PROOF), 64):
        assert not KEY.verify(MESSAGE, PROOF[:position] + bytes([PROOF[position] ^ 1]) + PROOF[position + 1 :])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(min_size=258, max_size=258)))
def test_verify_never_raises(proof: bytes) -> None:
    assert KEY.verify(MESSAGE, proof) is False
    assert KEY.verify_share(3, MESSAGE, proof) is False


def test_keys_are_checked() -> None:
    parts = list(KEY.parts)
    small_order = (  # 4, 1, 2, 8, 8
        bytes(32),
        b"\x01" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    )
    for wrong in (b"\xff" * 32, b"\x02" + bytes(31), parts[0] + b"\0", parts[0][:-1], b"", *small_order):
        with pytest.raises(InvalidKey):
            SignatureListKey(10, 4, [*parts[:9], wrong])
    for nodes, threshold, some in ((10, 4, parts[:9]), (9, 4, parts), (10, 0, parts), (10, 11, parts)):
        with pytest.raises(InvalidKey):
            SignatureListKey(nodes, threshold, some)
    for twice in ([*parts[:9], parts[0]], [*parts, parts[0]]):
        with pytest.raises(InvalidKey):
            SignatureListKey(10, 4, twice)
    for index, secret in ((1, SECRETS[0].to_bytes()), (10, SECRETS[0].to_bytes()), (-1, SECRETS[9].to_bytes())):
        with pytest.raises(InvalidKey):
            SCHEME.secret(index, secret, KEY)
    with pytest.raises(InvalidKey):
        SCHEME.secret(0, b"", KEY)
    assert SECRETS[0].to_bytes().hex() not in repr(SECRETS[0])
