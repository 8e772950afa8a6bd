"""The dealer, and keys read back from text."""

import random

import pytest
from support.points import lagrange_at_zero

from crypto.bls.bls12_381 import BLS12_381
from crypto.dealer import KEY_NAMES, PublicKeys, SecretKeys, deal
from crypto.errors import CryptoError, InvalidKey

G1, G2, ORDER = BLS12_381.g1, BLS12_381.g2, BLS12_381.order


@pytest.mark.parametrize("nodes, faults", [(1, 0), (4, 1), (6, 1), (10, 3)])
def test_keys_work_and_survive_text(nodes: int, faults: int) -> None:
    public, secret = deal(nodes, faults)
    assert (public.nodes, public.threshold, len(secret)) == (nodes, faults + 1, nodes)
    text = public.to_dict()
    again = PublicKeys.from_dict(nodes, faults + 1, text)
    assert again.to_dict() == text
    assert {name: len(points) for name, points in text.items()} == dict.fromkeys(KEY_NAMES, faults + 1)
    keys = [SecretKeys.from_dict(k.index, again, k.to_dict()) for k in secret]
    for name in ("coin", "certificate"):
        shares = {k.index: getattr(k, name).sign_share(b"m") for k in keys[-faults - 1 :]}
        signature, _ = getattr(public, name).combine(b"m", shares)
        assert getattr(again, name).verify(b"m", signature)
    data = public.encryption.encrypt(b"message", b"label", random.Random(1).randbytes)
    (checked,) = again.encryption.check([(data, b"label")])
    shares = {k.index: k.encryption.decryption_share(checked) for k in keys[-faults - 1 :]}
    assert again.encryption.decrypt(checked, shares).plaintext == b"message"


def test_impossible_numbers_are_refused(public) -> None:
    for nodes, faults in ((0, 0), (1, 1), (4, -1), (4, 4)):
        with pytest.raises(CryptoError, match="faults are impossible"):
            deal(nodes, faults)
    for nodes, threshold in ((4, 1), (4, 3), (1, 2), (4, 0)):  # They do not fit the commitments.
        with pytest.raises(InvalidKey):
            PublicKeys.from_dict(nodes, threshold, public.to_dict())


def test_the_randomness_decides_and_is_fresh_by_default() -> None:
    one, two = (deal(4, 1, random.Random(8).randbytes)[0].to_dict() for _ in range(2))
    assert one == two
    assert deal(4, 1)[0].to_dict() != deal(4, 1)[0].to_dict()


def test_the_three_keys_are_independent(public, secret) -> None:
    keys = public.to_dict()
    assert keys["coin"] != keys["certificate"]
    coefficients = lagrange_at_zero((0, 1))
    secrets = {
        sum(c * int(k.to_dict()[name], 16) for c, k in zip(coefficients, secret[:2], strict=True)) % ORDER
        for name in KEY_NAMES
    }
    assert len(secrets) == 3
    assert public.coin.purpose == b"COIN" and public.certificate.purpose == b"CERTIFICATE"


def test_a_threshold_of_shares_is_needed_not_one_fewer() -> None:
    """One share fewer interpolates to something else."""
    public, secret = deal(7, 2, random.Random(7).randbytes)
    for name, group in zip(KEY_NAMES, (G2, G1, G2), strict=True):
        scalars = [int(keys.to_dict()[name], 16) for keys in secret]
        for count in (2, 3, 4):
            coefficients = lagrange_at_zero(tuple(range(count)))
            value = sum(c * s for c, s in zip(coefficients, scalars, strict=False)) % ORDER
            key = group.encode(group.multiply(group.generator, value)) if value else b""
            assert (key == getattr(public, name).parts[0]) == (count >= 3)


def test_bad_commitments_are_refused_with_the_name_of_the_field(public) -> None:
    text = public.to_dict()
    first, second = text["coin"]
    identity, of_g1 = G2.encode(G2.identity).hex(), G1.encode(G1.generator).hex()
    wrong = [[], [first], [first, second, second], [identity, second], first, None, 7]
    spellings = [second[:-2], second + "00", second.upper(), " " + second, second[:-2] + "zz", bytes.fromhex(second)]
    for bad in (identity, of_g1, *spellings, "ff" * 96, "80" + "00" * 95, None, 5):
        wrong.append([first, bad])
    for texts in wrong:
        with pytest.raises(InvalidKey, match=r"^coin: ") as refusal:
            PublicKeys.from_dict(4, 2, {**text, "coin": texts})
        assert "\n" not in str(refusal.value)
    for name, of_the_other_group in (("encryption", "coin"), ("certificate", "encryption")):
        with pytest.raises(InvalidKey, match=f"^{name}: "):
            PublicKeys.from_dict(4, 2, {**text, name: text[of_the_other_group]})


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_missing_or_unknown_field_is_named(public, secret, name: str) -> None:
    for read, text in [
        (lambda d: PublicKeys.from_dict(4, 2, d), public.to_dict()),
        (lambda d: SecretKeys.from_dict(2, public, d), secret[2].to_dict()),
    ]:
        with pytest.raises(InvalidKey, match=f"^{name}: missing"):
            read({key: value for key, value in text.items() if key != name})
        with pytest.raises(InvalidKey, match=r"^surplus: "):
            read({**text, "surplus": text[name]})


@pytest.mark.parametrize("name", KEY_NAMES)
def test_shares_match_and_have_one_spelling(public, secret, name: str) -> None:
    right = secret[2].to_dict()
    other_key = KEY_NAMES[(KEY_NAMES.index(name) + 1) % 3]
    mismatch = ": it does not match the commitments$"
    number, digits = int(right[name], 16), right[name]
    spellings = ["", digits[2:], digits + "00", "00" + digits, digits[:-2] + " a", digits[:-1] + "G", None, number]
    for wrong, why in (
        *((other, mismatch) for other in (secret[1].to_dict()[name], right[other_key], f"{number ^ 1:064x}")),
        *((spelling, "") for spelling in spellings),
        ("AB" * 32, ".*hex"),
        (f"{number + ORDER:064x}", ""),
        *((f"{beyond:064x}", ": it is not between") for beyond in (0, ORDER, 2**256 - 1)),
    ):
        with pytest.raises(InvalidKey, match=f"^node 2: the {name} key share{why}") as refusal:
            SecretKeys.from_dict(2, public, {**right, name: wrong})
        if isinstance(wrong, str) and len(wrong) > 8:
            assert wrong not in str(refusal.value)
