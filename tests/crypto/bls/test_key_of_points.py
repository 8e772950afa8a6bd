"""Keys that are points: groups, ranges and purposes that only the pairing suite has."""

import pytest
from support.points import lagrange_at_zero

from crypto.bls.bls12_381 import BLS12_381
from crypto.dealer import KEY_NAMES, PublicKeys, SecretKeys
from crypto.errors import InvalidKey

G1, G2, ORDER = BLS12_381.g1, BLS12_381.g2, BLS12_381.order


def test_points_of_another_group_and_the_identity_are_refused(public) -> None:
    text = public.to_dict()
    for group, name, other in (
        (G2, "coin", "encryption"),
        (G1, "encryption", "coin"),
        (G2, "certificate", "encryption"),
    ):
        identity = group.encode(group.identity).hex()
        off_the_curve = "80" + "00" * (group.encoded_length - 2) + "05"
        first, last = text[name]
        for bad in (text[other], [identity, last], [first, identity], [first, off_the_curve]):
            with pytest.raises(InvalidKey, match=f"^{name}: "):
                PublicKeys.from_dict(4, 2, {**text, name: bad})


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_secret_is_a_scalar_below_the_order(public, secret, name: str) -> None:
    right = secret[2].to_dict()
    number = int(right[name], 16)
    for beyond, why in ((0, "not between"), (ORDER, "not between"), (2**256 - 1, "not between"), (number + ORDER, "")):
        with pytest.raises(InvalidKey, match=f"^node 2: the {name} key share.*{why}"):
            SecretKeys.from_dict(2, public, {**right, name: f"{beyond:064x}"})


def test_secrets_interpolate_to_three_keys_that_are_independent(public, secret) -> None:
    coefficients = lagrange_at_zero((0, 1))
    secrets = set()
    for name, group in zip(KEY_NAMES, (G2, G1, G2), strict=True):
        scalars = [int(k.to_dict()[name], 16) for k in secret[:2]]
        value = sum(c * s for c, s in zip(coefficients, scalars, strict=True)) % ORDER
        assert group.encode(group.multiply(group.generator, value)) == getattr(public, name).parts[0]
        secrets.add(value)
    assert len(secrets) == 3
    assert public.coin.purpose == b"COIN" and public.certificate.purpose == b"CERTIFICATE"
