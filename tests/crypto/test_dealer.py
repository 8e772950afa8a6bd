"""The dealer, and keys read back from text."""

import random

import pytest

from crypto.bls12_381 import BLS12_381
from crypto.dealer import KEY_NAMES, PublicKeys, SecretKeys, deal
from crypto.errors import CryptoError, InvalidKey
from crypto.shamir import lagrange_at_zero

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


@pytest.mark.parametrize("nodes, faults", [(0, 0), (1, 1), (4, -1), (4, 4)])
def test_impossible_numbers_are_refused(nodes: int, faults: int) -> None:
    with pytest.raises(CryptoError, match="faults are impossible"):
        deal(nodes, faults)


def test_the_randomness_decides_and_is_fresh_by_default() -> None:
    one, two = (deal(4, 1, random.Random(8).randbytes)[0].to_dict() for _ in range(2))
    assert one == two
    assert deal(4, 1)[0].to_dict() != deal(4, 1)[0].to_dict()


def test_the_three_keys_are_independent(public, secret) -> None:
    keys = public.to_dict()
    assert keys["coin"] != keys["certificate"]
    coefficients = lagrange_at_zero((0, 1), ORDER)
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
            coefficients = lagrange_at_zero(tuple(range(count)), ORDER)
            value = sum(c * s for c, s in zip(coefficients, scalars, strict=False)) % ORDER
            key = group.encode(group.multiply(group.generator, value)) if value else b""
            assert (key == getattr(public, name).commitment[0]) == (count >= 3)


def with_coin(public, texts: object) -> dict[str, object]:
    return {**public.to_dict(), "coin": texts}


def test_bad_commitments_are_refused_with_the_name_of_the_field(public) -> None:
    first, second = public.to_dict()["coin"]
    identity, order_three = G2.encode(G2.identity).hex(), G1.encode(G1.generator).hex()
    for texts in (
        [],
        [first],
        [first, second, second],
        [first, identity],
        [identity, second],
        [first, order_three],
        [first, second[:-2]],
        [first, second + "00"],
        [first, second.upper()],
        [first, " " + second],
        [first, second[:-2] + "zz"],
        [first, "ff" * 96],
        [first, "80" + "00" * 95],
        [first, None],
        [first, 5],
        [first, bytes.fromhex(second)],
        first,
        None,
        7,
    ):
        with pytest.raises(InvalidKey, match=r"^coin: ") as refusal:
            PublicKeys.from_dict(4, 2, with_coin(public, texts))
        assert "\n" not in str(refusal.value)


def test_one_text_is_not_taken_for_a_list(public) -> None:
    with pytest.raises(InvalidKey, match="coin: a list of commitments is needed"):
        PublicKeys.from_dict(4, 2, with_coin(public, "ab"))


def test_commitments_in_the_wrong_group_are_refused(public) -> None:
    text = public.to_dict()
    with pytest.raises(InvalidKey, match=r"^encryption: "):
        PublicKeys.from_dict(4, 2, {**text, "encryption": text["coin"]})
    with pytest.raises(InvalidKey, match=r"^certificate: "):
        PublicKeys.from_dict(4, 2, {**text, "certificate": text["encryption"]})


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


@pytest.mark.parametrize("nodes, threshold", [(4, 1), (4, 3), (1, 2), (4, 0)])
def test_the_numbers_must_fit_the_commitments(public, nodes: int, threshold: int) -> None:
    with pytest.raises(InvalidKey):
        PublicKeys.from_dict(nodes, threshold, public.to_dict())


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_share_that_does_not_match_is_refused_by_node_and_name(public, secret, name: str) -> None:
    right = secret[2].to_dict()
    other_key = KEY_NAMES[(KEY_NAMES.index(name) + 1) % 3]
    message = f"^node 2: the {name} key share does not match the commitments of the manifest$"
    for wrong in (secret[1].to_dict()[name], right[other_key], f"{int(right[name], 16) ^ 1:064x}"):
        with pytest.raises(InvalidKey, match=message):
            SecretKeys.from_dict(2, public, {**right, name: wrong})


@pytest.mark.parametrize("name", KEY_NAMES)
def test_scalars_have_one_spelling(public, secret, name: str) -> None:
    right = secret[2].to_dict()
    assert len(right[name]) == 64
    for wrong in (
        "",
        right[name][2:],
        right[name] + "00",
        "00" + right[name],
        right[name][:-2] + " a",
        right[name][:-1] + "G",
        f"{int(right[name], 16) + ORDER:064x}",
        "0" * 64,
        f"{ORDER:064x}",
        None,
        int(right[name], 16),
    ):
        with pytest.raises(InvalidKey, match=f"node 2: the {name} key share") as refusal:
            SecretKeys.from_dict(2, public, {**right, name: wrong})
        if isinstance(wrong, str) and len(wrong) > 8:
            assert wrong not in str(refusal.value)


@pytest.mark.parametrize("scalar", [0, ORDER, (1 << 256) - 1])
def test_scalars_out_of_range_are_refused_as_such(public, secret, scalar: int) -> None:
    with pytest.raises(InvalidKey, match="node 2: the coin key share is not between"):
        SecretKeys.from_dict(2, public, {**secret[2].to_dict(), "coin": f"{scalar:064x}"})


def test_upper_case_is_another_spelling(public, secret) -> None:
    right = secret[2].to_dict()
    with pytest.raises(InvalidKey, match="hex"):
        SecretKeys.from_dict(2, public, {**right, "coin": "AB" * 32})


@pytest.mark.parametrize("index", [-1, 4])
def test_there_is_no_such_node(public, secret, index: int) -> None:
    with pytest.raises(InvalidKey, match="no node"):
        SecretKeys.from_dict(index, public, secret[0].to_dict())


def test_the_keys_of_one_node_are_not_those_of_another(public, secret) -> None:
    with pytest.raises(InvalidKey, match="node 1: the coin key share does not match"):
        SecretKeys.from_dict(1, public, secret[0].to_dict())
