"""Labelled threshold encryption in every suite: each refusal, and one outcome at all nodes whatever it is."""

import random
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.suites import LABEL, NOBODY, dealt_once, flip, shares_of

from crypto.errors import CryptoError
from crypto.suite import Decryption

MESSAGE = b"two transactions, or three" * 4
RANDBYTES = random.Random(5).randbytes


@pytest.fixture(scope="module")
def data(public) -> bytes:
    return public.encryption.encrypt(MESSAGE, LABEL, RANDBYTES)


@pytest.fixture(scope="module")
def ciphertext(public, data) -> Any:
    (checked,) = public.encryption.check([(data, LABEL)])
    return checked


def assert_refused(public, bad: list[bytes], label: bytes = LABEL) -> None:
    """Each by itself, and all in one batch with a good one among them."""
    assert all(public.encryption.check([(each, label)]) == [None] for each in bad)
    good = public.encryption.encrypt(MESSAGE, label, RANDBYTES)
    middle = len(bad) // 2
    checked = public.encryption.check([(each, label) for each in [*bad[:middle], good, *bad[middle:]]])
    assert [position for position, item in enumerate(checked) if item is not None] == [middle]


def outcomes(public, secret, checked: Any) -> list[Decryption]:
    """Of all sets of shares that are large enough."""
    shares = shares_of(secret, "encryption", checked)
    return [
        public.encryption.decrypt(checked, {index: shares[index] for index in chosen})
        for size in (2, 3, 4)
        for chosen in combinations(shares, size)
    ]


@pytest.mark.parametrize("length", [0, 1, 300_000])
def test_messages_survive(public, secret, data, length: int) -> None:
    message = RANDBYTES(length)
    made = public.encryption.encrypt(message, LABEL, RANDBYTES)
    assert len(made) - length == len(data) - len(MESSAGE) <= 1024
    (checked,) = public.encryption.check([(made, LABEL)])
    assert bytes(checked.data) == made
    assert set(outcomes(public, secret, checked)) == {Decryption(True, message, NOBODY)}


def test_ones_own_ciphertext_is_the_same_without_a_check(public, secret, data, ciphertext) -> None:
    own = public.encryption.own(data, LABEL)
    assert bytes(own.data) == data
    assert set(outcomes(public, secret, own)) == {Decryption(True, MESSAGE, NOBODY)}
    share = secret[1].encryption.decryption_share(own)
    assert public.encryption.verify_share(1, ciphertext, share)


def test_a_ciphertext_is_valid_for_its_label_only(public, data) -> None:
    for label in (b"", LABEL + b"\0", LABEL[:-1], b"chain, epoch 7, proposer 3", b"chain, epoch 8, proposer 2"):
        assert_refused(public, [data], label)


def test_a_ciphertext_with_any_byte_changed_is_refused(public, data) -> None:
    assert_refused(public, [flip(data, position, bit=position % 8) for position in range(len(data))])
    assert_refused(public, [flip(data, position, bit=7) for position in range(0, len(data), 8)])


def test_every_wrong_length_is_refused(public, data) -> None:
    assert_refused(public, [data[:length] for length in range(len(data))])
    header = len(data) - len(MESSAGE)
    assert_refused(public, [data + b"\0", data[1:], data[: header - 20] + data[header - 19 :], data * 2, bytes(header)])


def test_parts_of_two_ciphertexts_do_not_mix(public, data) -> None:
    """Wherever their parts begin: everything up to a place from one, the rest from another of the same message."""
    other = public.encryption.encrypt(MESSAGE, LABEL, RANDBYTES)
    assert sum(a != b for a, b in zip(data, other, strict=True)) > 0.9 * len(data), "encryption is not randomised"
    places = [place for place in range(1, len(data)) if data[:place] != other[:place] and data[place:] != other[place:]]
    assert_refused(public, [data[:place] + other[place:] for place in places])
    assert_refused(public, [data[:place] + other[place : place + 32] + data[place + 32 :] for place in places[:-32:4]])


def test_the_identity_in_the_header_is_refused(public, suite, data) -> None:
    assert_refused(public, [suite.lies.identity_header(data)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=400), kept=st.integers(0, 300))
def test_junk_never_passes_and_never_raises(public, data, junk: bytes, kept: int) -> None:
    for bad in (junk, data[:kept] + junk):
        assert bad == data or public.encryption.check([(bad, LABEL)]) == [None]


def test_a_batch_finds_exactly_the_bad_ones(public) -> None:
    items = [(public.encryption.encrypt(b"m%d" % i, b"l%d" % i, RANDBYTES), b"l%d" % i) for i in range(7)]
    assert [bytes(checked.data) for checked in public.encryption.check(items)] == [data for data, _ in items]
    items[1] = (items[1][0], b"l2")  # label of another
    items[4] = (items[3][0], b"l4")  # copied under another label
    items[5] = (b"nonsense", b"l5")
    checked = public.encryption.check(items)
    assert [position for position, item in enumerate(checked) if item is None] == [1, 4, 5]
    assert public.encryption.check([]) == []


def test_a_message_that_is_too_long_is_refused(public) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 32

    with pytest.raises(CryptoError, match="too long"):
        public.encryption.encrypt(Huge(), LABEL, RANDBYTES)
    assert public.encryption.check([(Huge(public.encryption.encrypt(b"m", LABEL, RANDBYTES)), LABEL)]) == [None]


def test_a_ciphertext_of_another_key_says_nothing_at_any_node(public, secret, suite) -> None:
    """Whether it passes the check or not: not every suite's check knows the key."""
    other, others = dealt_once(suite.name, seed=42)
    data = other.encryption.encrypt(MESSAGE, LABEL, RANDBYTES)
    (checked,) = public.encryption.check([(data, LABEL)])
    if checked is not None:
        assert set(outcomes(public, secret, checked)) == {Decryption(True, None, NOBODY)}
        assert not public.encryption.verify_share(0, checked, others[0].encryption.decryption_share(checked))


@pytest.mark.parametrize("part", ["body", "mask"])
def test_all_nodes_agree_on_a_ciphertext_that_its_maker_has_spoilt(public, secret, suite, part: str) -> None:
    """It passes the check. Nobody is blamed for it but the liars who help, and they split no correct nodes."""
    data = suite.lies.spoilt(public.encryption, MESSAGE, LABEL, RANDBYTES, part)
    (checked,) = public.encryption.check([(data, LABEL)])
    assert checked is not None
    assert set(outcomes(public, secret, checked)) == {Decryption(True, None, NOBODY)}
    honest = {index: share for index, share in shares_of(secret, "encryption", checked).items() if index < 3}
    for lie in (suite.lies.stranger(1), *suite.lies.malformed(), honest[0], b""):
        victim = public.encryption.decrypt(checked, {3: lie, 0: honest[0]})
        assert victim == Decryption(False, None, frozenset({3}))
        final = public.encryption.decrypt(checked, {3: lie, **honest})
        assert (final.done, final.plaintext) == (True, None) and final.bad <= {3}


def test_no_message_and_no_secret_is_shown(secret, ciphertext) -> None:
    assert MESSAGE.hex() not in repr(ciphertext) and repr(MESSAGE)[2:-1] not in repr(ciphertext)
    text = repr(secret[2])
    for key in (secret[2].coin, secret[2].encryption, secret[2].certificate):
        scalar = key.to_bytes()
        for shown in (text, repr(key)):
            assert scalar.hex() not in shown and str(int.from_bytes(scalar, "big")) not in shown
            assert repr(scalar) not in shown
