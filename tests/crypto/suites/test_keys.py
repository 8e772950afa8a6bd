"""The dealer of every suite, and keys read back from text."""

import random
from typing import Any

import pytest
from support.suites import LABEL, dealt_once, shares_of

from crypto.dealer import KEY_NAMES, PublicKeys, SecretKeys, deal
from crypto.errors import CryptoError, InvalidKey

#: of Ed25519: the identity, other spellings of it, points of order 2, 4 and 8, and what is off the curve
NO_KEYS = [
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "ee" + "ff" * 30 + "7f",
    "ec" + "ff" * 30 + "7f",
    "00" * 31 + "80",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "02" + "00" * 31,
]


def spellings(digits: str) -> list[Any]:
    """What is not the lower-case hex of so many bytes."""
    text = ["", digits[2:], digits + "00", "00" + digits, " " + digits, digits[:-2] + " a", digits[:-1] + "g"]
    return [*text, "AB" * (len(digits) // 2), bytes.fromhex(digits), int(digits, 16), None]


@pytest.mark.parametrize("nodes, faults", [(1, 0), (4, 1), (6, 1), (10, 3)])
def test_keys_work_and_survive_text(suite, nodes: int, faults: int) -> None:
    public, secret = deal(nodes, faults, suite=suite)
    assert (public.nodes, public.threshold, len(secret)) == (nodes, faults + 1, nodes)
    text = public.to_dict()
    again = PublicKeys.from_dict(nodes, faults + 1, text, suite)
    assert again.to_dict() == text and set(text) == set(KEY_NAMES)
    keys = [SecretKeys.from_dict(k.index, again, k.to_dict()) for k in secret][-faults - 1 :]
    coins = [each.coin.toss(b"m", shares_of(keys, "coin", b"m")) for each in (public, again)]
    assert coins[0] == coins[1] and coins[0][0] in (0, 1)
    proof, _ = public.certificate.combine(b"m", shares_of(keys, "certificate", b"m"))
    assert again.certificate.verify(b"m", proof)
    data = public.encryption.encrypt(b"message", LABEL, random.Random(1).randbytes)
    (checked,) = again.encryption.check([(data, LABEL)])
    assert again.encryption.decrypt(checked, shares_of(keys, "encryption", checked)).plaintext == b"message"


def test_impossible_numbers_are_refused(suite, public) -> None:
    for nodes, faults in ((0, 0), (1, 1), (4, -1), (4, 4)):
        with pytest.raises(CryptoError, match="faults are impossible"):
            deal(nodes, faults, suite=suite)
    for nodes, threshold in ((4, 1), (4, 3), (1, 2), (4, 0)):  # They do not fit the public parts.
        with pytest.raises(InvalidKey):
            PublicKeys.from_dict(nodes, threshold, public.to_dict(), suite)


@pytest.mark.parametrize("name", KEY_NAMES)
def test_impossible_thresholds_of_each_key_are_refused(suite, public, name: str) -> None:
    parts = getattr(public, name).parts
    for nodes, threshold in ((4, 0), (4, 5), (0, 1), (1, 2)):
        for some in (parts, parts[:threshold], (parts * 5)[:threshold], (parts * 5)[:nodes], ()):
            with pytest.raises(InvalidKey):
                getattr(suite, name).public(nodes, threshold, some)


def test_the_randomness_decides_and_is_fresh_by_default(suite) -> None:
    one, two = (deal(4, 1, random.Random(8).randbytes, suite)[0].to_dict() for _ in range(2))
    assert one == two
    one, two = (deal(4, 1, suite=suite)[0].to_dict() for _ in range(2))
    assert all(set(one[name]).isdisjoint(two[name]) for name in KEY_NAMES)


def test_all_keys_and_all_nodes_secrets_are_different(public, secret) -> None:
    parts = [part for name in KEY_NAMES for part in public.to_dict()[name]]
    secrets = [text for keys in secret for text in keys.to_dict().values()]
    assert len(set(parts)) == len(parts) and len(set(secrets)) == len(secrets) == 12


def test_a_threshold_of_shares_is_needed_not_one_fewer(suite) -> None:
    public, secret = dealt_once(suite.name, 7, 2)
    (checked,) = public.encryption.check([(public.encryption.encrypt(b"m", LABEL, random.Random(7).randbytes), LABEL)])
    for count in (1, 2, 3, 4):
        enough, some = count >= 3, secret[:count]
        assert (public.coin.toss(b"m", shares_of(some, "coin", b"m"))[0] is not None) == enough
        assert (public.certificate.combine(b"m", shares_of(some, "certificate", b"m"))[0] is not None) == enough
        assert public.encryption.decrypt(checked, shares_of(some, "encryption", checked)).done == enough


@pytest.mark.parametrize("name", KEY_NAMES)
def test_bad_public_parts_are_refused_with_the_name_of_the_field(suite, public, name: str) -> None:
    text = public.to_dict()
    *others, last = text[name]
    junk = [text for text in NO_KEYS if len(text) == len(last)] + ["ff" * (len(last) // 2), "00" * (len(last) // 2)]
    wrong: list[Any] = [[], others, [*others, last, last], last, None, 7, dict.fromkeys(text[name])]
    wrong += [[*others, bad] for bad in (*spellings(last), *junk)]
    for parts in wrong:
        with pytest.raises(InvalidKey, match=f"^{name}: ") as refusal:
            PublicKeys.from_dict(4, 2, {**text, name: parts}, suite)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_missing_or_unknown_field_is_named(suite, public, secret, name: str) -> None:
    for read, text in [
        (lambda d: PublicKeys.from_dict(4, 2, d, suite), public.to_dict()),
        (lambda d: SecretKeys.from_dict(2, public, d), secret[2].to_dict()),
    ]:
        with pytest.raises(InvalidKey, match=f"^{name}: missing"):
            read({key: value for key, value in text.items() if key != name})
        with pytest.raises(InvalidKey, match=r"^surplus: "):
            read({**text, "surplus": text[name]})


@pytest.mark.parametrize("name", KEY_NAMES)
def test_secrets_match_their_node_and_key_and_have_one_spelling(suite, public, secret, name: str) -> None:
    right = secret[2].to_dict()
    other_key = KEY_NAMES[(KEY_NAMES.index(name) + 1) % 3]
    number = int(right[name], 16)
    others = [secret[1].to_dict()[name], dealt_once(suite.name, seed=42)[1][2].to_dict()[name], right[other_key]]
    others += [f"{beyond:064x}" for beyond in (number ^ 1, 0, 2**256 - 1)]
    for wrong in (*others, *spellings(right[name])):
        with pytest.raises(InvalidKey, match=f"^node 2: the {name} key share") as refusal:
            SecretKeys.from_dict(2, public, {**right, name: wrong})
        assert not isinstance(wrong, str) or len(wrong) <= 8 or wrong not in str(refusal.value)
    for index in (-1, 4):
        with pytest.raises(InvalidKey, match="there is no node"):
            SecretKeys.from_dict(index, public, right)
