"""A proposer who knows the randomness of a ciphertext, and a node that sends a bad share, cannot split correct nodes.

AES-GCM does not commit to its key, so a ciphertext can be made for the key that one node gets from wrong shares. See
`crypto.bls.encryption`, "Why T".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from Cryptodome.Cipher import AES
from support.points import lagrange_at_zero
from support.suites import LABEL, shares_of

from crypto.bls import encryption as bls
from crypto.bls.ciphertext import hash_ciphertext
from crypto.suite import Decryption
from crypto.suites import find_suite

MESSAGE = b"two transactions, or three"
R, OTHER_R = 987654321987654321, 424242


@dataclass(frozen=True)
class Parts:
    """What a proposer makes in a suite. `derive(z, u)`: K and M; `associated(u, masked)`: of the AEAD;
    `assemble(u, masked, body)`: a ciphertext that passes the check, with any T and C."""

    derive: Callable[[bytes, bytes], tuple[bytes, bytes]]
    associated: Callable[[bytes, bytes], bytes]
    assemble: Callable[[bytes, bytes, bytes], bytes]


def parts_of(key: Any, suite: str) -> Parts:
    if suite == "bls":
        g2 = key.pairing.g2
        w = lambda *parts: g2.encode(g2.multiply(hash_ciphertext(key.pairing, *parts, LABEL), R))  # noqa: E731
        return Parts(
            lambda z, u: bls.derive(z, u, LABEL),
            lambda u, masked: bls.associated_data(u, masked, LABEL),
            lambda u, masked, body: u + w(u, masked, body) + masked + body,
        )
    from crypto.charm import encryption as charm

    group = key.group
    return Parts(
        lambda z, u: charm.derive(group, z, u, LABEL),
        lambda u, masked: charm.domain(b"ENCRYPTION-AEAD", group) + u + masked + LABEL,
        lambda u, masked, body: key.assemble(masked, body, LABEL, R, 31),
    )


@dataclass(frozen=True)
class Plot:
    """Node 3 will lie; the victim hears it and node 0. `forge` makes the ciphertext, `lie` the share."""

    key: Any
    suite: str

    def share(self, point: Any) -> bytes:
        """Of this point, with a proof of nothing where shares have one."""
        stranger = find_suite(self.suite).lies.stranger(1)
        return self.key.group.encode(point).ljust(len(stranger), b"\1")

    def forge(
        self, z_of_mask: Any, z_of_body: Any, masked_r: int = R, damage: bytes = b"", length: int | None = None
    ) -> bytes:
        """T and C made for whatever Z the proposer likes, a ciphertext that passes `check` nevertheless; `length`: of
        what is left of C."""
        parts, encode = parts_of(self.key, self.suite), self.key.group.encode
        u = encode(self.key.group.multiply(self.key.group.generator, R))
        mask = parts.derive(encode(z_of_mask), u)[1]
        masked = bytes(a ^ b for a, b in zip(masked_r.to_bytes(32, "big"), mask, strict=True))
        cipher = AES.new(parts.derive(encode(z_of_body), u)[0], AES.MODE_GCM, nonce=bytes(12))
        cipher.update(parts.associated(u, masked) + damage)
        return parts.assemble(u, masked, b"".join(cipher.encrypt_and_digest(MESSAGE))[:length])

    def lie_for(self, target: Any) -> bytes:
        """Node 3's share with which the victim, who has node 0's good one, combines to `target`."""
        group = self.key.group
        of_0, of_3 = lagrange_at_zero((0, 3), group.order)
        share_of_0 = group.multiply(self.key.public_share(0), R)
        difference = group.add(target, group.multiply(share_of_0, -of_0))
        return self.share(group.multiply(difference, pow(of_3, -1, group.order)))

    @property
    def true(self) -> Any:
        """Z as it should be."""
        return self.key.group.multiply(self.key.point, R)


@pytest.fixture(scope="module")
def plot(public, suite) -> Plot:
    return Plot(public.encryption, suite.name)


def assert_not_split(public, secret, data: bytes, lie: bytes, expected: bytes | None) -> None:
    """The victim is not taken in by the two shares that it has, and everyone gets the same in the end."""
    (checked,) = public.encryption.check([(data, LABEL)])
    assert checked is not None
    honest = shares_of(secret[:3], "encryption", checked)
    victim = public.encryption.decrypt(checked, {3: lie, 0: honest[0]})
    assert victim == Decryption(False, None, frozenset({3}))
    for received in ({3: lie, **honest}, {0: honest[0], 3: lie, 1: honest[1]}, honest, {2: honest[2], 1: honest[1]}):
        for suspects in ((), (3,), (0, 1, 2, 3)):
            final = public.encryption.decrypt(checked, received, suspects)
            assert (final.done, final.plaintext) == (True, expected) and final.bad <= {3}


@pytest.mark.parametrize("mask_from", ["true", "foreseen"])
@pytest.mark.parametrize("body_from", ["true", "foreseen"])
def test_a_ciphertext_made_for_two_keys(public, secret, plot, mask_from: str, body_from: str) -> None:
    """Neither the AEAD nor T may make the victim accept the foreseen Z, whatever the proposer put where."""
    group = plot.key.group
    z = {"true": plot.true, "foreseen": group.multiply(group.generator, 31337)}
    expected = MESSAGE if mask_from == body_from == "true" else None
    assert_not_split(public, secret, plot.forge(z[mask_from], z[body_from]), plot.lie_for(z["foreseen"]), expected)


def test_a_lie_that_aims_at_a_multiple_of_the_public_key(public, secret, plot) -> None:
    """So that the victim combines r' h for an r' that T then confirms; only u tells."""
    target = plot.key.group.multiply(plot.key.point, OTHER_R)
    assert_not_split(public, secret, plot.forge(target, target, OTHER_R), plot.lie_for(target), None)


def test_a_lie_for_which_only_the_key_tells(public, secret, plot) -> None:
    """T holds the true r, and what the victim combines is not r h; only the public key tells."""
    target = plot.key.group.multiply(plot.key.group.generator, OTHER_R)
    assert_not_split(public, secret, plot.forge(target, target, R), plot.lie_for(target), None)


@pytest.mark.parametrize(
    "wrong, damage", [(0, b""), (1, b""), ("order", b""), ("r + order", b""), (-1, b""), (R, b"!")]
)
def test_a_wrong_r_or_label_under_the_true_key_is_no_message_for_everyone(public, secret, plot, wrong, damage) -> None:
    """`damage` is associated data beyond the label."""
    order = plot.key.group.order
    masked_r = {"order": order, "r + order": R + order}.get(wrong, wrong) % 2**256
    lie = plot.share(plot.key.group.generator)
    assert_not_split(public, secret, plot.forge(plot.true, plot.true, masked_r, damage), lie, None)


def test_a_combination_to_the_identity_is_no_accident(public, secret, plot) -> None:
    """2 P - 2 P: both shares are bad."""
    group = plot.key.group
    (checked,) = public.encryption.check([(plot.forge(plot.true, plot.true), LABEL)])
    received = {0: plot.share(group.multiply(group.generator, 7)), 1: plot.share(group.multiply(group.generator, 14))}
    assert public.encryption.decrypt(checked, received) == Decryption(False, None, frozenset({0, 1}))


def test_a_body_shorter_than_a_tag_is_refused(public, secret, plot) -> None:
    """Though all else is right."""
    for length in range(16):
        assert public.encryption.check([(plot.forge(plot.true, plot.true, length=length), LABEL)]) == [None]
    shortest = plot.forge(plot.true, plot.true, length=16)
    assert_not_split(public, secret, shortest, plot.share(plot.key.group.generator), None)
