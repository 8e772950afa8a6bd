"""Fixtures: reproducible keys, and a pairing group that counts the checks made."""

import random
from collections.abc import Sequence

import pytest

from crypto.bls.bls12_381 import BLS12_381
from crypto.bls.pairing import PointPair
from crypto.dealer import PublicKeys, SecretKeys, deal


class CountingPairing(type(BLS12_381)):
    """BLS12-381 that counts pairing checks and Miller loops."""

    def reset(self) -> None:
        self.checks = 0
        self.miller_loops = 0

    def products_equal(self, left: Sequence[PointPair], right: Sequence[PointPair]) -> bool:
        self.checks += 1
        self.miller_loops += len(left) + len(right)
        return super().products_equal(left, right)


@pytest.fixture
def pairing() -> CountingPairing:
    counting = CountingPairing()
    counting.reset()
    return counting


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
