"""Fixtures: keys of four nodes in both suites. The imports wait, as the suite may not be installed."""

import random
from typing import Any

import pytest


@pytest.fixture(scope="session", params=["charm", "charm-secp256k1"])
def charm(request) -> Any:
    from crypto.suites import find_suite

    return find_suite(request.param)


@pytest.fixture(scope="session")
def dealt(charm) -> Any:
    from crypto.dealer import deal

    return deal(4, 1, random.Random(41).randbytes, charm)


@pytest.fixture(scope="session")
def group(dealt) -> Any:
    return dealt[0].coin.group
