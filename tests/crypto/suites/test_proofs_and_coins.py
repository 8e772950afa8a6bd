"""What comes of shares: proofs that enough nodes have signed, and coins."""

from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.suites import MESSAGE, dealt_once, flip, shares_of


def prove(public, secret, message: bytes = MESSAGE) -> list[bytes]:
    """The proofs of all sets of two signers."""
    shares = shares_of(secret, "certificate", message)
    proofs = [
        public.certificate.combine(message, {i: shares[i] for i in signers})[0] for signers in combinations(shares, 2)
    ]
    assert all(len(proof) == public.certificate.proof_bytes for proof in proofs)
    return proofs


@pytest.fixture(scope="module")
def proofs(public, secret) -> list[bytes]:
    return prove(public, secret)


def test_a_proof_proves_its_message_under_its_key_only(public, secret, suite, proofs) -> None:
    others = dealt_once(suite.name, seed=42)
    for proof in proofs:
        assert public.certificate.verify(MESSAGE, proof)
        assert not public.certificate.verify(MESSAGE + b"!", proof)
        assert not others[0].certificate.verify(MESSAGE, proof)
    assert not any(public.certificate.verify(MESSAGE, proof) for proof in prove(public, secret, b"another"))
    assert not any(public.certificate.verify(MESSAGE, proof) for proof in prove(*others))


def test_a_proof_has_no_other_spelling(public, proofs) -> None:
    proof = proofs[0]
    for position in range(len(proof)):
        for bit in range(8):
            assert not public.certificate.verify(MESSAGE, flip(proof, position, bit))
    for length in range(len(proof)):
        assert not public.certificate.verify(MESSAGE, proof[:length])
    for bad in (proof + b"\0", proof * 2, proof[1:] + proof[:1], bytes(len(proof)), b"\xff" * len(proof)):
        assert not public.certificate.verify(MESSAGE, bad)


def test_no_mixture_of_proofs_is_one(public, proofs) -> None:
    """Where a proof lists signers, no signer counts twice and the list has one order; where it does not, all of this
    is junk."""
    for one, other in product(proofs[:4], repeat=2):
        for place in range(1, len(one)):
            for mixed in {one[:place] + other[place:], one[place:] + other[:place]} - set(proofs):
                assert not public.certificate.verify(MESSAGE, mixed)


def test_shares_alone_prove_nothing(public, secret) -> None:
    """One signer fewer, or the same one as often as signers are needed."""
    public, secret = dealt_once(public.suite.name, 7, 2)
    shares = shares_of(secret, "certificate", MESSAGE)
    for signers in ([0], [0, 1], [0, 0, 0], [0, 0, 1], [0, 1, 2]):
        joined = b"".join(shares[signer] for signer in signers)
        assert public.certificate.verify(MESSAGE, joined) is False
        padded = joined.ljust(public.certificate.proof_bytes, b"\0")[: public.certificate.proof_bytes]
        assert public.certificate.verify(MESSAGE, padded) is False


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=200), kept=st.integers(0, 200))
def test_junk_proves_nothing_and_never_raises(public, proofs, junk: bytes, kept: int) -> None:
    for bad in (junk, junk.ljust(len(proofs[0]), b"\1"), (proofs[0][:kept] + junk)[: len(proofs[0])]):
        assert public.certificate.verify(MESSAGE, bad) == (bad in proofs)


def test_coins_fall_both_ways_and_belong_to_their_message_and_key(public, secret, suite) -> None:
    """64 coins of two keys that were the same would be so by chance once in 2^64."""
    others, other_secret = dealt_once(suite.name, seed=42)

    def coins(public, secret, messages) -> list[int | None]:
        return [
            public.coin.toss(message, dict(list(shares_of(secret, "coin", message).items())[-2:]))[0]
            for message in messages
        ]

    messages = [b"epoch %d" % epoch for epoch in range(64)]
    tossed = coins(public, secret, messages)
    assert set(tossed) == {0, 1}
    assert tossed == coins(public, secret, messages)
    assert tossed != coins(public, secret, [message + b"!" for message in messages])
    assert tossed != coins(others, other_secret, messages)
