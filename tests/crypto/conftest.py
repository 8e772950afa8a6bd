"""Fixtures: reproducible keys, and a pairing group that counts the checks made."""

import random
from collections.abc import Sequence

import pytest

from crypto.bls12_381 import BLS12_381
from crypto.dealer import PublicKeys, SecretKeys, deal
from crypto.group import PairingGroup, PointPair


class CountingSuite(PairingGroup):
    """BLS12-381 that counts pairing checks and Miller loops."""

    def __init__(self) -> None:
        self.name, self.order = BLS12_381.name, BLS12_381.order
        self.g1, self.g2 = BLS12_381.g1, BLS12_381.g2
        self.reset()

    def reset(self) -> None:
        self.checks = 0
        self.miller_loops = 0

    def products_equal(self, left: Sequence[PointPair], right: Sequence[PointPair]) -> bool:
        self.checks += 1
        self.miller_loops += len(left) + len(right)
        return BLS12_381.products_equal(left, right)


@pytest.fixture
def suite() -> CountingSuite:
    return CountingSuite()


@pytest.fixture(scope="session")
def dealt() -> tuple[PublicKeys, list[SecretKeys]]:
    """Keys of four nodes, one of them faulty."""
    return deal(4, 1, random.Random(41).randbytes)


@pytest.fixture(scope="session")
def public(dealt: tuple[PublicKeys, list[SecretKeys]]) -> PublicKeys:
    return dealt[0]


@pytest.fixture(scope="session")
def secret(dealt: tuple[PublicKeys, list[SecretKeys]]) -> list[SecretKeys]:
    return dealt[1]
